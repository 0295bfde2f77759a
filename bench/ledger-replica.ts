/**
 * A replica over a long ledger as a process of the benchmark: it includes batches through the product's own
 * verification and fold, and is opened by another process after that.
 *
 * `node ledger-replica.js --file PATH`
 */
import { parseArgs } from "node:util";
import { systemClock } from "../gateway/runtime.ts";
import { appendBatchesMax, snapshotEveryBatches } from "../src/base/limits.ts";
import { readLedgerNetwork } from "../src/ledger/embedded/network.ts";
import { LedgerReplica } from "../src/ledger/embedded/replica.ts";
import { SqliteLedgerStore } from "../src/ledger/store/sqlite-store.ts";
import { type CreatedBatch, sealBatch } from "../src/record/batch.ts";
import { encodeSnapshot } from "../src/registry/snapshot.ts";
import { statusRecord, TestLedger } from "../test/support/ledger.ts";
import { createTestNetwork } from "../test/support/network.ts";
import { isMain, serveParent } from "./child.ts";

export type ReplicaQuestion =
  /**
   * Gives the synthetic leaves a registry and includes real batches behind them, until a start has as much
   * to fold again as it can have; answered with the microseconds of each group of `appendBatchesMax`.
   */
  | { readonly kind: "grow" }
  /** Opens the replica as a gateway does; answered with an `OpenedReplica`. */
  | { readonly kind: "open" };

export interface OpenedReplica {
  readonly seconds: number;
  /** Batches that were verified and folded again. */
  readonly refolded: number;
}

const every = BigInt(snapshotEveryBatches);

/** A network is the same in every process: its keys come from a seed. */
async function foundedLedger(): Promise<TestLedger> {
  return TestLedger.founded(createTestNetwork({ seed: "bench" }));
}

function openReplica(store: SqliteLedgerStore, ledger: TestLedger): Promise<LedgerReplica> {
  const { payload, verifier } = ledger.network;
  const network = readLedgerNetwork(payload);
  return LedgerReplica.open({ network, store, verifier, clock: systemClock });
}

async function grow(store: SqliteLedgerStore): Promise<readonly number[]> {
  const ledger = await foundedLedger();
  const size = store.reader.size();
  // What the founding has made of the registry, as if it stood before the synthetic leaves: they change nothing.
  const digest = store.reader.registryDigest(size - 1n) as Uint8Array;
  const state = encodeSnapshot({ ...ledger.state, size, digest });
  store.setNetwork(ledger.network.id);
  store.setSnapshot({ size, state }, 0n);
  await store.synced();
  const replica = await openReplica(store, ledger);
  // Past the next snapshot, and as far as one can be from it.
  const end = (size / every + 2n) * every - 1n;
  const taken: number[] = [];
  let newest: CreatedBatch | undefined;
  while (replica.state().size < end) {
    const { size: from } = replica.state();
    // A group ends where a snapshot is due: it is taken at the end of a group.
    const due = every - (from % every);
    const count = Math.min(appendBatchesMax, Number(due), Number(end - from));
    const batches = sealGroup(ledger, replica, { count, newest });
    newest = batches.at(-1);
    const started = performance.now();
    const inclusions = await replica.include(batches, "stop");
    if (count === appendBatchesMax) taken.push((performance.now() - started) * 1000);
    if (inclusions.some(({ kind }) => kind !== "included")) throw new Error("a batch is rejected");
  }
  return taken;
}

/** One chain goes on, and has seen what stands at the moment. */
function sealGroup(
  { network, nowMs }: TestLedger,
  replica: LedgerReplica,
  { count, newest }: { readonly count: number; readonly newest: CreatedBatch | undefined },
): readonly CreatedBatch[] {
  const gateway = network.consumer.gateway;
  const { size } = replica.state();
  const seen = { size, root: replica.rootAt(size) as Uint8Array };
  const batches: CreatedBatch[] = [];
  for (let i = 0; i < count; i++) {
    const before = batches.at(-1) ?? newest;
    const seq = before === undefined ? 0n : before.header.seq + 1n;
    const sealedAtMs = nowMs + Number(seq);
    batches.push(
      sealBatch(
        {
          kind: "evidence",
          network: network.id,
          gateway: gateway.id,
          epoch: 0n,
          boot: gateway.boot,
          seq,
          prev: before?.leafHash ?? new Uint8Array(32),
          seen,
          firstAtMs: sealedAtMs,
          sealedAtMs,
        },
        [statusRecord(Number(seq))],
        gateway.batch,
      ),
    );
  }
  return batches;
}

async function open(store: SqliteLedgerStore): Promise<OpenedReplica> {
  const ledger = await foundedLedger();
  const started = performance.now();
  const replica = await openReplica(store, ledger);
  const seconds = (performance.now() - started) / 1000;
  const { size } = replica.state();
  return { seconds, refolded: Number(size - (store.reader.snapshot(size)?.size ?? 0n)) };
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({ options: { file: { type: "string" } } });
  if (values.file === undefined) throw new TypeError("--file PATH is missing");
  const store = new SqliteLedgerStore(values.file);
  serveParent(0, (question) =>
    (question as ReplicaQuestion).kind === "grow" ? grow(store) : open(store),
  );
}
