/** The figures of the ledger as text. */
import type { LedgerMeasurement } from "./ledger.ts";
import type { EngineFigures, GatewayRole } from "./ledger-engine.ts";
import type { TreeFigures, TreeProcess, TreeReplica } from "./ledger-tree.ts";
import type { VerifyFigures } from "./ledger-verify.ts";
import type { SealFigures } from "./seal.ts";
import { table } from "./table.ts";

/** What is aimed at. A figure that misses its aim is printed all the same. */
const aims = { sealToFinalMs: 500, verifiedPerSecond: 300_000, sealP99Ms: 30, flat: 1.3 } as const;

const roles: readonly GatewayRole[] = ["sealing", "sequencer", "follower"];

export function formatLedgerReport({ sealed, final, verified, tree }: LedgerMeasurement): string[] {
  return [
    "records sealed, durable: callers that each seal one record after another",
    ...table(
      ["record", "callers", "records/s", "p50 ms", "p99 ms", "in a batch", "CPU us", "aim"],
      sealed.map(sealRow),
    ),
    "",
    "records made final at the replica of the gateway that sealed them: four cities as four processes on this",
    "machine (one seals, one sequences, two follow), all verify, store and cosign, three must cosign",
    ...table(
      [
        "load",
        "record",
        "final/s",
        "leaves/s",
        "sizes/s",
        "seal p50 ms",
        "to final p50 ms",
        "p99 ms",
        "all final after s",
        "aim",
      ],
      final.map(finalRow),
    ),
    "",
    ...table(
      ["load", "record", "cores", "CPU us/record", ...roles, ...roles.map((role) => `${role} MiB`)],
      final.map(usageRow),
    ),
    "",
    "records verified, integrity only, one thread: the fold alone, and a replica that also stores",
    ...table(
      ["path", "record", "in a batch", "records/s", "per CPU second", "aim"],
      verified.map(verifyRow),
    ),
    "",
    "one stored ledger, leaves of 276 bytes with one record of 300; appends are durable",
    ...table(
      ["operation", "leaves", "p50 us", "p99 us", "to smallest", "aim"],
      tree.operations.map(treeRow),
    ),
    "",
    ...tree.processes.map(processLine),
    ...tree.replicas.map(replicaLine),
  ];
}

function sealRow(f: SealFigures): string[] {
  return [
    `${f.recordBytes} bytes`,
    String(f.callers),
    String(f.sealsPerSecond),
    f.p50Ms.toFixed(2),
    f.p99Ms.toFixed(2),
    f.recordsPerBatch.toFixed(1),
    f.cpuUsPerRecord.toFixed(1),
    `p99 <= ${aims.sealP99Ms} ms`,
  ];
}

function loadOf({ arrivals }: EngineFigures): string {
  return arrivals.kind === "paced"
    ? `${arrivals.perSecond.toFixed(0)} a second`
    : `${arrivals.callers} callers`;
}

function finalRow(f: EngineFigures, number: number): string[] {
  return [
    loadOf(f),
    `${f.recordBytes} bytes`,
    f.finalPerSecond.toFixed(0),
    f.leavesPerSecond.toFixed(0),
    f.finalSizesPerSecond.toFixed(1),
    f.seal.p50.toFixed(1),
    f.sealToFinal.p50.toFixed(0),
    f.sealToFinal.p99.toFixed(0),
    f.settleSeconds.toFixed(1),
    number === 0 ? `p50 <= ${aims.sealToFinalMs} ms` : "",
  ];
}

function usageRow(f: EngineFigures): string[] {
  return [
    loadOf(f),
    `${f.recordBytes} bytes`,
    f.coresUsed.toFixed(2),
    f.cpuUsPerRecord.all.toFixed(0),
    ...roles.map((role) => f.cpuUsPerRecord[role].toFixed(0)),
    ...roles.map((role) => mib(f.residentBytes[role])),
  ];
}

function verifyRow(f: VerifyFigures): string[] {
  return [
    f.path,
    `${f.recordBytes} bytes`,
    String(f.recordsPerBatch),
    f.recordsPerSecond.toFixed(0),
    (1e6 / f.cpuUsPerRecord).toFixed(0),
    `records/s >= ${aims.verifiedPerSecond}`,
  ];
}

function treeRow(f: TreeFigures): string[] {
  return [
    f.operation,
    String(f.leaves),
    f.p50Us.toFixed(0),
    f.p99Us.toFixed(0),
    f.toSmallest.toFixed(2),
    `<= ${aims.flat}`,
  ];
}

function processLine(f: TreeProcess): string {
  return (
    `a process over ${f.leaves} leaves: ${mib(f.fileBytes)} MiB on disk, ${mib(f.residentBytes)} MiB resident, ` +
    `open after ${f.openSeconds.toFixed(2)} s; filled in ${f.fillSeconds.toFixed(0)} s`
  );
}

function replicaLine(f: TreeReplica): string {
  return (
    `a replica over ${f.leaves} leaves: ${mib(f.residentBytes)} MiB resident, open after ${f.openSeconds.toFixed(2)} s ` +
    `(${f.refolded} batches folded again); includes ${f.includedPerSecond.toFixed(0)} batches/s of one record, durable`
  );
}

function mib(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(0);
}
