/**
 * How fast one thread verifies batches of evidence: bytes, root, signature, place in the chain and the fold
 * alone, and in a replica that also stores them.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { appendBatchesMax } from "../src/base/limits.ts";
import { readLedgerNetwork } from "../src/ledger/embedded/network.ts";
import { LedgerReplica } from "../src/ledger/embedded/replica.ts";
import { SqliteLedgerStore } from "../src/ledger/store/sqlite-store.ts";
import { type CreatedBatch, sealBatch } from "../src/record/batch.ts";
import { apply } from "../src/registry/apply.ts";
import { verifyBatch } from "../src/registry/verify-batch.ts";
import { systemClock } from "../gateway/runtime.ts";
import { TestLedger } from "../test/support/ledger.ts";
import { createTestNetwork } from "../test/support/network.ts";

export interface VerifyLoad {
  readonly records: readonly Uint8Array[];
  readonly recordsPerBatch: number;
  /** Records of one pass; passes are made until `seconds` are over, the first one to warm up. */
  readonly recordsPerPass: number;
  readonly seconds: number;
}

export interface VerifyFigures {
  readonly path: "fold" | "replica";
  readonly recordBytes: number;
  readonly recordsPerBatch: number;
  readonly recordsPerSecond: number;
  /** CPU microseconds of all threads of the process for each record. */
  readonly cpuUsPerRecord: number;
}

/** Both paths, over the same batches. */
export async function measureVerify(load: VerifyLoad): Promise<readonly VerifyFigures[]> {
  const ledger = await TestLedger.founded(createTestNetwork({ seed: "bench" }));
  const batches = sealChain(ledger, load);
  return [
    await repeat("fold", load, () => fold(ledger, batches)),
    await repeat("replica", load, () => include(ledger, batches)),
  ];
}

/** The whole chain of the second gateway; each batch has bytes of its own, as those that arrive have. */
function sealChain(ledger: TestLedger, load: VerifyLoad): readonly CreatedBatch[] {
  const { records, recordsPerBatch, recordsPerPass } = load;
  const { network, size } = ledger;
  const gateway = network.consumer.gateway;
  const seen = { size, root: ledger.rootAt(size) as Uint8Array };
  const batches: CreatedBatch[] = [];
  for (let number = 0; number * recordsPerBatch < recordsPerPass; number++) {
    const own = Array.from({ length: recordsPerBatch }, (_, i) => {
      const record = records[(number * recordsPerBatch + i) % records.length] as Uint8Array;
      return record.slice();
    });
    const sealedAtMs = ledger.nowMs + number;
    const prev = batches.at(-1)?.leafHash ?? new Uint8Array(32);
    const fields = { network: network.id, gateway: gateway.id, epoch: 0n, boot: gateway.boot };
    batches.push(
      sealBatch(
        {
          ...fields,
          kind: "evidence",
          seq: BigInt(number),
          prev,
          seen,
          firstAtMs: sealedAtMs,
          sealedAtMs,
        },
        own,
        gateway.batch,
      ),
    );
  }
  return batches;
}

/** Seconds that it took. */
async function fold(ledger: TestLedger, batches: readonly CreatedBatch[]): Promise<number> {
  const { verifier } = ledger.network;
  let { state } = ledger;
  const started = performance.now();
  for (const batch of batches) {
    const verified = await verifyBatch(state, batch, verifier);
    if (verified.kind === "rejected") throw new Error(`not verified: ${verified.reason}`);
    const applied = apply(state, verified, state.size, ledger.rootAt);
    if (applied.kind === "rejected") throw new Error(`not applied: ${applied.reason}`);
    state = applied.state;
  }
  return (performance.now() - started) / 1000;
}

async function include(ledger: TestLedger, batches: readonly CreatedBatch[]): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "causeway-verify-"));
  const store = new SqliteLedgerStore(join(folder, "ledger.sqlite"));
  try {
    const { payload, verifier } = ledger.network;
    const network = readLedgerNetwork(payload);
    const replica = await LedgerReplica.open({ network, store, verifier, clock: systemClock });
    await replica.include(ledger.batches, "stop");
    const started = performance.now();
    for (let from = 0; from < batches.length; from += appendBatchesMax) {
      await replica.include(batches.slice(from, from + appendBatchesMax), "stop");
    }
    const seconds = (performance.now() - started) / 1000;
    if (replica.state().size !== ledger.size + BigInt(batches.length)) {
      throw new Error("a batch was not included");
    }
    return seconds;
  } finally {
    store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function repeat(
  path: VerifyFigures["path"],
  load: VerifyLoad,
  pass: () => Promise<number>,
): Promise<VerifyFigures> {
  const { records, recordsPerBatch, recordsPerPass, seconds } = load;
  await pass();
  const perPass = Math.ceil(recordsPerPass / recordsPerBatch) * recordsPerBatch;
  const cpuAtStart = process.cpuUsage();
  let verified = 0;
  let spent = 0;
  while (spent < seconds) {
    spent += await pass();
    verified += perPass;
  }
  const cpu = process.cpuUsage(cpuAtStart);
  return {
    path,
    recordBytes: records[0]?.length ?? 0,
    recordsPerBatch,
    recordsPerSecond: verified / spent,
    cpuUsPerRecord: (cpu.user + cpu.system) / verified,
  };
}
