/** Four cities as four processes: one gateway seals, another sequences, all verify, store and cosign; three must. */
import { writeFileSync } from "node:fs";
import { formatBody } from "../src/ledger/embedded/bodies.ts";
import { adminClient, eventually } from "../test/support/admin-client.ts";
import { createManyCities, type ManyCities } from "../test/support/many-cities.ts";
import { type Child, startChild, type Usage } from "./child.ts";
import { type Arrivals, type LoadedLedger, type LoadQuestion, recordsFile } from "./ledger-load.ts";
import type { BenchRecords, RecordSet } from "./ledger-records.ts";

export interface EngineLoad {
  readonly records: RecordSet;
  /** `half` is half of what the load before it made final. */
  readonly arrivals: Arrivals | { readonly kind: "half" };
}

export interface EnginePlan {
  readonly loads: readonly EngineLoad[];
  readonly warmSeconds: number;
  readonly seconds: number;
  readonly nodeFlags: readonly string[];
}

/** `follower`: the mean of those that neither seal nor sequence. */
export type GatewayRole = "sealing" | "sequencer" | "follower";

export interface EngineFigures extends LoadedLedger {
  readonly records: RecordSet;
  readonly recordBytes: number;
  readonly arrivals: Arrivals;
  /** CPU microseconds for each record, from the first seal until all were final. */
  readonly cpuUsPerRecord: Readonly<Record<GatewayRole | "all", number>>;
  /** CPU seconds of all four a second. */
  readonly coresUsed: number;
  /** At the end of the load. */
  readonly residentBytes: Readonly<Record<GatewayRole, number>>;
}

interface Gateways {
  readonly sealing: Child;
  readonly sequencer: Child;
  readonly followers: readonly Child[];
}

/** Runs the loads one after the other on one network, which is removed. `progress` is told before each. */
export async function measureEngine(
  plan: EnginePlan,
  records: BenchRecords,
  progress: (what: string) => void,
): Promise<readonly EngineFigures[]> {
  progress("starting four cities");
  const cities = await createManyCities({ log: "error", proxied: false });
  const started: Child[] = [];
  try {
    for (const [set, content] of Object.entries(records)) {
      writeFileSync(recordsFile(cities.folder, set as RecordSet), formatBody(content));
    }
    const gateways = await startGateways(cities, plan.nodeFlags, started);
    await allReady(cities);
    const figures: EngineFigures[] = [];
    for (const { records: set, arrivals: asked } of plan.loads) {
      const before = figures.at(-1)?.finalPerSecond ?? Number.NaN;
      const arrivals: Arrivals =
        asked.kind === "half" ? { kind: "paced", perSecond: before / 2 } : asked;
      progress(`making ${set} final, ${arrivals.kind}`);
      const { warmSeconds, seconds } = plan;
      const question: LoadQuestion = { records: set, load: { arrivals, warmSeconds, seconds } };
      const recordBytes = records[set][0]?.length ?? 0;
      figures.push({ ...(await measureLoad(gateways, question)), recordBytes });
    }
    return figures;
  } finally {
    for (const child of started) await child.stop();
    await cities.wires.close();
    cities.remove();
  }
}

async function startGateways(
  cities: ManyCities,
  nodeFlags: readonly string[],
  started: Child[],
): Promise<Gateways> {
  const start = async (
    name: string,
    configFile: string,
    args: readonly string[] = [],
  ): Promise<Child> => {
    const module = new URL(`./${name}.js`, import.meta.url);
    const child = await startChild(module, ["--config", configFile, ...args], nodeFlags);
    started.push(child);
    return child;
  };
  const { sequencer, provider, members, folder } = cities;
  if (sequencer === undefined) throw new Error("no city sequences");
  const own = await start("gateway", sequencer.configFile);
  const sealing = await start("ledger-gateway", provider.configFile, ["--records", folder]);
  const followers: Child[] = [];
  for (const member of members) {
    if (member === sequencer || member === provider) continue;
    followers.push(await start("gateway", member.configFile));
  }
  return { sealing, sequencer: own, followers };
}

async function allReady({ members }: ManyCities): Promise<void> {
  const admins = members.map(adminClient);
  try {
    await eventually(
      "all gateways are ready",
      async () => {
        const states = await Promise.all(admins.map((admin) => admin.status()));
        return states.every(({ notReady }) => notReady.length === 0);
      },
      60_000,
    );
  } finally {
    for (const admin of admins) admin.close();
  }
}

async function measureLoad(
  gateways: Gateways,
  question: LoadQuestion,
): Promise<Omit<EngineFigures, "recordBytes">> {
  const before = await usageOf(gateways);
  const startedMs = performance.now();
  const loaded = (await gateways.sealing.ask(question)) as LoadedLedger;
  const wallSeconds = (performance.now() - startedMs) / 1000;
  const after = await usageOf(gateways);
  const cpuSeconds = (role: GatewayRole): number =>
    after[role].cpuSeconds - before[role].cpuSeconds;
  const all =
    cpuSeconds("sealing") +
    cpuSeconds("sequencer") +
    cpuSeconds("follower") * gateways.followers.length;
  const perRecord = (seconds: number): number => (seconds * 1e6) / loaded.recordsInAll;
  return {
    ...loaded,
    records: question.records,
    arrivals: question.load.arrivals,
    cpuUsPerRecord: {
      all: perRecord(all),
      sealing: perRecord(cpuSeconds("sealing")),
      sequencer: perRecord(cpuSeconds("sequencer")),
      follower: perRecord(cpuSeconds("follower")),
    },
    coresUsed: all / wallSeconds,
    residentBytes: {
      sealing: after.sealing.residentBytes,
      sequencer: after.sequencer.residentBytes,
      follower: after.follower.residentBytes,
    },
  };
}

async function usageOf({
  sealing,
  sequencer,
  followers,
}: Gateways): Promise<Readonly<Record<GatewayRole, Usage>>> {
  const all = await Promise.all(followers.map((follower) => follower.usage()));
  const mean = (of: (usage: Usage) => number): number =>
    all.reduce((sum, usage) => sum + of(usage), 0) / all.length;
  return {
    sealing: await sealing.usage(),
    sequencer: await sequencer.usage(),
    follower: {
      cpuSeconds: mean(({ cpuSeconds }) => cpuSeconds),
      residentBytes: mean(({ residentBytes }) => residentBytes),
    },
  };
}
