/** How many bytes a second one stream carries, through both gateways against the bare relay. */
import { createTwoCities } from "../test/support/two-cities.ts";
import { type Chain, type ChainName, startBase, startEvidenceOn } from "./chains.ts";
import { type Child, startChild } from "./child.ts";
import { median } from "./figures.ts";
import type { StreamLoadFigures, StreamLoadOptions } from "./stream-load.ts";
import { type ChainUsage, measureUsage, type ProcessName, type SharedProcesses } from "./usage.ts";

export interface StreamPlan {
  readonly rounds: number;
  readonly messageBytes: number;
  /** Messages of the one stream of each round. */
  readonly messages: number;
  readonly nodeFlags: readonly string[];
}

/** Medians over the rounds. */
export interface StreamChainFigures {
  readonly chain: ChainName;
  /** Millions of bytes of messages a second. */
  readonly megabytesPerSecond: number;
  readonly firstMs: number;
  /** CPU seconds for a thousand million bytes, those after the last message included. */
  readonly cpuSecondsPerGigabyte: Readonly<Record<ProcessName, number>>;
  /** Largest of the rounds. */
  readonly residentBytes: { readonly consumer: number; readonly provider: number };
}

export interface StreamFigures {
  readonly messageBytes: number;
  readonly messages: number;
  readonly chains: readonly StreamChainFigures[];
  /** Bytes a second, evidence on / base: the median of what each round gave. */
  readonly throughput: number;
}

interface StreamSample extends ChainUsage {
  readonly chain: ChainName;
  readonly load: StreamLoadFigures;
}

const metadata: StreamLoadOptions["metadata"] = [["causeway-purpose", "address-check"]];

/** One stream for each chain in each round, after one that is not counted. */
export async function measureStream(
  plan: StreamPlan,
  progress: (what: string) => void,
): Promise<StreamFigures> {
  progress("starting the chains of a stream");
  const start = (name: string): Promise<Child> =>
    startChild(new URL(`./${name}.js`, import.meta.url), [], plan.nodeFlags);
  const shared = { client: await start("stream-load"), upstream: await start("stream-upstream") };
  const upstream = `127.0.0.1:${shared.upstream.port}`;
  const cities = await createTwoCities({ upstream });
  const chains: Chain[] = [];
  try {
    chains.push(await startBase({ upstream, nodeFlags: plan.nodeFlags }));
    chains.push(await startEvidenceOn({ nodeFlags: plan.nodeFlags, grants: "streams" }, cities));
    const samples: StreamSample[] = [];
    for (let round = 0; round <= plan.rounds; round++) {
      progress(round === 0 ? "warming the stream" : `stream ${round} of ${plan.rounds}`);
      for (const chain of chains) {
        const sample = await measureOnce(chain, shared, plan);
        if (round > 0) samples.push(sample);
      }
    }
    return figuresOf(plan, samples);
  } finally {
    for (const chain of chains) await chain.stop();
    await shared.client.stop();
    await shared.upstream.stop();
    cities.remove();
  }
}

async function measureOnce(
  chain: Chain,
  shared: SharedProcesses,
  { messages, messageBytes }: StreamPlan,
): Promise<StreamSample> {
  const { result: load, usage } = await measureUsage(chain, shared, async () => {
    const order: StreamLoadOptions = { target: chain.target, messages, messageBytes, metadata };
    const figures = (await shared.client.ask(order)) as StreamLoadFigures;
    // The figures are worth nothing if a message is missing.
    if (figures.messages !== messages) {
      throw new Error(`${figures.messages} of ${messages} messages came`);
    }
    await chain.settle();
    return figures;
  });
  return { chain: chain.name, load, ...usage };
}

function figuresOf(plan: StreamPlan, samples: readonly StreamSample[]): StreamFigures {
  const { messageBytes, messages } = plan;
  const of = (name: ChainName): readonly StreamSample[] =>
    samples.filter(({ chain }) => chain === name);
  const [base, on] = [of("base"), of("evidence on")];
  return {
    messageBytes,
    messages,
    chains: [base, on].map(chainFiguresOf),
    throughput: median(
      on.map(({ load }, i) => rateOf(load) / rateOf((base[i] as StreamSample).load)),
    ),
  };
}

function chainFiguresOf(samples: readonly StreamSample[]): StreamChainFigures {
  const cpu = (process: ProcessName): number =>
    median(samples.map(({ cpuSeconds, load }) => (cpuSeconds[process] * 1e9) / load.bytes));
  const largest = (hop: "consumer" | "provider"): number =>
    Math.max(...samples.map(({ residentBytes }) => residentBytes[hop]));
  return {
    chain: (samples[0] as StreamSample).chain,
    megabytesPerSecond: median(samples.map(({ load }) => rateOf(load))) / 1e6,
    firstMs: median(samples.map(({ load }) => load.firstMs)),
    cpuSecondsPerGigabyte: {
      client: cpu("client"),
      consumer: cpu("consumer"),
      provider: cpu("provider"),
      upstream: cpu("upstream"),
    },
    residentBytes: { consumer: largest("consumer"), provider: largest("provider") },
  };
}

function rateOf({ bytes, seconds }: StreamLoadFigures): number {
  return bytes / seconds;
}
