/**
 * Load on one chain: a stock grpc-js client that keeps a fixed number of calls in flight.
 *
 * `node load.js --target 127.0.0.1:PORT --in-flight 32 [--warm-up 15] [--seconds 10]
 *  [--metadata key=value]...` prints its figures as one line of JSON. Without a target it runs the loads
 * that its parent sends, one after the other, so that one warm client serves all chains.
 */
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { isMain, serveParent } from "./child.ts";
import { benchMethod, benchRequest } from "./raw-grpc.ts";

export interface LoadOptions {
  /** `host:port` of the first hop. */
  readonly target: string;
  readonly inFlight: number;
  /** Seconds of the same load before anything is counted. */
  readonly warmUpSeconds: number;
  readonly measuredSeconds: number;
  /** Sent with every call. */
  readonly metadata: readonly (readonly [key: string, value: string])[];
}

export interface LoadFigures {
  readonly inFlight: number;
  readonly exchanges: number;
  readonly exchangesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly measuredSeconds: number;
  /** Calls that ended OK from the start of the warm-up to the end. */
  readonly exchangesInAll: number;
  /** Calls that ended with another status than OK while it measured, by code. */
  readonly errors: Readonly<Record<string, number>>;
}

const callTimeoutMs = 30_000;

interface Tally {
  latenciesMs: number[];
  errors: Record<string, number>;
}

/** Runs the load: warm-up, then measurement, without a pause between them. */
export async function runLoad(options: LoadOptions): Promise<LoadFigures> {
  const client = new Client(options.target, credentials.createInsecure());
  const metadata = new Metadata();
  for (const [key, value] of options.metadata) metadata.add(key, value);
  let tally: Tally = { latenciesMs: [], errors: {} };
  let exchangesInAll = 0;
  let stopped = false;
  const worker = async (): Promise<void> => {
    while (!stopped) {
      const startedMs = performance.now();
      const code = await callOnce(client, metadata);
      if (code !== 0) {
        tally.errors[code] = (tally.errors[code] ?? 0) + 1;
        continue;
      }
      exchangesInAll += 1;
      tally.latenciesMs.push(performance.now() - startedMs);
    }
  };
  const workers = Array.from({ length: options.inFlight }, worker);
  await sleep(options.warmUpSeconds * 1000);
  tally = { latenciesMs: [], errors: {} };
  const startedMs = performance.now();
  await sleep(options.measuredSeconds * 1000);
  const measured = tally;
  const seconds = (performance.now() - startedMs) / 1000;
  tally = { latenciesMs: [], errors: {} };
  stopped = true;
  await Promise.all(workers);
  client.close();
  return {
    inFlight: options.inFlight,
    measuredSeconds: seconds,
    exchangesInAll,
    ...figuresOf(measured, seconds),
  };
}

function callOnce(client: Client, metadata: Metadata): Promise<number> {
  const { path, requestSerialize, responseDeserialize } = benchMethod;
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      benchRequest,
      metadata,
      { deadline: Date.now() + callTimeoutMs },
      (error) => resolve(error?.code ?? 0),
    );
  });
}

function figuresOf(
  { latenciesMs, errors }: Tally,
  seconds: number,
): Pick<LoadFigures, "exchanges" | "exchangesPerSecond" | "p50Ms" | "p99Ms" | "maxMs" | "errors"> {
  const sorted = Float64Array.from(latenciesMs).sort();
  return {
    exchanges: sorted.length,
    exchangesPerSecond: sorted.length / seconds,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    maxMs: sorted.at(-1) ?? Number.NaN,
    errors,
  };
}

/** Nearest rank; NaN of nothing. */
function quantile(sorted: Float64Array, q: number): number {
  return sorted[Math.max(Math.ceil(q * sorted.length) - 1, 0)] ?? Number.NaN;
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      target: { type: "string" },
      "in-flight": { type: "string", default: "32" },
      "warm-up": { type: "string", default: "15" },
      seconds: { type: "string", default: "10" },
      metadata: { type: "string", multiple: true, default: [] },
    },
  });
  const { target } = values;
  if (target === undefined) serveParent(0, (load) => runLoad(load as LoadOptions));
  else {
    const figures = await runLoad({
      target,
      inFlight: Number(values["in-flight"]),
      warmUpSeconds: Number(values["warm-up"]),
      measuredSeconds: Number(values.seconds),
      metadata: values.metadata.map((entry) => {
        const at = entry.indexOf("=");
        return [entry.slice(0, at), entry.slice(at + 1)] as const;
      }),
    });
    console.log(JSON.stringify(figures));
  }
}
