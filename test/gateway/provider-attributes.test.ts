import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import Database from "better-sqlite3";
import { readConfig } from "../../gateway/config.ts";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { ServiceAttribute } from "../../src/credential/statements.ts";
import { AttributeSource, type Decision } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { Stage } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { readAttributeValue } from "../../src/policy/attributes.ts";
import { standardPolicyText, standardSchema } from "../../src/policy/standard.ts";
import type { LedgerRecord } from "../../src/record/record.ts";
import { type RecordReader, recordReader } from "../attacks/support.ts";
import { causeway } from "../cli/support.ts";
import type { Answer } from "../support/agency-client.ts";
import { applied } from "../support/granted.ts";
import { type Running, startTwoCities } from "../support/running.ts";
import { divisionsService, publication, writeConfig } from "../support/two-cities.ts";

const consumer = "shenzhen/market-regulation";

const declared: readonly ServiceAttribute[] = [
  { name: "clearance", type: "integer", personal: true, source: "provider" },
  { name: "code", type: "text", personal: true, source: "request" },
  { name: "desk_open", type: "boolean", personal: false, source: "provider" },
  { name: "standing", type: "text", personal: false, source: "provider" },
];

const policy = `${standardPolicyText}
@id("in-good-standing")
forbid (principal, action, resource)
unless
{
  context.attributes.desk_open &&
  context.attributes.standing == "good" &&
  context.attributes.clearance >= 3
};
`;

const standingOf = "SELECT standing FROM consumer WHERE agency = :call.consumer";
const clearanceOf = "SELECT level AS clearance FROM division WHERE code = :attribute.code";

