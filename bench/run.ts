/** One run of the benchmark: what was asked for, on which machine, and what came out. */
import { statfsSync } from "node:fs";
import { cpus, platform, release, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { LedgerHttp } from "../gateway/cli/ledger-http.ts";
import { readExport } from "../gateway/cli/ledger-download.ts";
import { encodeExport } from "../src/audit/export-file.ts";
import { concatBytes, parseHex } from "../src/base/bytes.ts";
import { createNodeVerifier } from "../src/crypto/node.ts";
import { createCedarEngine } from "../src/policy/cedar-engine.ts";
import { createTwoCities } from "../test/support/two-cities.ts";
import { measureBesideNginx, type NginxFigures } from "./beside-nginx.ts";
import { measureBesideTessera, type TesseraFigures, type TesseraPlan } from "./beside-tessera.ts";
import { type Chain, startBase, startEvidenceOff, startEvidenceOn } from "./chains.ts";
import { type Child, startChild } from "./child.ts";
import { type DiskFigures, diskFigures } from "./disk.ts";
import {
  type ChainFigures,
  chainFigures,
  type Comparison,
  comparisons,
  type LedgerFigures,
  ledgerFigures,
} from "./figures.ts";
import { type LedgerMeasurement, ledgerPlan, measureLedger } from "./ledger.ts";
import type { Missing } from "./missing.ts";
import { measureReplay, type ReplayMeasurement } from "./replay.ts";
import { measureRounds, type RoundPlan, type Sample } from "./rounds.ts";
import { measureSeal, type SealFigures } from "./seal.ts";
import { measureStream, type StreamFigures, type StreamPlan } from "./stream.ts";

export const rowNames = [
  "exchanges",
  "nginx",
  "stream",
  "seal",
  "tessera",
  "replay",
  "ledger",
] as const;
export type RowName = (typeof rowNames)[number];

export interface RunPlan extends RoundPlan {
  readonly rows: readonly RowName[];
  /** The largest stored ledger has 10 to this power leaves. */
  readonly sizeExponent: number;
  /** Given to every process of every chain alike. */
  readonly nodeFlags: readonly string[];
}

export interface Machine {
  readonly node: string;
  readonly cpus: number;
  readonly cpu: string;
  readonly platform: string;
  readonly memoryBytes: number;
  /** Where journals, ledgers and logs of the run are: the system's temporary folder. */
  readonly folder: string;
  /** It is kept in memory: what is synced there is as lost as what is not. */
  readonly isFolderInMemory: boolean;
}

export interface ExchangeFigures {
  readonly upstream: "synthetic";
  readonly answerBytes: number;
  readonly chains: readonly ChainFigures[];
  readonly comparisons: readonly Comparison[];
  readonly ledger: readonly LedgerFigures[];
  readonly disk: DiskFigures;
}

export interface RunFigures {
  readonly at: string;
  readonly machine: Machine;
  readonly plan: RunPlan;
  readonly exchanges: ExchangeFigures | undefined;
  readonly nginx: NginxFigures | Missing | undefined;
  readonly stream: StreamFigures | undefined;
  readonly seal: SealFigures | undefined;
  readonly tessera: TesseraFigures | Missing | undefined;
  /** Of the ledger that the exchanges of this run have made; each depth once. */
  readonly replay: readonly ReplayMeasurement[] | undefined;
  readonly ledger: LedgerMeasurement | undefined;
}

interface MeasuredExchanges {
  readonly figures: ExchangeFigures;
  readonly ledger: { readonly exported: Uint8Array; readonly networkId: Uint8Array } | undefined;
}

const answerBytes = 500;
const sealLoad = { callers: 256, record: new Uint8Array(300) };

/** What Linux calls tmpfs and ramfs. */
const memoryFileSystems: readonly number[] = [0x01021994, 0x858458f6];

export function describeMachine(): Machine {
  const all = cpus();
  return {
    node: process.version,
    cpus: all.length,
    cpu: all[0]?.model ?? "unknown",
    platform: `${platform()} ${release()}`,
    memoryBytes: totalmem(),
    folder: tmpdir(),
    isFolderInMemory: memoryFileSystems.includes(statfsSync(tmpdir()).type),
  };
}

/** Runs what the plan names. `progress` is told before each step. */
export async function run(plan: RunPlan, progress: (what: string) => void): Promise<RunFigures> {
  const wants = (row: RowName): boolean => plan.rows.includes(row);
  // A replay needs a ledger that exchanges have made.
  const exchanges =
    wants("exchanges") || wants("replay") ? await measureExchanges(plan, progress) : undefined;
  const made = exchanges?.ledger;
  if (made !== undefined) progress("replaying the ledger of these exchanges");
  const replay = made === undefined ? undefined : await replayBoth(made);
  const nginx = wants("nginx")
    ? await measureBesideNginx({ ...plan, answerBytes }, progress)
    : undefined;
  const stream = wants("stream") ? await measureStream(streamPlan(plan), progress) : undefined;
  if (wants("seal")) progress("sealing");
  const seal = wants("seal")
    ? await measureSeal({
        ...sealLoad,
        warmMs: Math.min(plan.warmSeconds, 5) * 1000,
        measuredMs: plan.seconds * 1000,
      })
    : undefined;
  const tessera = wants("tessera")
    ? await measureBesideTessera(tesseraPlan(plan), progress)
    : undefined;
  const ledger = wants("ledger")
    ? await measureLedger(ledgerPlan({ ...plan, exponent: plan.sizeExponent }), progress)
    : undefined;
  const at = new Date().toISOString();
  const machine = describeMachine();
  return {
    at,
    machine,
    plan,
    exchanges: exchanges?.figures,
    nginx,
    stream,
    seal,
    tessera,
    replay,
    ledger,
  };
}

/** About as long for each stream as a measurement of exchanges, at a hundred million bytes a second. */
function streamPlan({ rounds, seconds, nodeFlags }: RunPlan): StreamPlan {
  const messageBytes = 64 * 1024;
  const messages = Math.max(16, Math.ceil((seconds * 100e6) / messageBytes));
  return { rounds, messageBytes, messages, nodeFlags };
}

/**
 * An entry bundle of Tessera holds 256. All its settings are measured, and the fastest counts. Its callers always
 * fill a batch, as each of their numbers is a multiple of each size: the age is the library's own, so that none is cut short.
 */
function tesseraPlan({ rounds, seconds, warmSeconds }: RunPlan): TesseraPlan {
  return {
    rounds,
    warmMs: Math.min(warmSeconds, 3) * 1000,
    measuredMs: seconds * 1000,
    callers: [256, 1024, 4096],
    recordBytes: sealLoad.record.length,
    batchEntriesMax: [256, 1024, 4096],
    batchAgeMsMax: 250,
  };
}

async function replayBoth(
  ledger: NonNullable<MeasuredExchanges["ledger"]>,
): Promise<readonly ReplayMeasurement[]> {
  const options = { ...ledger, verifier: createNodeVerifier(), engine: createCedarEngine() };
  const measured: ReplayMeasurement[] = [];
  for (const depth of ["integrity", "full"] as const) {
    const replayed = await measureReplay({ ...options, depth });
    if (replayed.findings > 0) throw new Error(`the replay has ${replayed.findings} findings`);
    measured.push(replayed);
  }
  return measured;
}

async function measureExchanges(
  plan: RunPlan,
  progress: (what: string) => void,
): Promise<MeasuredExchanges> {
  progress("starting the chains");
  const start = (name: string, args: readonly string[] = []): Promise<Child> =>
    startChild(new URL(`./${name}.js`, import.meta.url), args, plan.nodeFlags);
  const shared = {
    client: await start("load"),
    upstream: await start("synthetic-upstream", ["--answer-bytes", String(answerBytes)]),
  };
  const upstream = `127.0.0.1:${shared.upstream.port}`;
  const cities = await createTwoCities({ upstream });
  const chains: Chain[] = [];
  try {
    const options = { upstream, nodeFlags: plan.nodeFlags };
    if (plan.rows.includes("exchanges")) {
      chains.push(await startBase(options));
      chains.push(await startEvidenceOff(options, cities));
    }
    chains.push(await startEvidenceOn(options, cities));
    const samples: readonly Sample[] = await measureRounds(chains, shared, plan, progress);
    const networkId = parseHex(cities.networkId) as Uint8Array;
    const ledger = plan.rows.includes("replay")
      ? { exported: await exportLedger(cities.provider.addresses.http, progress), networkId }
      : undefined;
    for (const chain of chains.splice(0)) await chain.stop();
    const figures: ExchangeFigures = {
      upstream: "synthetic",
      answerBytes,
      chains: chainFigures(samples),
      comparisons: comparisons(samples),
      ledger: ledgerFigures(samples, join(cities.provider.folder, "data")),
      disk: diskFigures({
        consumer: join(cities.consumer.folder, "data"),
        provider: join(cities.provider.folder, "data"),
      }),
    };
    return { figures, ledger };
  } finally {
    for (const chain of chains) await chain.stop();
    await shared.client.stop();
    await shared.upstream.stop();
    cities.remove();
  }
}

async function exportLedger(http: string, progress: (what: string) => void): Promise<Uint8Array> {
  progress("exporting the ledger");
  const parts: Uint8Array[] = [];
  for await (const part of encodeExport(readExport(new LedgerHttp(http)))) parts.push(part);
  return concatBytes(...parts);
}
