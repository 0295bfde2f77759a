/** How fast the sealer makes records durable, with real files and the real worker. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { CausewayError } from "../src/base/errors.ts";
import { emptyRoot } from "../src/merkle/hash.ts";
import type { Journal } from "../src/ledger/journal/journal.ts";
import { openJournal } from "../src/ledger/journal/sealer.ts";

export interface SealLoad {
  /** Callers that each seal one record after another. */
  readonly callers: number;
  /** What each of them seals; the journal does not look into it. */
  readonly record: Uint8Array;
  /** Milliseconds before anything is counted. */
  readonly warmMs: number;
  readonly measuredMs: number;
  /** Where the journal is made, a folder on the disk to be measured; the system's temporary one unless given. */
  readonly folder?: string;
}

export interface SealFigures {
  readonly callers: number;
  readonly recordBytes: number;
  readonly sealsPerSecond: number;
  readonly recordsPerBatch: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU microseconds of all threads for each record, the callers' own included. */
  readonly cpuUsPerRecord: number;
}

/** Seals under `load` and returns what was measured after the warm-up. The journal is removed. */
export async function measureSeal(load: SealLoad): Promise<SealFigures> {
  const folder = mkdtempSync(join(load.folder ?? tmpdir(), "causeway-seal-"));
  const journal = await openBenchJournal(folder);
  try {
    return await measure(journal, load);
  } finally {
    await journal.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function openBenchJournal(folder: string): Promise<Journal> {
  return openJournal({
    path: join(folder, "journal.db"),
    gateway: "hangzhou/market-regulation/gw1",
    network: new Uint8Array(32),
    batchKeySeed: new Uint8Array(32).fill(1),
    epoch: 0n,
    boot: new Uint8Array(16),
    clock: { nowMs: () => Date.now(), monotonicMs: () => performance.now() },
    scheduler: {
      after: (delayMs, run) => {
        const timer = setTimeout(run, delayMs);
        return () => clearTimeout(timer);
      },
    },
    seen: () => ({ size: 0n, root: emptyRoot }),
    queueBytesMax: 64 * 1024 * 1024,
    onFatal: (error: CausewayError) => {
      throw error;
    },
  });
}

async function measure(journal: Journal, load: SealLoad): Promise<SealFigures> {
  const latenciesMs: number[] = [];
  const start = performance.now() + load.warmMs;
  const end = start + load.measuredMs;
  const { record } = load;
  let firstBatch = 0;
  let cpuAtStart: NodeJS.CpuUsage | undefined;
  const caller = async (): Promise<void> => {
    for (let before = performance.now(); before < end; ) {
      await journal.sealer.seal({ kind: "evidence", record, decidedAtMs: Date.now(), states: [] });
      const after = performance.now();
      if (before >= start) {
        if (cpuAtStart === undefined) {
          cpuAtStart = process.cpuUsage();
          firstBatch = journal.reader.batchCount();
        }
        latenciesMs.push(after - before);
      }
      before = after;
    }
  };
  await Promise.all(Array.from({ length: load.callers }, caller));
  const cpu = process.cpuUsage(cpuAtStart);
  const batches = journal.reader.batchCount() - firstBatch;
  const count = latenciesMs.length;
  const sorted = Float64Array.from(latenciesMs).sort();
  return {
    callers: load.callers,
    recordBytes: record.length,
    sealsPerSecond: Math.round((count * 1000) / load.measuredMs),
    recordsPerBatch: round(count / Math.max(1, batches)),
    p50Ms: round(sorted[Math.floor(count * 0.5)] ?? Number.NaN),
    p99Ms: round(sorted[Math.floor(count * 0.99)] ?? Number.NaN),
    cpuUsPerRecord: round((cpu.user + cpu.system) / count),
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
