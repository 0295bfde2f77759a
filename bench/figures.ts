/** From the samples of all rounds to the figures of a run. */
import type { ChainName } from "./chains.ts";
import { countLedgerBytes } from "./ledger-bytes.ts";
import type { Sample } from "./rounds.ts";
import type { ProcessName } from "./usage.ts";

/** Medians over the rounds. */
export interface ChainFigures {
  readonly chain: ChainName;
  readonly inFlight: number;
  readonly exchangesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Each round's exchanges per second, in order. */
  readonly rounds: readonly number[];
  /** CPU seconds for 1,000 exchanges, the time after the last call included. */
  readonly cpuSecondsPer1000: Readonly<Record<ProcessName | "all", number>>;
  /** Largest of the rounds. */
  readonly residentBytes: { readonly consumer: number; readonly provider: number };
  /** Seconds after the last call until everything sealed was final. */
  readonly settleSeconds: number;
}

/** One chain held against another, at the same calls in flight; medians of what each round gave. */
export interface Comparison {
  readonly chain: ChainName;
  readonly against: ChainName;
  readonly inFlight: number;
  /** Exchanges per second, `chain` / `against`. */
  readonly throughput: number;
  /** Milliseconds, `chain` - `against`. */
  readonly addedP50Ms: number;
  readonly addedP99Ms: number;
}

export interface LedgerFigures {
  readonly inFlight: number;
  /** Leaf and records of both gateways. */
  readonly bytesPerExchange: number;
  readonly leafBytesPerExchange: number;
  readonly recordBytesPerExchange: number;
  readonly recordsPerBatch: number;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length % 2 === 1) return sorted[middle] as number;
  return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

/** One entry for each chain and number of calls in flight, in the order of the samples. */
export function chainFigures(samples: readonly Sample[]): readonly ChainFigures[] {
  return groups(samples).map((group) => {
    const [{ chain, inFlight }] = group;
    const of = (figure: (sample: Sample) => number): number => median(group.map(figure));
    const cpu = (process: ProcessName): number =>
      of(({ cpuSeconds, load }) => (cpuSeconds[process] * 1000) / load.exchangesInAll);
    const largest = (hop: "consumer" | "provider"): number =>
      Math.max(...group.map(({ residentBytes }) => residentBytes[hop]));
    return {
      chain,
      inFlight,
      exchangesPerSecond: of(({ load }) => load.exchangesPerSecond),
      p50Ms: of(({ load }) => load.p50Ms),
      p99Ms: of(({ load }) => load.p99Ms),
      rounds: group.map(({ load }) => load.exchangesPerSecond),
      cpuSecondsPer1000: {
        client: cpu("client"),
        consumer: cpu("consumer"),
        provider: cpu("provider"),
        upstream: cpu("upstream"),
        all: of(({ cpuSeconds, load }) => (totalOf(cpuSeconds) * 1000) / load.exchangesInAll),
      },
      residentBytes: { consumer: largest("consumer"), provider: largest("provider") },
      settleSeconds: of(({ settleSeconds }) => settleSeconds),
    };
  });
}

/** Every pair of a later chain and an earlier one. */
export function comparisons(samples: readonly Sample[]): readonly Comparison[] {
  const pairs: readonly (readonly [ChainName, ChainName])[] = [
    ["evidence off", "base"],
    ["evidence on", "base"],
    ["evidence on", "nginx"],
    ["evidence on", "evidence off"],
  ];
  const all = groups(samples);
  return pairs.flatMap(([chain, against]) =>
    all
      .filter(([first]) => first.chain === chain)
      .flatMap((own) => {
        const [{ inFlight }] = own;
        const other = all.find(([s]) => s.chain === against && s.inFlight === inFlight);
        return other === undefined ? [] : [compare(own, other)];
      }),
  );
}

type Group = readonly [Sample, ...Sample[]];

function compare(own: Group, other: Group): Comparison {
  const of = (figure: (a: Sample["load"], b: Sample["load"]) => number): number =>
    median(own.map(({ load }, i) => figure(load, (other[i] as Sample).load)));
  return {
    chain: own[0].chain,
    against: other[0].chain,
    inFlight: own[0].inFlight,
    throughput: of((a, b) => a.exchangesPerSecond / b.exchangesPerSecond),
    addedP50Ms: of((a, b) => a.p50Ms - b.p50Ms),
    addedP99Ms: of((a, b) => a.p99Ms - b.p99Ms),
  };
}

/** Counted in the provider's replica, whose process has ended. */
export function ledgerFigures(
  samples: readonly Sample[],
  dataFolder: string,
): readonly LedgerFigures[] {
  return groups(samples).flatMap((group) => {
    const ranges = group.flatMap(({ batches }) => (batches === undefined ? [] : [batches]));
    if (ranges.length === 0) return [];
    const total = countLedgerBytes(dataFolder, ranges);
    const exchanges = group.reduce((sum, { load }) => sum + load.exchangesInAll, 0);
    // The figures are worth nothing if an exchange left no receipt.
    if (total.receipts !== exchanges) {
      throw new Error(`${exchanges} exchanges left ${total.receipts} receipts`);
    }
    return [
      {
        inFlight: group[0].inFlight,
        bytesPerExchange: (total.leafBytes + total.recordBytes) / exchanges,
        leafBytesPerExchange: total.leafBytes / exchanges,
        recordBytesPerExchange: total.recordBytes / exchanges,
        recordsPerBatch: total.records / total.batches,
      },
    ];
  });
}

function groups(samples: readonly Sample[]): readonly Group[] {
  const byName = new Map<string, [Sample, ...Sample[]]>();
  for (const sample of samples) {
    const name = `${sample.inFlight} ${sample.chain}`;
    const group = byName.get(name);
    if (group === undefined) byName.set(name, [sample]);
    else group.push(sample);
  }
  return [...byName.values()];
}

function totalOf(cpuSeconds: Sample["cpuSeconds"]): number {
  return cpuSeconds.client + cpuSeconds.consumer + cpuSeconds.provider + cpuSeconds.upstream;
}
