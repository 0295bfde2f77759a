/** A gateway's journal: what its disk holds, and the sealer of one process on it, with the product's own closing of batches. */
import { openLeaf } from "../../src/record/leaf.ts";
import {
  type CloseEffect,
  type CloseEvent,
  type ClosedBatch,
  type CloseState,
  createCloseState,
  stepClose,
  wantsTurn,
} from "../../src/ledger/journal/close-machine.ts";
import type { JournalBatch, JournalReader, Place } from "../../src/ledger/journal/store.ts";
import type {
  QueuedRecord,
  SealedRecord,
  Sealer,
  Seen,
  StateChange,
} from "../../src/ledger/ports.ts";
import { equalBytes, toHex } from "../../src/base/bytes.ts";
import { type CreatedBatch, sealBatch } from "../../src/record/batch.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import type { Applied } from "./exchange-replica.ts";

/** Outlives the processes. */
export class JournalDisk {
  readonly batches: Omit<JournalBatch, "place">[] = [];
  readonly states: Map<string, Uint8Array> = new Map();
  readonly #leaves = new Set<string>();
  /** Batches that the ledger has. */
  submitted = 0;
  readonly #applied: Applied;

  constructor(applied: Applied) {
    this.#applied = applied;
  }

  holds(leafHash: Uint8Array): boolean {
    return this.#leaves.has(toHex(leafHash));
  }

  /** One transaction. */
  commit({ leaf, leafHash, header, records }: CreatedBatch, states: readonly StateChange[]): void {
    const { epoch, seq } = header;
    this.#leaves.add(toHex(leafHash));
    const number = this.batches.length;
    this.batches.push({ leaf, leafHash, records, number, epoch, seq });
    this.save(states);
  }

  save(states: readonly StateChange[]): void {
    for (const { key, value } of states) {
      if (value === undefined) this.states.delete(key);
      else this.states.set(key, value);
    }
  }

