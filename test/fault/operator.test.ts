/**
 * Two gateways as an operator runs them: what stands on the ledger of them every so often, a new configuration
 * by SIGHUP, and openings that are erased by whoever may open the admin socket.
 */
import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parse, stringify } from "yaml";
import {
  createKey,
  createToken,
  goodClaims,
  issuer,
  issuerEntry,
  keySetOf,
} from "../agency/identity-provider.ts";
import { causeway, type Ran } from "../cli/support.ts";
import { eventually } from "../support/admin-client.ts";
import type { Answer } from "../support/agency-client.ts";
import { divisionsService, type Member, writeConfig } from "../support/two-cities.ts";
import { matchAttempts } from "./attempts.ts";
import { FinalLedger, type PlacedRecord } from "./final-ledger.ts";
import { type FaultNetwork, type GatewayProcess, startNetwork } from "./processes.ts";
import { assertReplays } from "./replayed.ts";

const key = createKey("k1", "ES256");
const caseNumber = "case-2026-044";
type Config = Record<string, unknown>;
type Row = Readonly<Record<string, unknown>>;

const system = (id: string): Config => ({ id, jwt: { issuer, clients: [id] } });

function rewrite({ configFile }: Member, change: (config: Config) => Config): void {
  writeFileSync(configFile, stringify(change(parse(readFileSync(configFile, "utf8")) as Config)));
}

