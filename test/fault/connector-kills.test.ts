/** A provider's gateway killed in the middle of a call of its database, and of a service that speaks HTTP and JSON. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import Database from "better-sqlite3";
import { parse, stringify } from "yaml";
import { annotatedDivisions } from "../connectors/annotated-divisions.ts";
import { eventually } from "../support/admin-client.ts";
import { AgencyClient, type Answer } from "../support/agency-client.ts";
import {
  divisionsService,
  getDivision,
  reportCorrection,
  writeConfig,
} from "../support/two-cities.ts";
import type { Attempt } from "./attempts.ts";
import { FinalLedger } from "./final-ledger.ts";
import { type FaultNetwork, type GatewayProcess, ready, startNetwork } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { assertHandedOver, settled } from "./settled.ts";

/** A division whose query never ends. */
const endless = "000000";
const query = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE :code = '${endless}')
  SELECT code, name FROM division WHERE code = :code AND (SELECT COUNT(*) FROM n) > 0`;

interface Child {
  readonly pid: number;
  readonly ticks: number;
}

/** Processes that read a database for a gateway, with the CPU time that each has taken (Linux). */
function databaseProcesses({ pid }: GatewayProcess): readonly Child[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const stat = statOf(Number(name));
      return stat?.parent === pid ? [{ pid: Number(name), ticks: stat?.ticks ?? 0 }] : [];
    })
    .filter(({ pid: child }) => commandOf(child).includes("sqlite-process"));
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

/** Of a process that runs; one that has ended and that nobody has waited for is none. */
function statOf(pid: number): { readonly parent: number; readonly ticks: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, parent, ...rest] = text.slice(text.lastIndexOf(")") + 2).split(" ");
    if (state === "Z" || state === "X") return undefined;
    return { parent: Number(parent), ticks: Number(rest[9]) };
  } catch {
    return undefined;
  }
}

/** Knows nothing of gateways; what it is asked waits while `holds`. */
class RestService {
  readonly #server: Server;
  holds = false;
  /** Requests that wait. */
  readonly waiting = new Set<string>();
  /** Requests whose connection ended before they were answered. */
  readonly broken: string[] = [];

  constructor() {
    this.#server = createServer((request, response) => this.#serve(request, response));
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const line = `${request.method} ${request.url}`;
    request.resume();
    if (this.holds) {
      this.waiting.add(line);
      response.once("close", () => {
        this.waiting.delete(line);
        this.broken.push(line);
      });
      return;
    }
    response.writeHead(200, { "content-type": "application/json" });
    const answer =
      request.method === "POST"
        ? { ticket: "T-1" }
        : { division: { code: "330106", name: "over HTTP" } };
    response.end(JSON.stringify(answer));
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

describe("a provider's gateway that is killed in the middle of a call", () => {
  const rest = new RestService();
  let network: FaultNetwork;
  let provider: GatewayProcess;
  let ledger: FinalLedger;
  let client: AgencyClient;
  const answers: Answer<unknown>[] = [];

  before(async () => {
    const descriptor = await annotatedDivisions();
    network = await startNetwork({
      program: "product",
      bounds: { heartbeat_s: 1 },
      configure: (cities) => {
        Object.assign(cities.blobs, { descriptor });
        const sqlite = join(cities.provider.folder, "divisions.sqlite");
        const db = new Database(sqlite);
        db.exec("CREATE TABLE division (code TEXT PRIMARY KEY, name TEXT)");
        db.exec(`INSERT INTO division VALUES ('330106', '西湖区'), ('${endless}', '')`);
        db.close();
        const methods = { [getDivision]: { query, field: "division" } };
        writeConfig(cities.provider, {
          log: "info",
          upstreams: { [divisionsService]: { sqlite, methods } },
        });
      },
    });
    ({ provider } = network);
    ({ client } = network);
    ledger = new FinalLedger(network.consumer.member.addresses.http);
  });

  after(async () => {
    await network?.close();
    rest.close();
  });

  async function call(code: string, writes = false): Promise<Answer<unknown>> {
    const answer = writes ? await client.reportCorrection(code) : await client.getDivision(code);
    answers.push(answer);
    return answer;
  }

  async function goesOn(): Promise<Answer<unknown>> {
    await ready([provider]);
    const answer = await network.nextAnswer();
    answers.push(answer);
    return answer;
  }

  /** Once all that calls have left is final: how each attempt of a method stands, provider first. */
  async function closings(method: string): Promise<readonly string[]> {
    const attempts: readonly Attempt[] = await settled(network, ledger);
    for (const answer of answers) assertHandedOver(answer, attempts);
    return attempts
      .filter((attempt) => attempt.method === method)
      .map((attempt) => `${attempt.provider} | ${attempt.consumer}`);
  }

  it("has no process of its database left behind, not even one that is asked what never ends", async () => {
    assert.equal((await call("330106")).code, 0);
    const lost = call(endless);
    let [asked] = databaseProcesses(provider);
    const before_ = asked?.ticks ?? 0;
    await eventually("the query takes its time", () => {
      [asked] = databaseProcesses(provider);
      return (asked?.ticks ?? 0) > before_ + 20;
    });
    const children = databaseProcesses(provider);
    await provider.end("SIGKILL");
    await eventually("the processes of the database have ended", () =>
      children.every(({ pid }) => statOf(pid) === undefined),
    );
    assert.equal((await lost).code, 14);
    await provider.start("product");
  });

  it("answers from its database again, with every attempt closed on both sides", async () => {
    const answer = await goesOn();
    assert.equal(answer.code, 0);
    const closed = await closings(getDivision);
    assert.deepEqual(new Set(closed), new Set(["receipt | match"]));
  });

  it("ends the processes of its database too when it is asked to end", async () => {
    const children = databaseProcesses(provider);
    assert.ok(children.length > 0);
    await provider.end("SIGTERM");
    await eventually("they have ended", () =>
      children.every(({ pid }) => statOf(pid) === undefined),
    );
    await provider.start("product");
    await goesOn();
  });

  it("takes a service over HTTP in the database's place by a reload", async () => {
    const http = await rest.start();
    const { configFile } = provider.member;
    const config = parse(readFileSync(configFile, "utf8")) as Record<string, unknown>;
    config["upstreams"] = { [divisionsService]: { http } };
    const children = databaseProcesses(provider);
    writeFileSync(configFile, stringify(config));
    const { event, taken } = await provider.reload();
    assert.deepEqual([event, taken], ["configuration reloaded", ["upstreams"]]);
    const answer = (await call("330106")) as Answer<{ readonly division?: { name: string } }>;
    assert.equal(answer.message?.division?.name, "over HTTP");
    await eventually("nobody reads the database any more", () =>
      children.every(({ pid }) => statOf(pid) === undefined),
    );
  });

  it("has left nobody waiting at the service over HTTP, and its write is closed on both sides", async () => {
    rest.holds = true;
    const lost = [call("330106"), call("330106", true)];
    await eventually("both are under way", () => rest.waiting.size === 2);
    await provider.end("SIGKILL");
    await eventually("the service knows", () => rest.waiting.size === 0);
    assert.deepEqual(rest.broken.toSorted(), [
      "GET /v1/divisions/330106",
      "POST /v1/divisions/330106:correct",
    ]);
    rest.holds = false;
    await provider.start("product");
    const [read, write] = await Promise.all(lost);
    // A read may have been tried again, at the next start.
    assert.ok(read?.code === 0 || read?.code === 14, read?.details);
    assert.equal(write?.code, 14);
    assert.equal(write?.reason, "NO_ANSWER");
    await goesOn();
    assert.equal((await call("330106", true)).code, 0);
    assert.deepEqual(await closings(reportCorrection), [
      "closed gateway restarted | closed no answer",
      "receipt | match",
    ]);
  });

  it("leaves a ledger without a finding", () => assertReplays(network));
});
