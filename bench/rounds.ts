/**
 * Measures the chains in short rounds, one chain after the other in each, so that a machine that drifts
 * does so for all of them. Figures are medians of the rounds; ratios are taken inside of a round.
 */
import type { Chain, ChainName } from "./chains.ts";
import type { LoadFigures, LoadOptions } from "./load.ts";
import { type ChainUsage, measureUsage, type SharedProcesses } from "./usage.ts";

export interface RoundPlan {
  readonly rounds: number;
  /** Measured seconds of one chain in one round. */
  readonly seconds: number;
  /** Seconds of warm-up of each chain, at the most calls in flight, before the first round. */
  readonly warmSeconds: number;
  /** Exchanges of the warm-up at least: what runs in a chain of Node processes is compiled by then. */
  readonly warmExchanges: number;
  readonly inFlight: readonly number[];
}

/** One chain, one number of calls in flight, one round. */
export interface Sample extends ChainUsage {
  readonly chain: ChainName;
  readonly inFlight: number;
  readonly round: number;
  readonly load: LoadFigures;
  /** From the first call until nothing was left to do, for all `exchangesInAll`. */
  readonly cpuSeconds: ChainUsage["cpuSeconds"];
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
    progress(`warming ${chain.name}`);
    await warm(chain, shared, plan);
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

/** For its seconds, and on until enough exchanges have passed, one second after the other. */
async function warm(chain: Chain, shared: SharedProcesses, plan: RoundPlan): Promise<void> {
  const inFlight = Math.max(...plan.inFlight);
  let exchanges = 0;
  for (let measuredSeconds = plan.warmSeconds; ; measuredSeconds = 1) {
    const load = await runLoad(chain, shared, { inFlight, warmUpSeconds: 0, measuredSeconds });
    if (load.exchangesInAll === 0) throw new Error(`no call through ${chain.name} ends well`);
    exchanges += load.exchangesInAll;
    if (exchanges >= plan.warmExchanges) break;
  }
  await chain.settle();
}

async function measureOnce(
  chain: Chain,
  shared: SharedProcesses,
  plan: RoundPlan,
  { inFlight, round }: { readonly inFlight: number; readonly round: number },
): Promise<Sample> {
  const from = await chain.ledgerSize?.();
  const { result, usage } = await measureUsage(chain, shared, async () => {
    const load = await runLoad(chain, shared, {
      inFlight,
      warmUpSeconds: roundWarmSeconds,
      measuredSeconds: plan.seconds,
    });
    const endedMs = performance.now();
    await chain.settle();
    return { load, settleSeconds: (performance.now() - endedMs) / 1000 };
  });
  const to = await chain.ledgerSize?.();
  const batches = from === undefined || to === undefined ? undefined : { from, to };
  return { chain: chain.name, inFlight, round, ...result, ...usage, batches };
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
