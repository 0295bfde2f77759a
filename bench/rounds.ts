/**
 * Measures the chains in short rounds, one chain after the other in each, so that a machine that drifts
 * does so for all of them. Figures are medians of the rounds; ratios are taken inside of a round.
 */
import type { Chain, ChainName } from "./chains.ts";
import type { Child } from "./child.ts";
import type { LoadFigures, LoadOptions } from "./load.ts";

export interface RoundPlan {
  readonly rounds: number;
  /** Measured seconds of one chain in one round. */
  readonly seconds: number;
  /** Seconds of warm-up of each chain, at the most calls in flight, before the first round. */
  readonly warmSeconds: number;
  readonly inFlight: readonly number[];
}

export interface SharedProcesses {
  readonly client: Child;
  readonly upstream: Child;
}

export type ProcessName = "client" | "consumer" | "provider" | "upstream";

/** One chain, one number of calls in flight, one round. */
export interface Sample {
  readonly chain: ChainName;
  readonly inFlight: number;
  readonly round: number;
  readonly load: LoadFigures;
  /** CPU seconds from the first call until nothing was left to do, for all `exchangesInAll`. */
  readonly cpuSeconds: Readonly<Record<ProcessName, number>>;
  readonly residentBytes: { readonly consumer: number; readonly provider: number };
  /** Seconds after the last call until nothing was left to do. */
  readonly settleSeconds: number;
  /** Indexes of the batches that the round put on the ledger: from, and up to but without. */
  readonly batches: { readonly from: bigint; readonly to: bigint } | undefined;
}

/** Before each measurement, so that connections and caches are the chain's own again. */
const roundWarmSeconds = 0.5;

/** Sent with every call: what an agency system of the product says of a call. */
const metadata: LoadOptions["metadata"] = [
  ["causeway-purpose", "address-check"],
  ["causeway-case", "case-2026-001"],
];

/** Runs the plan. `progress` is told before each step. */
export async function measureRounds(
  chains: readonly Chain[],
  shared: SharedProcesses,
  plan: RoundPlan,
  progress: (what: string) => void,
): Promise<readonly Sample[]> {
  for (const chain of chains) {
    progress(`warming ${chain.name} for ${plan.warmSeconds} s`);
    const inFlight = Math.max(...plan.inFlight);
    await runLoad(chain, shared, { inFlight, warmUpSeconds: 0, measuredSeconds: plan.warmSeconds });
    await chain.settle();
  }
  const samples: Sample[] = [];
  for (let round = 1; round <= plan.rounds; round++) {
    progress(`round ${round} of ${plan.rounds}`);
    for (const inFlight of plan.inFlight) {
      for (const chain of chains) {
        samples.push(await measureOnce(chain, shared, plan, { inFlight, round }));
      }
    }
  }
  return samples;
}

async function measureOnce(
  chain: Chain,
  shared: SharedProcesses,
  plan: RoundPlan,
  { inFlight, round }: { readonly inFlight: number; readonly round: number },
): Promise<Sample> {
  const processes = { ...shared, ...chain.hops };
  const from = await chain.ledgerSize?.();
  const before = await cpuOf(processes);
  const load = await runLoad(chain, shared, {
    inFlight,
    warmUpSeconds: roundWarmSeconds,
    measuredSeconds: plan.seconds,
  });
  const endedMs = performance.now();
  await chain.settle();
  const settleSeconds = (performance.now() - endedMs) / 1000;
  const after = await cpuOf(processes);
  const to = await chain.ledgerSize?.();
  const { consumer, provider } = chain.hops;
  return {
    chain: chain.name,
    inFlight,
    round,
    load,
    cpuSeconds: {
      client: after.client - before.client,
      consumer: after.consumer - before.consumer,
      provider: after.provider - before.provider,
      upstream: after.upstream - before.upstream,
    },
    residentBytes: {
      consumer: (await consumer.usage()).residentBytes,
      provider: (await provider.usage()).residentBytes,
    },
    settleSeconds,
    batches: from === undefined || to === undefined ? undefined : { from, to },
  };
}

async function runLoad(
  chain: Chain,
  { client }: SharedProcesses,
  options: Omit<LoadOptions, "target" | "metadata">,
): Promise<LoadFigures> {
  const load: LoadOptions = { ...options, target: chain.target, metadata };
  const figures = (await client.ask(load)) as LoadFigures;
  const errors = Object.entries(figures.errors);
  if (errors.length > 0) {
    const codes = errors.map(([code, count]) => `${count} with code ${code}`).join(", ");
    throw new Error(`calls failed through ${chain.name}: ${codes}`);
  }
  return figures;
}

/** CPU seconds of each process so far. */
export async function cpuOf(
  processes: Readonly<Record<ProcessName, Child>>,
): Promise<Record<ProcessName, number>> {
  const { client, consumer, provider, upstream } = processes;
  return {
    client: (await client.usage()).cpuSeconds,
    consumer: (await consumer.usage()).cpuSeconds,
    provider: (await provider.usage()).cpuSeconds,
    upstream: (await upstream.usage()).cpuSeconds,
  };
}
