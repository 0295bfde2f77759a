/** The figures of a run as text. */
import { formatBesideNginx, formatBesideTessera } from "./beside-report.ts";
import { chainTable, comparisonTable, mib } from "./chain-tables.ts";
import type { ChainFigures, Comparison } from "./figures.ts";
import { formatLedgerReport } from "./ledger-report.ts";
import type { ReplayMeasurement } from "./replay.ts";
import type { DiskUse } from "./disk.ts";
import type { ExchangeFigures, RunFigures } from "./run.ts";
import type { StreamFigures } from "./stream.ts";
import { table } from "./table.ts";

/** What is aimed at. A figure that misses its aim is printed all the same. */
const aims = {
  throughput: 1,
  addedP50Ms: 1,
  addedP99Ms: 3,
  evidence: 0.55,
  stream: 1.2,
  residentMib: 250,
} as const;

export function formatReport(run: RunFigures): string {
  const { machine, plan } = run;
  const lines = [
    `Node ${machine.node}, ${machine.cpus} x ${machine.cpu}, ${machine.platform}; flags ${plan.nodeFlags.join(" ")}`,
    ...(machine.isFolderInMemory
      ? [`${machine.folder} is kept in memory: no figure below says what a disk costs. Set TMPDIR.`]
      : []),
    "",
  ];
  const { exchanges, nginx, stream, seal, tessera, replay, ledger } = run;
  if (exchanges !== undefined) {
    lines.push(
      `${plan.rounds} rounds of ${plan.seconds} s for each chain, interleaved, after ${plan.warmSeconds} s and ${plan.warmExchanges} exchanges of warm-up; medians.`,
      "Unary calls to a synthetic upstream with answers of 500 bytes; all processes share the machine.",
      "base: two relays in plain grpc-js without TLS. evidence off: our listener, link (mutual TLS) and",
      "upstream client alone. evidence on: both gateways, with token, decision, records, ledger, witnesses.",
      "",
      ...chainTable(exchanges.chains),
      "",
      ...comparisonTable(exchanges.comparisons, aimOf),
      "",
      ...exchanges.ledger.map(
        (f) =>
          `ledger at ${f.inFlight} in flight: ${f.bytesPerExchange.toFixed(0)} bytes per exchange ` +
          `(${f.leafBytesPerExchange.toFixed(0)} of leaves, ${f.recordBytesPerExchange.toFixed(0)} of records), ` +
          `${f.recordsPerBatch.toFixed(1)} records in a batch`,
      ),
      ...exchanges.chains.filter(({ chain }) => chain === "evidence on").map(residentLine),
      "",
      ...costSheet(exchanges),
    );
  } else lines.push("exchanges: not measured");
  lines.push(
    "",
    ...formatBesideNginx(nginx),
    "",
    ...(stream === undefined ? ["a stream: not measured"] : streamLines(stream)),
    "",
    seal === undefined
      ? "records sealed/s: not measured"
      : `records sealed/s: ${seal.sealsPerSecond} durable, of ${seal.recordBytes} bytes, ${seal.callers} callers, ` +
          `p50 ${seal.p50Ms} ms, p99 ${seal.p99Ms} ms, ${seal.recordsPerBatch} in a batch`,
    "",
    ...formatBesideTessera(tessera),
    "",
    ...(replay === undefined ? ["records replayed/s: not measured"] : replay.map(replayLine)),
    "",
    ...(ledger === undefined ? ["the ledger: not measured"] : formatLedgerReport(ledger)),
  );
  return `${lines.join("\n")}\n`;
}

function aimOf({ chain, against, inFlight }: Comparison): string {
  if (chain !== "evidence on") return "";
  if (against === "evidence off") return `exchanges/s >= ${aims.evidence}`;
  if (inFlight === 1) return `p50 <= ${aims.addedP50Ms} ms, p99 <= ${aims.addedP99Ms} ms`;
  return `exchanges/s >= ${aims.throughput.toFixed(2)}`;
}

/** What a million exchanges cost both parties. A byte of one exchange is a megabyte of a million. */
function costSheet({ chains, ledger, disk }: ExchangeFigures): string[] {
  const rows = chains.flatMap(({ chain, inFlight, cpuSecondsPer1000 }) => {
    if (chain !== "evidence on") return [];
    const onLedger = ledger.find((figures) => figures.inFlight === inFlight);
    const { consumer, provider } = cpuSecondsPer1000;
    return [
      [
        String(inFlight),
        (consumer * 1000).toFixed(0),
        (provider * 1000).toFixed(0),
        (onLedger?.bytesPerExchange ?? Number.NaN).toFixed(0),
      ],
    ];
  });
  const use = (name: string, of: DiskUse): string =>
    `  ${name}: journal ${of.journal.toFixed(0)} MB, ledger ${of.ledger.toFixed(0)} MB, ` +
    `openings and what is held ${of.other.toFixed(0)} MB`;
  return [
    "cost of a million exchanges",
    ...table(["in flight", "CPU s consumer", "CPU s provider", "MB on the ledger"], rows),
    `on disk, by all ${disk.exchanges} exchanges of this run`,
    use("consumer", disk.consumer),
    use("provider", disk.provider),
  ];
}

function streamLines({ messageBytes, messages, chains, throughput }: StreamFigures): string[] {
  return [
    `one server stream of ${messages} messages of ${messageBytes} bytes`,
    ...table(
      ["chain", "MB/s", "first ms", "CPU s/GB: client", "consumer", "provider", "upstream", "MiB"],
      chains.map((f) => {
        const { client, consumer, provider, upstream } = f.cpuSecondsPerGigabyte;
        return [
          f.chain,
          f.megabytesPerSecond.toFixed(0),
          f.firstMs.toFixed(1),
          ...[client, consumer, provider, upstream].map((seconds) => seconds.toFixed(2)),
          `${mib(f.residentBytes.consumer)} + ${mib(f.residentBytes.provider)}`,
        ];
      }),
    ),
    `evidence on / base: ${throughput.toFixed(2)} (aim >= ${aims.stream.toFixed(2)})`,
  ];
}

function residentLine({ inFlight, residentBytes, settleSeconds }: ChainFigures): string {
  return (
    `gateways at ${inFlight} in flight: resident ${mib(residentBytes.consumer)} MiB consumer, ` +
    `${mib(residentBytes.provider)} MiB provider with the sequencer (aim <= ${aims.residentMib}); ` +
    `all final ${settleSeconds.toFixed(2)} s after the last call`
  );
}

function replayLine(r: ReplayMeasurement): string {
  const depth = r.depth === "full" ? "with every decision, both sides matched" : "integrity";
  return (
    `records replayed/s: ${r.recordsPerSecond.toFixed(0)}, ${depth} ` +
    `(${r.records} records in ${r.batches} batches, one thread, ${r.seconds.toFixed(1)} s)`
  );
}