/** Whether a process has taken SIGHUP into its own hands (Linux). */
function hearsReload(pid: number | undefined): boolean {
  const caught = /^SigCgt:\s+([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return (BigInt(`0x${caught}`) & 1n) === 1n;
}

describe("two gateways in the hands of their operators", () => {
  let network: FaultNetwork;
  let consumer: GatewayProcess;
  let member: Member;
  let ledger: FinalLedger;

  before(async () => {
    network = await startNetwork({
      program: "product",
      bounds: { heartbeat_s: 1 },
      configure: (cities, upstream) => {
        const often = { status_every_s: 1, log: "info" };
        writeConfig(cities.provider, { ...often, upstreams: { [divisionsService]: upstream } });
        writeFileSync(join(cities.consumer.folder, "jwks.json"), keySetOf(key));
        writeConfig(cities.consumer, {
          ...often,
          agency: { issuers: [{ ...issuerEntry, jwks_file: "jwks.json" }] },
          agency_systems: [{ id: "registry-desk", loopback: true }, system("portal")],
        });
      },
    });
    ({ consumer } = network);
    ({ member } = consumer);
    ledger = new FinalLedger(member.addresses.http);
  });

  after(() => network?.close());

  /** A call of a system that shows a token. */
  function callAs(id: string): Promise<Answer<unknown>> {
    const token = createToken(key, { claims: goodClaims({ client_id: id }) });
    const metadata = {
      "causeway-purpose": "address-check",
      "causeway-case": caseNumber,
      authorization: `Bearer ${token}`,
    };
    return network.client.getDivision("330106", { metadata });
  }

  /** Exchanges that the consumer's gateway has begun and not ended. */
  async function openExchanges(): Promise<number> {
    const text = await (await fetch(`http://${member.addresses.http}/metrics`)).text();
    return Number(/^causeway_open_exchanges(?:\{.*\})? (\d+)/m.exec(text)?.[1]);
  }

  async function rows(...argv: readonly string[]): Promise<readonly Row[]> {
    const ran: Ran = await causeway(...argv, "--admin", member.addresses.admin, "--output", "json");
    assert.equal(ran.code, 0, ran.stderr);
    const parsed = JSON.parse(ran.stdout) as Row | readonly Row[];
    return [parsed].flat() as readonly Row[];
  }

  it("have their status on the ledger, which `record list` shows and every member has", async () => {
    assert.equal((await callAs("portal")).code, 0);
    let listed: readonly Row[] = [];
    await eventually("two are final", async () => {
      listed = (await rows("record", "list", "--limit", "100")).filter(
        ({ kind, state }) => kind === "gatewayStatus" && state === "final",
      );
      return listed.length >= 2;
    });
    await eventually("the other one's are there too", async () => {
      await ledger.update();
      const of = ({ member: { gateway } }: GatewayProcess): number =>
        ledger.records.filter((record) => {
          return record.body.case === "gatewayStatus" && record.gateway === gateway.card.id;
        }).length;
      return of(network.provider) >= 2 && of(consumer) >= 2;
    });
    const [shown] = await rows("record", "show", String(listed[0]?.["handle"]));
    const { gatewayStatus } = (shown as Row)["body"] as { gatewayStatus: Row };
    assert.equal(gatewayStatus["runtimeVersion"], `node-${process.versions.node}`);
    assert.match(String(gatewayStatus["engineVersion"]), /^cedar-wasm-/);
  });

  it("take agency systems that are added, and refuse those that are removed, by SIGHUP", async () => {
    assert.equal((await callAs("archive")).reason, "CALLER_UNKNOWN");
    rewrite(member, (config) => ({
      ...config,
      agency_systems: [{ id: "registry-desk", loopback: true }, system("archive")],
    }));
    const { event, taken, left } = await consumer.reload();
    assert.deepEqual([event, taken, left], ["configuration reloaded", ["agency_systems"], []]);
    assert.equal((await callAs("archive")).code, 0);
    assert.equal((await callAs("portal")).reason, "CALLER_UNKNOWN");
  });

  it("name a key that waits for the next start, and go on as they were", async () => {
    rewrite(member, (config) => ({
      ...config,
      status_every_s: 3600,
      limits: { drain_ms: 3000 },
    }));
    const { event, taken, left } = await consumer.reload();
    assert.deepEqual(
      [event, taken, left],
      ["configuration reloaded", ["limits.drain_ms"], ["status_every_s"]],
    );
    assert.equal((await callAs("archive")).code, 0);
  });

  it("keep the configuration in force when the file is broken, and log the line", async () => {
    const whole = readFileSync(member.configFile, "utf8");
    const lines = whole.trimEnd().split("\n").length;
    for (const [broken, text] of [
      ["agency_sistems: []\n", /agency_sistems/],
      ["limits: [\n", /./],
    ] as const) {
      writeFileSync(member.configFile, whole.replace(/^limits:\n.*\n/m, "") + broken);
      const { event, code, problems } = await consumer.reload();
      assert.deepEqual([event, code], ["configuration refused", "CONFIG_INVALID"]);
      const message = (problems as readonly string[]).join("\n");
      assert.match(message, text);
      assert.match(message, new RegExp(`gateway\\.yaml:(${lines - 1}|${lines})\\b`), message);
      assert.equal((await callAs("archive")).code, 0);
    }
    writeFileSync(member.configFile, whole);
    const { taken, left } = await consumer.reload();
    assert.deepEqual([taken, left], [[], ["status_every_s"]]);
  });

  it("that end carry what is under way to its end, whatever signal comes meanwhile", async () => {
    await network.provider.pause();
    const underWay = callAs("archive");
    await eventually("it is under way", async () => (await openExchanges()) === 1);
    const exitCode = consumer.endsByItself();
    void consumer.end("SIGTERM");
    await eventually("it ends", async () => (await consumer.health())?.[0] === "SHUTTING_DOWN");
    consumer.signal("SIGHUP");
    await network.provider.resume();
    assert.equal((await underWay).code, 0);
    assert.equal(await exitCode, 0);
  });

  it("that start reload once they have, and are not ended by being asked to", async () => {
    const starting = consumer.launch("product");
    await eventually("it hears signals", () => hearsReload(starting.pid));
    assert.equal(await consumer.health(), undefined);
    starting.signal("SIGHUP");
    const { left } = await starting.logged("configuration reloaded");
    assert.deepEqual(left, []);
    await eventually("calls go on", async () => (await callAs("archive")).code === 0);
  });

  it("open their admin socket and their data to their own user alone", async () => {
    const { admin } = member.addresses;
    assert.equal(statSync(admin).mode & 0o077, 0);
    const data = join(dirname(member.configFile), "data");
    for (const file of ["", "openings.sqlite", "openings.key", "journal.sqlite", "held.sqlite"]) {
      assert.equal(statSync(join(data, file)).mode & 0o077, 0, file);
    }
  });

  it("erase openings over that socket, with a record that everyone can read and a ledger that replays", async () => {
    const answer = await callAs("archive");
    const xid = String(answer.trailers.get("causeway-exchange-id")[0]);
    const before_ = await rows("opening", "show", xid);
    assert.ok(before_.some(({ label }) => label === "case"));
    const [erased] = await rows("opening", "erase", xid);
    assert.equal(erased?.["erased"], "1");
    const [handle] = (erased as Row)["records"] as readonly string[];
    const gone = await causeway("opening", "show", xid, "--admin", member.addresses.admin);
    assert.match(gone.stderr, /OPENING_UNKNOWN/);
    let record: PlacedRecord | undefined;
    await eventually("it is final, and every attempt is closed", async () => {
      await ledger.update();
      record = ledger.records.find((one) => one.handle === handle);
      const attempts = matchAttempts(ledger.records);
      return (
        record !== undefined &&
        attempts.every((one) => one.provider !== "open" && one.consumer !== "open")
      );
    });
    assert.equal(record?.gateway, member.gateway.card.id);
    const { body } = record;
    assert.ok(body.case === "openingsErased");
    assert.deepEqual([body.value.count, body.value.root.length], [1n, 32]);
    await assertReplays(network);
    const [shown] = await rows("exchange", "show", xid);
    assert.ok(JSON.stringify(shown).includes("MATCH"));
  });
});
