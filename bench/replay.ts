/** How fast one thread replays: integrity alone, and with every decision and both sides matched. */
import { decodeExport } from "../src/audit/export-file.ts";
import { type ReplayResult, replayLedger } from "../src/audit/replay.ts";
import type { Verifier } from "../src/crypto/ports.ts";
import type { PolicyEngine } from "../src/policy/ports.ts";

export interface ReplayMeasurement {
  readonly depth: "integrity" | "full";
  readonly batches: number;
  readonly records: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly recordsPerSecond: number;
  readonly findings: number;
}

/**
 * Replays an export from memory and measures it. The clock is `performance.now`; the export is decoded
 * inside of the time that counts.
 */
export async function measureReplay(options: {
  readonly exported: Uint8Array;
  readonly networkId: Uint8Array;
  readonly verifier: Verifier;
  readonly engine: PolicyEngine;
  readonly depth: "integrity" | "full";
}): Promise<ReplayMeasurement> {
  const { exported, networkId, verifier, engine, depth } = options;
  const started = performance.now();
  const result = await replayLedger(decodeExport([exported]), {
    networkId,
    verifier,
    depth,
    ...(depth === "full" ? { engine } : {}),
  });
  const seconds = (performance.now() - started) / 1000;
  const records = recordsOf(result);
  return {
    depth,
    batches: Number(result.size),
    records,
    bytes: exported.length,
    seconds,
    recordsPerSecond: records / seconds,
    findings: result.findings.length,
  };
}

function recordsOf({ records }: ReplayResult): number {
  return Object.values(records).reduce((sum, count) => sum + count, 0);
}
