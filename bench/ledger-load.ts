/** Load on the ledger from inside of one gateway: records are sealed, and counted once they are final at its replica. */
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { toHex } from "../src/base/bytes.ts";
import type { Sealer } from "../src/ledger/ports.ts";
import type { LedgerWriter } from "../src/ledger/store/store.ts";
import type { RecordSet } from "./ledger-records.ts";
import { type Spread, spreadOf } from "./percentiles.ts";

/** Who seals when. */
export type Arrivals =
  /** Each caller seals one record after another, while no more than `window` records are not final. */
  | { readonly kind: "callers"; readonly callers: number; readonly window: number }
  /** So many a second, whatever becomes of them. */
  | { readonly kind: "paced"; readonly perSecond: number };

export interface LedgerLoad {
  readonly arrivals: Arrivals;
  readonly warmSeconds: number;
  readonly seconds: number;
}

/** What a parent asks of the process that seals. */
export interface LoadQuestion {
  readonly records: RecordSet;
  readonly load: LedgerLoad;
}

export interface LoadedLedger {
  /** Sealed from the warm-up to the end; all of them are final. */
  readonly recordsInAll: number;
  readonly batchesInAll: number;
  /** While it measured, from the first size that became final to the last. */
  readonly finalPerSecond: number;
  readonly leavesPerSecond: number;
  readonly finalSizesPerSecond: number;
  /** Milliseconds, of the records whose seal began while it measured; of all of them where none did. */
  readonly seal: Spread;
  readonly sealToFinal: Spread;
  /** Seconds after the last seal until everything was final. */
  readonly settleSeconds: number;
}

/** Where a process finds a set, framed as the body of a batch. */
export function recordsFile(folder: string, set: RecordSet): string {
  return join(folder, `${set.replace(" ", "-")}.records`);
}

interface Finality {
  readonly atMs: number;
  readonly records: number;
  readonly leaves: number;
}

/** What took how long, in milliseconds. */
interface Timed {
  readonly beganMs: number;
  readonly ms: number;
}

interface Durable {
  /** When the seal of each record began. */
  readonly beganMs: number[];
}

const pacedTickMs = 2;

/** Tells when what was sealed here is final: the store of the own replica has frozen a size above it. */
export class FinalWatch {
  /** By leaf hash: sealed, and not final. */
  readonly #durable = new Map<string, Durable>();
  readonly #included: { readonly index: bigint; readonly leaf: string }[] = [];
  readonly #waiting: (() => void)[] = [];
  readonly finalities: Finality[] = [];
  sealToFinal: Timed[] = [];
  notFinal = 0;

  /** The same store, watched. */
  watch(store: LedgerWriter): LedgerWriter {
    const append = store.append.bind(store);
    const freeze = store.freeze.bind(store);
    return Object.assign(store, {
      append: (rows: Parameters<LedgerWriter["append"]>[0]): void => {
        append(rows);
        for (const { index, leafHash } of rows) {
          this.#included.push({ index, leaf: toHex(leafHash) });
        }
      },
      freeze: (final: Parameters<LedgerWriter["freeze"]>[0]): void => {
        freeze(final);
        this.#final(final.size);
      },
    });
  }

  sealed(leafHash: Uint8Array, beganMs: number): void {
    const leaf = toHex(leafHash);
    const durable = this.#durable.get(leaf);
    if (durable === undefined) this.#durable.set(leaf, { beganMs: [beganMs] });
    else durable.beganMs.push(beganMs);
    this.notFinal += 1;
  }

