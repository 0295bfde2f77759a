/** The figures of a run as text. */
import type { ChainFigures, Comparison } from "./figures.ts";
import { formatLedgerReport } from "./ledger-report.ts";
import type { ReplayMeasurement } from "./replay.ts";
import type { RunFigures } from "./run.ts";
import { table } from "./table.ts";

/** What is aimed at. A figure that misses its aim is printed all the same. */
const aims = { throughput: 1, addedP50Ms: 1, addedP99Ms: 3, evidence: 0.55 } as const;

export function formatReport(run: RunFigures): string {
  const { machine, plan } = run;
  const lines = [
    `Node ${machine.node}, ${machine.cpus} x ${machine.cpu}, ${machine.platform}; flags ${plan.nodeFlags.join(" ")}`,
  ];
  const { exchanges, seal, replay, ledger } = run;
  if (exchanges !== undefined) {
    lines.push(
      `${plan.rounds} rounds of ${plan.seconds} s for each chain, interleaved, after ${plan.warmSeconds} s of warm-up; medians.`,
      "Unary calls to a synthetic upstream with answers of 500 bytes; all processes share the machine.",
      "base: two relays in plain grpc-js without TLS. evidence off: our listener, link (mutual TLS) and",
      "upstream client alone. evidence on: both gateways, with token, decision, records, ledger, witnesses.",
      "",
      ...table(
        [
          "chain",
          "in flight",
          "exchanges/s",
          "p50 ms",
          "p99 ms",
          "CPU s/1,000",
          "client",
          "consumer",
          "provider",
          "upstream",
        ],
        exchanges.chains.map(chainRow),
      ),
      "",
      ...table(
        ["compared", "in flight", "exchanges/s", "added p50 ms", "added p99 ms", "aim"],
        exchanges.comparisons.map(comparisonRow),
      ),
      "",
      ...exchanges.ledger.map(
        (f) =>
          `ledger at ${f.inFlight} in flight: ${f.bytesPerExchange.toFixed(0)} bytes per exchange ` +
          `(${f.leafBytesPerExchange.toFixed(0)} of leaves, ${f.recordBytesPerExchange.toFixed(0)} of records), ` +
          `${f.recordsPerBatch.toFixed(1)} records in a batch`,
      ),
      ...exchanges.chains.filter(({ chain }) => chain === "evidence on").map(residentLine),
    );
  } else lines.push("exchanges: not measured");
  lines.push(
    "",
    seal === undefined
      ? "records sealed/s: not measured"
      : `records sealed/s: ${seal.sealsPerSecond} durable, of ${seal.recordBytes} bytes, ${seal.callers} callers, ` +
          `p50 ${seal.p50Ms} ms, p99 ${seal.p99Ms} ms, ${seal.recordsPerBatch} in a batch`,
    ...(replay === undefined ? ["records replayed/s: not measured"] : replay.map(replayLine)),
    "",
    ...(ledger === undefined ? ["the ledger: not measured"] : formatLedgerReport(ledger)),
  );
  return `${lines.join("\n")}\n`;
}

function chainRow(f: ChainFigures): string[] {
  const { all, client, consumer, provider, upstream } = f.cpuSecondsPer1000;
  return [
    f.chain,
    String(f.inFlight),
    f.exchangesPerSecond.toFixed(0),
    f.p50Ms.toFixed(2),
    f.p99Ms.toFixed(2),
    ...[all, client, consumer, provider, upstream].map((seconds) => seconds.toFixed(3)),
  ];
}

function comparisonRow(c: Comparison): string[] {
  return [
    `${c.chain} / ${c.against}`,
    String(c.inFlight),
    c.throughput.toFixed(2),
    c.addedP50Ms.toFixed(2),
    c.addedP99Ms.toFixed(2),
    aimOf(c),
  ];
}

function aimOf({ chain, against, inFlight }: Comparison): string {
  if (chain !== "evidence on") return "";
  if (against === "evidence off") return `exchanges/s >= ${aims.evidence}`;
  if (inFlight === 1) return `p50 <= ${aims.addedP50Ms} ms, p99 <= ${aims.addedP99Ms} ms`;
  return `exchanges/s >= ${aims.throughput.toFixed(2)}`;
}

function residentLine({ inFlight, residentBytes, settleSeconds }: ChainFigures): string {
  const mib = (bytes: number): string => (bytes / 1024 / 1024).toFixed(0);
  return (
    `gateways at ${inFlight} in flight: resident ${mib(residentBytes.consumer)} MiB consumer, ` +
    `${mib(residentBytes.provider)} MiB provider with the sequencer; ` +
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
