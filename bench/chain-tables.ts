/** Chains, and chains held against each other, as columns of text. */
import type { ChainFigures, Comparison } from "./figures.ts";
import { table } from "./table.ts";

const chainHead = [
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
];

export function chainTable(chains: readonly ChainFigures[]): string[] {
  return table(chainHead, chains.map(chainRow));
}

/** `aimOf` says what is aimed at, or nothing. A figure that misses its aim is printed all the same. */
export function comparisonTable(
  compared: readonly Comparison[],
  aimOf: (comparison: Comparison) => string,
): string[] {
  const head = ["compared", "in flight", "exchanges/s", "added p50 ms", "added p99 ms", "aim"];
  return table(
    head,
    compared.map((c) => [
      `${c.chain} / ${c.against}`,
      String(c.inFlight),
      c.throughput.toFixed(2),
      c.addedP50Ms.toFixed(2),
      c.addedP99Ms.toFixed(2),
      aimOf(c),
    ]),
  );
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

export function mib(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(0);
}