describe("a policy that rests on what the provider itself says", () => {
  let running: Running;
  let folder: string;
  let rows: Database.Database;
  let records: RecordReader;

  const configure = (cities: Running["cities"], deskOpen: boolean, upstream: string): void =>
    writeConfig(cities.provider, {
      upstreams: { [divisionsService]: upstream },
      databases: { standing: { sqlite: join(folder, "standing.sqlite") } },
      attributes: {
        [divisionsService]: {
          values: { desk_open: deskOpen },
          queries: [
            { database: "standing", query: standingOf },
            { database: "standing", query: clearanceOf },
          ],
        },
      },
    });

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "causeway-attributes-"));
    rows = new Database(join(folder, "standing.sqlite"));
    rows.exec(
      "CREATE TABLE consumer(agency TEXT, standing TEXT); CREATE TABLE division(code TEXT, level INTEGER)",
    );
    rows.prepare("INSERT INTO consumer VALUES(?, 'good')").run(consumer);
    rows.exec("INSERT INTO division VALUES('330106', 3), ('330108', 1)");
    let file = "";
    running = await startTwoCities({
      configure: (cities) => {
        file = cities.provider.configFile;
        configure(cities, true, readConfig(file).upstreams[divisionsService] as unknown as string);
      },
      overrides: { provider: { rereadConfig: () => readConfig(file) } },
    });
    records = recordReader(running.cities.provider);
    await publish();
  });

  after(async () => {
    records?.close();
    await running?.close();
    rows.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** The service and its policy in a second version, with attributes. */
  async function publish(): Promise<void> {
    const { cities, provider } = running;
    const published = publication(cities);
    const schema = utf8(standardSchema(declared));
    const bytes = utf8(policy);
    for (const blob of [bytes, schema]) await provider.putBlob(blob);
    const service = { ...published.service, version: 2, attributes: declared };
    const sign = cities.sign.bind(cities, cities.provider);
    await applied(provider, sign("service", divisionsService, service).jws);
    const next = {
      version: 2,
      policy: toHex(sha256(bytes)),
      policy_bytes: bytes.length,
      schema: toHex(sha256(schema)),
      schema_bytes: schema.length,
    };
    await applied(provider, sign("policy", divisionsService, next).jws);
  }

  const ask = (code: string): Promise<Answer<unknown>> => running.client.getDivision(code);

  async function newestRecord(): Promise<LedgerRecord["body"]> {
    const [newest] = await records.entries(1);
    assert.ok(newest !== undefined);
    return (await records.open(newest)).record.body;
  }

  const publicOf = (decision: Decision | undefined): Record<string, unknown> =>
    Object.fromEntries(
      (decision?.publicAttributes ?? []).map(({ name, source, value }) => {
        assert.equal(source, AttributeSource.PROVIDER);
        return [name, value && readAttributeValue(value)];
      }),
    );

  it("permits, and the record holds what was public with its source, and commitments to the rest", async () => {
    const answer = await ask("330106");
    assert.equal(answer.code, 0, answer.details);
    const body = await newestRecord();
    assert.ok(body.case === "receipt" && body.value.start.case === "begin");
    const { decision } = body.value.start.value;
    assert.deepEqual(publicOf(decision), { desk_open: true, standing: "good" });
    assert.deepEqual(decision?.personalAttributes.map(({ name }) => name).toSorted(), [
      "clearance",
      "code",
    ]);
  });

  it("denies by a row of what the request asks for", async () => {
    const answer = await ask("330108");
    assert.equal(answer.reason, "POLICY_DENIED");
    const body = await newestRecord();
    assert.ok(body.case === "refusal");
    assert.deepEqual(publicOf(body.value.decision), { desk_open: true, standing: "good" });
  });

  it("denies a call for which there is no row: the schema asks for one", async () => {
    assert.equal((await ask("999999")).reason, "POLICY_ERROR");
  });

  it("denies by the row as it is now", async () => {
    rows.exec("UPDATE consumer SET standing = 'suspended'");
    assert.equal((await ask("330106")).reason, "POLICY_DENIED");
    rows.exec("UPDATE consumer SET standing = 'good'");
    assert.equal((await ask("330106")).code, 0);
  });

  it("turns a call away that cannot be looked up, and that is on record without a decision", async () => {
    rows.exec("ALTER TABLE consumer RENAME TO gone");
    const answer = await ask("330106");
    assert.deepEqual([answer.code, answer.reason], [14, "ATTRIBUTES_UNAVAILABLE"]);
    const body = await newestRecord();
    assert.ok(body.case === "refusal");
    const { reason, stage, decision } = body.value;
    assert.deepEqual(
      [reason, stage, decision],
      ["ATTRIBUTES_UNAVAILABLE", Stage.POLICY, undefined],
    );
    rows.exec("ALTER TABLE gone RENAME TO consumer");
    assert.equal((await ask("330106")).code, 0);
  });

  it("follows a value of the configuration as soon as it is reloaded", async () => {
    const { address } = running.upstream;
    configure(running.cities, false, address);
    assert.deepEqual((await running.gateways.provider.reload()).taken, ["attributes"]);
    assert.equal((await ask("330106")).reason, "POLICY_DENIED");
    configure(running.cities, true, address);
    await running.gateways.provider.reload();
    assert.equal((await ask("330106")).code, 0);
  });

  it("keeps the old configuration when a new query does not fit the database", async () => {
    const { cities, upstream } = running;
    const query = "SELECT absent AS standing FROM consumer";
    writeConfig(cities.provider, {
      upstreams: { [divisionsService]: upstream.address },
      databases: { standing: { sqlite: join(folder, "standing.sqlite") } },
      attributes: { [divisionsService]: { queries: [{ database: "standing", query }] } },
    });
    await assert.rejects(running.gateways.provider.reload(), {
      code: "CONFIG_INVALID",
      message: /divisions: queries\[0\]: no such column: absent/,
    });
    configure(cities, true, upstream.address);
    assert.equal((await ask("330106")).code, 0);
  });

  it("is replayed with the openings that the provider kept: each decision is the same", async () => {
    await running.settled();
    const { cities } = running;
    const { admin, http } = cities.provider.addresses;
    const openings: unknown[] = [];
    for (const { exchange } of await exchanges(admin)) {
      const shown = await causeway(
        "opening",
        "show",
        exchange,
        "--admin",
        admin,
        "--output",
        "json",
      );
      if (shown.code === 0) openings.push(...(JSON.parse(shown.stdout) as unknown[]));
    }
    const file = join(folder, "openings.json");
    writeFileSync(file, JSON.stringify(openings), { mode: 0o600 });
    const { code, stdout, stderr } = await causeway(
      ...["audit", "replay", "--from", `http://${http}`, "--network", cities.networkId],
      ...["--openings", file, "--output", "json"],
    );
    assert.equal(code, 0, stderr);
    const result = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual(result["findings"], []);
    assert.equal(result["decisions_same"], result["decisions"]);
    assert.deepEqual(result["not_checked"], ["freshness"]);
  });
});

async function exchanges(admin: string): Promise<readonly { readonly exchange: string }[]> {
  const listed = await causeway("exchange", "list", "--admin", admin, "--output", "json");
  return JSON.parse(listed.stdout) as { readonly exchange: string }[];
}
