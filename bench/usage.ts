/** What the processes of a chain use for some work. */
import type { Chain } from "./chains.ts";
import type { Child } from "./child.ts";

/** The processes that every chain is measured with. */
export interface SharedProcesses {
  readonly client: Child;
  readonly upstream: Child;
}

export type ProcessName = "client" | "consumer" | "provider" | "upstream";

export interface ChainUsage {
  /** From the work's begin to its end. */
  readonly cpuSeconds: Readonly<Record<ProcessName, number>>;
  /** At the work's end. */
  readonly residentBytes: { readonly consumer: number; readonly provider: number };
}

/** Does the work, and answers with its result and what it took. */
export async function measureUsage<T>(
  { hops }: Pick<Chain, "hops">,
  shared: SharedProcesses,
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly usage: ChainUsage }> {
  const { consumer, provider } = hops;
  const processes = { ...shared, consumer, provider };
  const before = await cpuOf(processes);
  const result = await work();
  const after = await cpuOf(processes);
  const cpuSeconds = {
    client: after.client - before.client,
    consumer: after.consumer - before.consumer,
    provider: after.provider - before.provider,
    upstream: after.upstream - before.upstream,
  };
  const residentBytes = {
    consumer: (await consumer.usage()).residentBytes,
    provider: (await provider.usage()).residentBytes,
  };
  return { result, usage: { cpuSeconds, residentBytes } };
}

/** CPU seconds of each process so far. */
async function cpuOf(
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
