/** Gateways and upstream as processes of their own, with a client of each city. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Bounds } from "../../src/credential/statements.ts";
import { openSqliteJournalReader } from "../../src/ledger/journal/sqlite-reader.ts";
import type { JournalBatch } from "../../src/ledger/journal/store.ts";
import { type AdminClient, adminClient, eventually } from "../support/admin-client.ts";
import { AgencyClient, type Answer } from "../support/agency-client.ts";
import { grantAccess } from "../support/granted.ts";
import { grantStreams } from "../support/running-streams.ts";
import { createManyCities, type ManyCities } from "../support/many-cities.ts";
import { freePort } from "../support/free-port.ts";
import { createTwoCities, type Member, type TwoCities } from "../support/two-cities.ts";
import type { Arm, KillPoint, SealedStep } from "./gateway-main.ts";

/** On a machine that is busy with other tests. */
const startMsMax = 60_000;
const wasmFlag = "--no-turbo-inline-js-wasm-calls";
const scriptAt = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** What an operator runs, or the same gateway with points at which it can be stopped. */
export type Program = "product" | "stoppable";

/** What a process is given beside its arguments. */
export interface Surroundings {
  /** Loopback address that its connections begin at. */
  readonly source?: string | undefined;
  readonly environment?: Readonly<Record<string, string>>;
}

/** A line of a gateway's log. */
export interface LogEntry {
  readonly event?: string;
  readonly [member: string]: unknown;
}

function parseEntry(line: string): LogEntry {
  return JSON.parse(line) as LogEntry;
}

/** A running program. */
export class Running {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #waiting = new Set<() => void>();
  readonly ended: Promise<void>;

  constructor(args: readonly string[], { source, environment }: Surroundings = {}) {
    const wired = source === undefined ? [] : ["--import", scriptAt("source-address.js")];
    this.#child = spawn(process.execPath, [wasmFlag, ...wired, ...args], {
      stdio: ["ignore", "pipe", "inherit", "ipc"],
      env: {
        ...process.env,
        ...(source === undefined ? {} : { CAUSEWAY_TEST_SOURCE: source }),
        ...environment,
      },
    });
    this.ended = new Promise((resolve) => this.#child.once("close", () => resolve()));
    createInterface({ input: this.#child.stdout as NonNullable<ChildProcess["stdout"]> }).on(
      "line",
      (line) => {
        if (process.env["CAUSEWAY_FAULT_LOG"] !== undefined) process.stderr.write(`${line}\n`);
        this.#lines.push(line);
        for (const check of this.#waiting) check();
      },
    );
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  get exitCode(): number | null {
    return this.#child.exitCode;
  }

  /** Resolves once the program has printed the line, behind the first `skip` ones; rejects when it ends without. */
  async printed(line: string, skip = 0): Promise<void> {
    await this.#found(`"${line}"`, (printed) => printed === line, skip);
  }

  /** The first entry of its log with this event, behind the first `skip` lines of its output. */
  async logged(event: string, skip = 0): Promise<LogEntry> {
    const line = await this.#found(
      event,
      (printed) => printed.startsWith("{") && parseEntry(printed).event === event,
      skip,
    );
    return parseEntry(line);
  }

  /** Lines printed so far. */
  get lineCount(): number {
    return this.#lines.length;
  }

  #found(what: string, isIt: (line: string) => boolean, skip = 0): Promise<string> {
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const line = this.#lines.slice(skip).find(isIt);
        if (line === undefined) return;
        this.#waiting.delete(check);
        resolve(line);
      };
      this.#waiting.add(check);
      check();
      void this.ended.then(() => reject(new Error(`the program ended before ${what}`)));
    });
  }

  send(message: Arm): void {
    this.#child.send(message);
  }

  signal(signal: "SIGHUP"): void {
    this.#child.kill(signal);
  }

  async end(signal: "SIGKILL" | "SIGTERM" | "SIGSTOP" | "SIGCONT"): Promise<void> {
    this.#child.kill(signal);
    if (signal === "SIGKILL" || signal === "SIGTERM") await this.ended;
  }
}

/** One gateway through all its starts. */
export class GatewayProcess {
  readonly member: Member;
  readonly admin: AdminClient;
  readonly #clockFile: string;
  readonly #source: string | undefined;
  /** Of the starts to come. */
  environment: Readonly<Record<string, string>> = {};
  #running: Running | undefined;
  /** Lines that its process had printed when it was armed last. */
  #armedBehind = 0;

  constructor(member: Member, clockFile: string, source?: string) {
    this.member = member;
    this.#clockFile = clockFile;
    this.#source = source;
    this.admin = adminClient(member);
  }

  /** Starts it; it takes calls when this resolves. */
  async start(program: Program = "stoppable"): Promise<void> {
    const running = this.launch(program);
    if (program === "stoppable") await running.printed("running");
    else
      await eventually("it answers", async () => (await this.health()) !== undefined, startMsMax);
  }

