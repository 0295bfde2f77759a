/** The ledger measured: sealed, made final, verified, and what a long one costs. */
import { type EngineFigures, type EngineLoad, measureEngine } from "./ledger-engine.ts";
import { type BenchRecords, createBenchRecords } from "./ledger-records.ts";
import { measureTree, type TreeMeasurement, type TreePlan } from "./ledger-tree.ts";
import { measureVerify, type VerifyFigures } from "./ledger-verify.ts";
import { measureSeal, type SealFigures } from "./seal.ts";

export interface LedgerPlan {
  /** Measured seconds of each load. */
  readonly seconds: number;
  readonly warmSeconds: number;
  /** Concurrent callers of the sealer, of each load. */
  readonly callers: readonly number[];
  readonly engineLoads: readonly EngineLoad[];
  /** Records of one pass of the verification. */
  readonly recordsPerPass: number;
  readonly tree: TreePlan;
  readonly nodeFlags: readonly string[];
}

export interface LedgerMeasurement {
  readonly sealed: readonly SealFigures[];
  readonly final: readonly EngineFigures[];
  readonly verified: readonly VerifyFigures[];
  readonly tree: TreeMeasurement;
}

const window = 32_768;

/** As much as `npm run bench` measures; the largest stored ledger has 10^`exponent` leaves. */
export function ledgerPlan(options: {
  readonly seconds: number;
  readonly warmSeconds: number;
  readonly rounds: number;
  readonly exponent: number;
  readonly nodeFlags: readonly string[];
}): LedgerPlan {
  const { seconds, rounds, exponent, nodeFlags } = options;
  return {
    seconds,
    warmSeconds: Math.min(options.warmSeconds, 3),
    callers: [1, 10, 100, 1000],
    engineLoads: [
      { records: "receipts", arrivals: { kind: "paced", perSecond: 10 } },
      { records: "receipts", arrivals: { kind: "callers", callers: 1, window } },
      { records: "receipts", arrivals: { kind: "callers", callers: 100, window } },
      { records: "300 bytes", arrivals: { kind: "callers", callers: 1000, window } },
      { records: "receipts", arrivals: { kind: "callers", callers: 1000, window } },
      { records: "receipts", arrivals: { kind: "half" } },
    ],
    recordsPerPass: 128 * 1024,
    tree: {
      sizes: Array.from({ length: exponent - 3 }, (_, i) => 10 ** (4 + i)),
      rounds,
      times: 200,
    },
    nodeFlags,
  };
}

/** Runs the plan. `progress` is told before each step. */
export async function measureLedger(
  plan: LedgerPlan,
  progress: (what: string) => void,
): Promise<LedgerMeasurement> {
  const records = await createBenchRecords(64);
  const sealed = await sealAll(plan, records, progress);
  const final = await measureEngine({ ...plan, loads: plan.engineLoads }, records, progress);
  const verified = await verifyAll(plan, records, progress);
  const tree = await measureTree(plan.tree, progress);
  return { sealed, final, verified, tree };
}

async function sealAll(
  plan: LedgerPlan,
  records: BenchRecords,
  progress: (what: string) => void,
): Promise<readonly SealFigures[]> {
  const sealed: SealFigures[] = [];
  for (const set of ["300 bytes", "receipts"] as const) {
    for (const callers of plan.callers) {
      progress(`sealing ${set}, ${callers} callers`);
      sealed.push(
        await measureSeal({
          callers,
          record: records[set][0] as Uint8Array,
          warmMs: plan.warmSeconds * 1000,
          measuredMs: plan.seconds * 1000,
        }),
      );
    }
  }
  return sealed;
}

async function verifyAll(
  plan: LedgerPlan,
  records: BenchRecords,
  progress: (what: string) => void,
): Promise<readonly VerifyFigures[]> {
  const verified: VerifyFigures[] = [];
  // A batch has at most 512 KiB: 1,024 receipts do not fit.
  const loads = [
    ["300 bytes", 64],
    ["300 bytes", 1024],
    ["receipts", 64],
    ["receipts", 400],
  ] as const;
  for (const [set, recordsPerBatch] of loads) {
    progress(`verifying ${set}, ${recordsPerBatch} in a batch`);
    const { recordsPerPass, seconds } = plan;
    verified.push(
      ...(await measureVerify({ records: records[set], recordsPerBatch, recordsPerPass, seconds })),
    );
  }
  return verified;
}