  /** Resolves when a size has become final. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #final(size: bigint): void {
    const atMs = performance.now();
    let records = 0;
    let leaves = 0;
    let count = 0;
    for (const { index, leaf } of this.#included) {
      if (index >= size) break;
      count += 1;
      const durable = this.#durable.get(leaf);
      if (durable === undefined) continue;
      this.#durable.delete(leaf);
      leaves += 1;
      records += durable.beganMs.length;
      for (const beganMs of durable.beganMs) this.sealToFinal.push({ beganMs, ms: atMs - beganMs });
    }
    this.#included.splice(0, count);
    this.notFinal -= records;
    // A size that another gateway's batches made, or a heartbeat, is none of this load's.
    if (leaves > 0) this.finalities.push({ atMs, records, leaves });
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** Runs one load, and waits until all of it is final. */
export async function runLedgerLoad(
  { sealer, watch }: { readonly sealer: Sealer; readonly watch: FinalWatch },
  records: readonly Uint8Array[],
  load: LedgerLoad,
): Promise<LoadedLedger> {
  watch.finalities.splice(0);
  watch.sealToFinal = [];
  const seals: Timed[] = [];
  let next = 0;
  const sealOne = async (): Promise<void> => {
    const record = records[next++ % records.length] as Uint8Array;
    const queuedMs = performance.now();
    const sealed = await sealer.seal({
      kind: "evidence",
      record,
      decidedAtMs: Date.now(),
      states: [],
    });
    if (sealed === undefined) throw new Error("a record was not sealed");
    watch.sealed(sealed.leafHash, queuedMs);
    seals.push({ beganMs: queuedMs, ms: performance.now() - queuedMs });
  };
  const beganMs = performance.now();
  const startMs = beganMs + load.warmSeconds * 1000;
  const endMs = startMs + load.seconds * 1000;
  await arrive(load.arrivals, { sealOne, watch, endMs });
  const sealedMs = performance.now();
  while (watch.notFinal > 0) await watch.next();
  const settleSeconds = (performance.now() - sealedMs) / 1000;
  const spreadIn = (all: readonly Timed[]): Spread => {
    const measured = all.filter(({ beganMs: at }) => at >= startMs && at < endMs);
    return spreadOf((measured.length === 0 ? all : measured).map(({ ms }) => ms));
  };
  return {
    recordsInAll: seals.length,
    batchesInAll: watch.finalities.reduce((sum, { leaves }) => sum + leaves, 0),
    ...ratesOf(watch.finalities, { beganMs, startMs, endMs }),
    seal: spreadIn(seals),
    sealToFinal: spreadIn(watch.sealToFinal),
    settleSeconds,
  };
}

interface Arriving {
  readonly sealOne: () => Promise<void>;
  readonly watch: FinalWatch;
  readonly endMs: number;
}

async function arrive(arrivals: Arrivals, { sealOne, watch, endMs }: Arriving): Promise<void> {
  if (arrivals.kind === "callers") {
    const { callers, window } = arrivals;
    const caller = async (): Promise<void> => {
      while (performance.now() < endMs) {
        if (watch.notFinal >= window) await watch.next();
        else await sealOne();
      }
    };
    await Promise.all(Array.from({ length: callers }, caller));
    return;
  }
  const open: Promise<void>[] = [];
  const meanMs = 1000 / arrivals.perSecond;
  let dueMs = performance.now();
  // Gaps of 0.5 to 1.5 times the mean, in no step with any interval of the ledger.
  for (let drawn = 0; dueMs < endMs; drawn = (drawn + 0.6180339887498949) % 1) {
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await sleep(Math.max(waitMs, pacedTickMs));
    open.push(sealOne().catch(passBusy));
    dueMs += meanMs * (0.5 + drawn);
  }
  await Promise.all(open);
}

/** What comes faster than it can be sealed is turned away, and is not among what is measured. */
function passBusy(error: unknown): void {
  if ((error as { readonly code?: unknown }).code !== "BUSY") throw error;
}

/**
 * Between the first and the last size that became final in the time, so that no interval is cut; over all of
 * the load where fewer than two did.
 */
function ratesOf(
  finalities: readonly Finality[],
  { beganMs, startMs, endMs }: { readonly beganMs: number; startMs: number; endMs: number },
): Pick<LoadedLedger, "finalPerSecond" | "leavesPerSecond" | "finalSizesPerSecond"> {
  const measured = finalities.filter(({ atMs }) => atMs >= startMs && atMs < endMs);
  const [first, ...later] = measured;
  const [fromMs, counted] =
    first === undefined || later.length === 0 ? [beganMs, finalities] : [first.atMs, later];
  const seconds = ((counted.at(-1)?.atMs ?? beganMs) - fromMs) / 1000;
  const rate = (of: (finality: Finality) => number): number =>
    counted.reduce((sum, finality) => sum + of(finality), 0) / seconds;
  return {
    finalPerSecond: rate(({ records }) => records),
    leavesPerSecond: rate(({ leaves }) => leaves),
    finalSizesPerSecond: rate(() => 1),
  };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