  get reader(): JournalReader {
    const at = (number: number): JournalBatch | undefined => {
      const batch = this.batches[number];
      return batch && { ...batch, place: this.#placeOf(batch.leafHash) };
    };
    const find = (is: (batch: Omit<JournalBatch, "place">) => boolean): JournalBatch | undefined =>
      at(this.batches.findIndex(is));
    const finalCount = (): number => {
      const open = this.batches.findIndex(
        ({ leafHash }) => this.#placeOf(leafHash).stage !== "final",
      );
      return open < 0 ? this.batches.length : open;
    };
    return {
      batchCount: () => this.batches.length,
      finalCount,
      tip: () => at(this.batches.length - 1),
      batch: at,
      leafHash: (number) => this.batches[number]?.leafHash,
      batchAt: ({ epoch, seq }) => find((one) => one.epoch === epoch && one.seq === seq),
      batchByLeafHash: (leafHash) => find((one) => equalBytes(one.leafHash, leafHash)),
      newest: ({ countMax, before = this.batches.length }) =>
        this.batches
          .slice(Math.max(0, before - countMax), before)
          .map(({ number }) => at(number) as JournalBatch)
          .toReversed(),
      unfinished: () =>
        this.batches
          .slice(finalCount())
          .map(({ number, leafHash }) => ({ number, ...this.#placeOf(leafHash) })),
      state: (key) => this.states.get(key),
      states: (prefix) =>
        [...this.states]
          .filter(([key]) => key.startsWith(prefix))
          .map(([key, value]) => ({ key, value }))
          .toSorted((a, b) => (a.key < b.key ? -1 : 1)),
      copyTo: () => Promise.reject(new TypeError("not copied here")),
      close: () => undefined,
    };
  }

  #placeOf(leafHash: Uint8Array): Place {
    const { ledger, size, final } = this.#applied;
    const index = ledger.indexOfLeaf(leafHash);
    if (index === undefined || index >= size) return { stage: "sealed" };
    return { stage: BigInt(index) < final.size ? "final" : "included", index: BigInt(index) };
  }
}

interface Ticket {
  resolve(sealed: SealedRecord | undefined): void;
  reject(error: unknown): void;
}

export interface SimSealerOptions {
  readonly disk: JournalDisk;
  readonly gateway: string;
  readonly network: Uint8Array;
  readonly boot: Uint8Array;
  readonly signer: Signer;
  nowMs(): number;
  seen(): Seen;
  /** Runs unless the process has ended. */
  after(delayMs: number, work: () => void): void;
  /** Milliseconds of the next commit, and from there until its result is out. */
  delays(): { readonly commitMs: number; readonly releaseMs: number };
  /** A batch is closed: nothing of it is durable. */
  onClosed(batch: ClosedBatch<Ticket>): void;
  onCommitted(batch: CreatedBatch): void;
  /** What is answered once a batch is durable leaves when it is closed. */
  readonly releasesEarly: boolean;
  /** What a liar signs in the place of this, and where. */
  swaps?(batch: CreatedBatch, sealAgain: (records: readonly Uint8Array[]) => CreatedBatch): void;
}

export class SimSealer implements Sealer {
  readonly #o: SimSealerOptions;
  readonly #state: CloseState<Ticket>;
  #isPlanned = false;

  constructor(options: SimSealerOptions) {
    this.#o = options;
    const tip = options.disk.batches.at(-1);
    const header = tip === undefined ? undefined : openLeaf(tip.leaf).header;
    this.#state = createCloseState({
      limits: { recordsMax: 32, bytesMax: 256 * 1024, queueBytesMax: 1024 * 1024 },
      ...(header === undefined
        ? {}
        : {
            sealedAtMs: Number(header.sealedAt),
            seen: { size: header.seenSize, root: header.seenRoot },
          }),
    });
  }

  /** Records that wait. */
  get isIdle(): boolean {
    return !wantsTurn(this.#state) && this.#state.outstanding === undefined;
  }

  seal(record: QueuedRecord): Promise<SealedRecord | undefined> {
    return new Promise((resolve, reject) => {
      const ticket = { resolve, reject };
      this.#step({ kind: "queued", record, ticket, nowMs: this.#o.nowMs() });
    });
  }

  halt(code: ReasonCode): void {
    this.#step({ kind: "halted", code });
  }

  lift(code: ReasonCode): void {
    this.#step({ kind: "lifted", code });
  }

  #step(event: CloseEvent<Ticket, CreatedBatch>): void {
    for (const effect of stepClose(this.#state, event)) this.#perform(effect);
    if (this.#isPlanned || !wantsTurn(this.#state)) return;
    this.#isPlanned = true;
    this.#o.after(0, () => {
      this.#isPlanned = false;
      this.#step({ kind: "turn", nowMs: this.#o.nowMs(), seen: this.#o.seen() });
    });
  }

  #perform(effect: CloseEffect<Ticket, CreatedBatch>): void {
    switch (effect.kind) {
      case "post":
        return this.#post(effect.batch);
      case "release":
        if (!this.#o.releasesEarly) this.#release(effect.batch, effect.result);
        return;
      case "drop":
        return effect.ticket.resolve(undefined);
      case "reject":
        return effect.ticket.reject(effect.error);
      case "exit":
      case "stopped":
    }
  }

  #post(closed: ClosedBatch<Ticket>): void {
    const o = this.#o;
    o.onClosed(closed);
    const batch = this.#seal(
      closed,
      closed.records.map(({ record }) => record),
    );
    const { commitMs, releaseMs } = o.delays();
    if (o.releasesEarly) this.#release(closed, batch);
    o.after(commitMs, () => {
      const states = closed.records.flatMap((record) => record.states);
      let stored = batch;
      o.swaps?.(batch, (records) => (stored = this.#seal(closed, records)));
      o.disk.commit(stored, states);
      o.onCommitted(stored);
      o.after(releaseMs, () => this.#step({ kind: "sealed", result: batch }));
    });
  }

  #seal(closed: ClosedBatch<Ticket>, records: readonly Uint8Array[]): CreatedBatch {
    const { disk, gateway, network, boot, signer } = this.#o;
    const { kind, seen, firstAtMs, sealedAtMs } = closed;
    const tip = disk.batches.at(-1);
    const prev = tip?.leafHash ?? new Uint8Array(32);
    const seq = tip === undefined ? 0n : tip.seq + 1n;
    const fields = { kind, network, gateway, epoch: 0n, boot, seq, prev, seen };
    return sealBatch({ ...fields, firstAtMs, sealedAtMs }, records, signer);
  }

  #release(closed: ClosedBatch<Ticket>, batch: CreatedBatch): void {
    const { leaf, leafHash, paths } = batch;
    for (const [position, { record, replaced, ticket }] of closed.records.entries()) {
      const path = paths[position] ?? [];
      ticket.resolve({ record, replaced, position, path, leaf, leafHash });
    }
  }
}