  /** Starts it and does not wait until it is up. */
  launch(program: Program): Running {
    const { configFile } = this.member;
    const args =
      program === "product"
        ? [scriptAt("../../gateway/cli/main.js"), "gateway", "run", "--config", configFile]
        : [scriptAt("gateway-main.js"), configFile, this.#clockFile];
    const running = new Running(args, {
      source: this.#source,
      environment: this.environment,
    });
    this.#running = running;
    void running.ended.then(() => {
      if (this.#running === running) this.#running = undefined;
    });
    return running;
  }

  /** Makes it stop at a point when it comes there the next time, or later. */
  async arm(point: KillPoint, skip: number, step?: SealedStep): Promise<void> {
    const running = this.#process();
    this.#armedBehind = running.lineCount;
    running.send({ point, skip, step });
    await running.printed(`armed ${point}`, this.#armedBehind);
  }

  /** Resolves when it stands at the point that it was armed for. */
  async isAt(point: KillPoint): Promise<void> {
    await this.#process().printed(`at ${point}`, this.#armedBehind);
  }

  /** Resident memory (Linux). */
  async residentBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.#process().pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  get pid(): number | undefined {
    return this.#running?.pid;
  }

  /** Has it read its configuration again; the entry of its log that says how that went. */
  async reload(): Promise<LogEntry> {
    const running = this.#process();
    const before = running.lineCount;
    running.signal("SIGHUP");
    return Promise.race([
      running.logged("configuration reloaded", before),
      running.logged("configuration refused", before),
    ]);
  }

  signal(signal: "SIGHUP"): void {
    this.#process().signal(signal);
  }

  /** The process stands still, and goes on. */
  async pause(): Promise<void> {
    await this.#process().end("SIGSTOP");
  }

  async resume(): Promise<void> {
    await this.#process().end("SIGCONT");
  }

  /** Resolves when the process has ended by itself, with its exit code. */
  async endsByItself(): Promise<number | null> {
    const running = this.#process();
    await running.ended;
    return running.exitCode;
  }

  /** Ends the process, if it still runs, and waits until it is gone. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    await this.#running?.end(signal);
  }

  /** Reasons why it is not ready; `undefined` when it does not answer. */
  async health(): Promise<readonly string[] | undefined> {
    try {
      const response = await fetch(`http://${this.member.addresses.http}/healthz`);
      return ((await response.json()) as { reasons: string[] }).reasons;
    } catch {
      return undefined;
    }
  }

  /** Every batch of its chain; the process does not run. */
  journal(): JournalBatch[] {
    const reader = openSqliteJournalReader(join(this.member.folder, "data", "journal.sqlite"));
    try {
      return Array.from(
        { length: reader.batchCount() },
        (_, number) => reader.batch(number) as JournalBatch,
      );
    } finally {
      reader.close();
    }
  }

  #process(): Running {
    assert.ok(this.#running !== undefined, "the gateway runs");
    return this.#running;
  }
}

/** Cities, a grant of the first to the second, and everything that runs. */
export interface FaultNetwork<C extends TwoCities = TwoCities> {
  readonly cities: C;
  readonly provider: GatewayProcess;
  readonly consumer: GatewayProcess;
  /** Where it is one of its own. */
  readonly sequencer: GatewayProcess | undefined;
  readonly gateways: readonly GatewayProcess[];
  readonly client: AgencyClient;
  readonly upstream: UpstreamProcess;
  /** The `jti` of the grant. */
  readonly grant: string;
  /** The answer of the first call that succeeds: a peer that was away is dialled again after a delay. */
  nextAnswer(): Promise<Answer<unknown>>;
  /** Puts the clocks of all processes ahead. */
  moveClock(aheadMs: number): void;
  close(): Promise<void>;
}

export interface FaultOptions {
  readonly program?: Program;
  readonly bounds?: Partial<Bounds>;
  /** Seconds, of the data service. */
  readonly maxStalenessS?: number;
  readonly ownSequencer?: boolean;
  /** What is published and granted: the division service, unless it is the one with every call type. */
  readonly service?: "divisions" | "streams";
  /** Of the service and of the grant. */
  readonly purposes?: readonly string[];
  /** Of two cities: writes configurations of its own before the gateways start. */
  configure?(cities: TwoCities, upstream: string): void;
}

/** The data service through all its starts. */
export class UpstreamProcess {
  readonly #args: readonly string[];
  #running: Running | undefined;

  constructor(args: readonly string[]) {
    this.#args = args;
  }

  async start(_program?: Program): Promise<void> {
    this.#running = new Running(this.#args);
    await this.#running.printed("running");
  }

  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    await this.#running?.end(signal);
  }
}

export async function startNetwork(options: FaultOptions = {}): Promise<FaultNetwork> {
  const port = await freePort();
  const cities = await createTwoCities({
    upstream: `127.0.0.1:${port}`,
    ...(options.bounds === undefined ? {} : { bounds: options.bounds }),
    ...(options.ownSequencer === undefined ? {} : { ownSequencer: options.ownSequencer }),
    log: process.env["CAUSEWAY_FAULT_LOG"] ?? "silent",
  });
  options.configure?.(cities, `127.0.0.1:${port}`);
  const { provider, consumer, sequencer } = cities;
  const members = [...(sequencer === undefined ? [] : [sequencer]), provider, consumer];
  return startGateways(cities, { ...options, port, members });
}

/** Several cities behind proxies. */
export async function startManyCities(
  options: FaultOptions &
    Pick<
      NonNullable<Parameters<typeof createManyCities>[0]>,
      "config" | "count" | "quorum" | "faults"
    > = {},
): Promise<FaultNetwork<ManyCities>> {
  const port = await freePort();
  const cities = await createManyCities({
    upstream: `127.0.0.1:${port}`,
    ...(options.bounds === undefined ? {} : { bounds: options.bounds }),
    ...(options.config === undefined ? {} : { config: options.config }),
    ...(options.count === undefined ? {} : { count: options.count }),
    ...(options.quorum === undefined ? {} : { quorum: options.quorum }),
    ...(options.faults === undefined ? {} : { faults: options.faults }),
    log: process.env["CAUSEWAY_FAULT_LOG"] ?? "silent",
  });
  const sourceOf = (member: Member): string => cities.wired(member).source;
  const network = await startGateways(cities, {
    ...options,
    port,
    members: cities.members,
    sourceOf,
  }).catch(async (error: unknown) => {
    await cities.wires.close();
    throw error;
  });
  return {
    ...network,
    close: async () => {
      await network.close();
      await cities.wires.close();
    },
  };
}

async function startGateways<C extends TwoCities>(
  cities: C,
  options: FaultOptions & {
    readonly port: number;
    readonly members: readonly Member[];
    sourceOf?(member: Member): string;
  },
): Promise<FaultNetwork<C>> {
  const { port, members } = options;
  const clockFile = join(cities.folder, "clock");
  writeFileSync(clockFile, new Uint8Array(8));
  const { service = "divisions" } = options;
  const upstream = new UpstreamProcess(
    service === "streams"
      ? [scriptAt("stream-upstream-main.js"), String(port)]
      : [scriptAt("upstream-main.js"), String(port), join(cities.folder, "corrections")],
  );
  const gateways = members.map(
    (member) => new GatewayProcess(member, clockFile, options.sourceOf?.(member)),
  );
  const processOf = (member: Member): GatewayProcess => {
    const found = gateways.find((gateway) => gateway.member === member);
    assert.ok(found !== undefined, "every member runs");
    return found;
  };
  const provider = processOf(cities.provider);
  const consumer = processOf(cities.consumer);
  const sequencer = cities.sequencer === undefined ? undefined : processOf(cities.sequencer);
  const client = new AgencyClient(cities.consumer.addresses.agency);
  const network: FaultNetwork<C> = {
    cities,
    provider,
    consumer,
    sequencer,
    gateways,
    client,
    upstream,
    grant: "",
    nextAnswer: () => nextAnswer(client),
    moveClock: (aheadMs) => setClock(clockFile, aheadMs),
    close: async () => {
      client.close();
      for (const { admin } of gateways) admin.close();
      await Promise.all([...gateways, upstream].map((running) => running.end("SIGKILL")));
      cities.remove();
    },
  };
  try {
    await Promise.all([upstream, ...gateways].map((starting) => starting.start(options.program)));
    await ready(gateways);
    const admins = { provider: provider.admin, consumer: consumer.admin };
    const { maxStalenessS, purposes } = options;
    const staleness = maxStalenessS === undefined ? {} : { maxStalenessS };
    const detail = purposes === undefined ? {} : { purposes };
    const grant =
      service === "streams"
        ? await grantStreams(cities, admins, detail, staleness)
        : await grantAccess(cities, admins, { ...staleness, ...detail });
    return { ...network, grant };
  } catch (error) {
    await network.close();
    throw error;
  }
}

async function nextAnswer(client: AgencyClient): Promise<Answer<unknown>> {
  let answer: Answer<unknown> | undefined;
  await eventually("a call succeeds", async () => {
    answer = await client.getDivision("330106");
    return answer.code === 0;
  });
  return answer as Answer<unknown>;
}

export async function ready(gateways: readonly GatewayProcess[]): Promise<void> {
  for (const gateway of gateways) {
    let reasons: readonly string[] | undefined;
    const isReady = async (): Promise<boolean> => {
      reasons = await gateway.health();
      return reasons?.length === 0;
    };
    await eventually("the gateway is ready", isReady, startMsMax).catch((cause: unknown) => {
      const says = reasons?.join(", ") ?? "nothing";
      throw new Error(`${gateway.member.gateway.card.id} is not ready, and says ${says}`, {
        cause,
      });
    });
  }
}

// In place and in one write, so that no process reads half of it.
function setClock(file: string, aheadMs: number): void {
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setFloat64(0, aheadMs);
  const descriptor = openSync(file, "r+");
  writeSync(descriptor, bytes, 0, 8, 0);
  closeSync(descriptor);
}
