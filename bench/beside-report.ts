/** The figures beside other people's programs as text, with what each does and does not do. */
import type { NginxFigures } from "./beside-nginx.ts";
import type { DurableFigures, TesseraFigures } from "./beside-tessera.ts";
import { chainTable, comparisonTable, mib } from "./chain-tables.ts";
import type { Comparison } from "./figures.ts";
import { isMissing, type Missing } from "./missing.ts";
import { table } from "./table.ts";

/** What is aimed at. A figure that misses its aim is printed all the same. */
const aims = { nginx: 0.5, nginxInFlight: 32, tessera: 1, sealP99Ms: 30 } as const;

/** With more callers than these, each waits longer than that for the others alone. */
const callersOfP99Max = 1024;

export function formatBesideNginx(figures: NginxFigures | Missing | undefined): string[] {
  if (figures === undefined) return ["beside two hops of nginx: not measured"];
  if (isMissing(figures)) return [`beside two hops of nginx: not measured: ${figures.missing}`];
  const { version, answerBytes, chains, comparisons } = figures;
  return [
    `beside two hops of nginx ${version}: unary calls of a Go client on one connection, to a Go upstream with`,
    `answers of ${answerBytes} bytes. nginx: plaintext, mutual TLS 1.3 between the hops, plaintext; pools of kept`,
    "connections, a worker for each core and hop, nothing logged. It passes calls on: it decides nothing, signs",
    "nothing, writes nothing. evidence on: the same calls through both gateways, mutual TLS 1.3 between them, with",
    "token, decision, and a receipt and an acknowledgement that are signed and synced to disk before the answer.",
    ...chainTable(chains),
    "",
    ...comparisonTable(comparisons, nginxAimOf),
    "",
    ...chains.map(
      ({ chain, inFlight, residentBytes: { consumer, provider } }) =>
        `${chain} at ${inFlight} in flight: resident ${mib(consumer)} + ${mib(provider)} MiB`,
    ),
  ];
}

function nginxAimOf({ inFlight }: Comparison): string {
  return inFlight === aims.nginxInFlight ? `exchanges/s >= ${aims.nginx.toFixed(2)}` : "";
}

export function formatBesideTessera(figures: TesseraFigures | Missing | undefined): string[] {
  if (figures === undefined) return ["records sealed/s beside Tessera: not measured"];
  if (isMissing(figures)) {
    return [`records sealed/s beside Tessera: not measured: ${figures.missing}`];
  }
  const { version, recordBytes, batchAgeMsMax, measured, comparisons } = figures;
  return [
    `records of ${recordBytes} bytes made durable: the sealer beside the POSIX driver of Tessera ${version}, on one disk,`,
    "callers that each wait for one record after another.",
    "sealer: a batch is what came while the last one was written; a caller is answered after one commit that is",
    "synced to disk, with a header signed over the batch's root and the path of its record to it. The batch is in",
    "the gateway's own journal: that it is on the shared ledger and cosigned comes later (--only ledger measures it).",
    "Tessera: a batch is so many entries, as many as callers or fewer, so that it never waits for its age " +
      `(${batchAgeMsMax} ms);`,
    "a caller is answered once bundles, tiles and the tree's state are written, each file and its folder synced, with",
    "an index in the log. It is given no signature and no proof: the checkpoint is signed later, every 10 s as is the",
    "library's default. No deduplication.",
    ...table(
      ["", "callers", "batch at most", "records/s", "p50 ms", "p99 ms", "CPU us/record"],
      measured.map(durableRow),
    ),
    "",
    ...table(
      ["the sealer / Tessera's fastest", "records/s", "aim", "sealer's p99 ms", "aim"],
      comparisons.map(({ callers, throughput, p99Ms }) => [
        `${callers} callers`,
        throughput.toFixed(2),
        `>= ${aims.tessera.toFixed(2)}`,
        p99Ms.toFixed(1),
        callers <= callersOfP99Max ? `<= ${aims.sealP99Ms}` : "",
      ]),
    ),
  ];
}

function durableRow(f: DurableFigures): string[] {
  return [
    f.batchEntriesMax === undefined ? "sealer" : "Tessera",
    String(f.callers),
    f.batchEntriesMax === undefined ? "" : String(f.batchEntriesMax),
    f.recordsPerSecond.toFixed(0),
    f.p50Ms.toFixed(2),
    f.p99Ms.toFixed(2),
    f.cpuUsPerRecord.toFixed(1),
  ];
}
