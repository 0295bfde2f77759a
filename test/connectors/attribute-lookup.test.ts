import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import Database from "better-sqlite3";
import pg from "pg";
import type { AskedCall } from "../../gateway/attributes/attribute-query.ts";
import { LookupDatabase } from "../../gateway/attributes/lookup-database.ts";
import { ServiceAttributes } from "../../gateway/attributes/service-attributes.ts";
import { createPostgresqlDatabase } from "../../gateway/connectors/postgresql.ts";
import type { SqlDatabase } from "../../gateway/connectors/sql-database.ts";
import { createSqliteDatabase } from "../../gateway/connectors/sqlite.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { ServiceAttribute, ServiceBody } from "../../src/credential/statements.ts";
import { DescriptorSets } from "../../src/policy/descriptors.ts";
import { scheduler } from "../transport/support.ts";
import { findPostgres, type Postgres, startPostgres } from "./postgres.ts";
import { isCode } from "./sql.ts";

const attribute = (
  name: string,
  type: ServiceAttribute["type"],
  source: ServiceAttribute["source"] = "provider",
): ServiceAttribute => ({ name, type, personal: false, source });

const body = {
  attributes: [
    attribute("case", "text", "token"),
    attribute("desk", "boolean"),
    attribute("level", "integer"),
    attribute("name", "text"),
    attribute("regions", "text-set"),
  ],
} as unknown as ServiceBody;

const call: AskedCall = {
  method: "/a.B/C",
  purpose: "address-check",
  facts: {
    consumerGateway: "shenzhen/finance/gw1",
    attempt: 1,
    case: utf8("case-7"),
    official: undefined,
    idempotency: undefined,
    request: undefined,
  },
};

interface Rows {
  /** Opened anew for each test. */
  open(): SqlDatabase;
  /** `SELECT` of a set of texts. */
  readonly set: string;
  readonly slow: string;
  readonly missing: RegExp;
}

function lookups(rows: () => Rows): void {
  let database: LookupDatabase;
  let faults: string[];

  function attributes(...queries: readonly string[]): ServiceAttributes {
    faults = [];
    const config = {
      values: { desk: true },
      queries: queries.map((query) => ({ database: "rows", query })),
    };
    return new ServiceAttributes(config, {
      descriptors: new DescriptorSets(() => undefined),
      database: () => database,
      onFault: (what) => faults.push(what),
    });
  }
  const said = async (...queries: readonly string[]): Promise<unknown> =>
    attributes(...queries).of(body, call, new AbortController().signal);

  before(() => {
    database = new LookupDatabase(rows().open(), scheduler);
  });
  after(() => database.close());

  test("gives each type of attribute, and what is the same for every call", async () => {
    const row = `SELECT level, name, ${rows().set} AS regions FROM consumer WHERE agency = :call.consumer`;
    assert.deepEqual(await said(row), {
      desk: true,
      level: 9_007_199_254_740_993n,
      name: "财政局",
      regions: ["east", "west"],
    });
  });

  test("leaves out what is NULL or has no row, and what is not declared", async () => {
    const row = "SELECT NULL AS level, name AS other FROM consumer WHERE agency = :call.consumer";
    const none = "SELECT name FROM consumer WHERE agency = :call.purpose";
    assert.deepEqual(await said(row, none), { desk: true });
  });

  test("takes facts of the call and attributes that it brings for parameters", async () => {
    const facts = ["consumer_city", "consumer_gateway", "method", "purpose", "case"];
    const expected = ["shenzhen", "shenzhen/finance/gw1", "/a.B/C", "address-check", "case-7"];
    const text = (name: string): string => `CAST(:${name} AS TEXT)`;
    for (const [i, fact] of facts.entries()) {
      const { name } = (await said(`SELECT ${text(`call.${fact}`)} AS name`)) as { name: string };
      assert.equal(name, expected[i], fact);
    }
    assert.deepEqual(await said(`SELECT ${text("call.official")} AS name`), { desk: true });
    assert.deepEqual(await said(`SELECT ${text("attribute.case")} AS name`), {
      desk: true,
      name: "case-7",
    });
  });

  const wrong: Readonly<Record<string, readonly [queries: readonly string[], fault: RegExp]>> = {
    "more than one row": [["SELECT name FROM twice"], /queries\[0\]: .*more than one row/],
    "a column of another type": [["SELECT 'x' AS level"], /the column level holds no integer/],
    "a text that no record holds": [
      [`SELECT name || '${"x".repeat(4097)}' AS name FROM consumer WHERE agency = :call.consumer`],
      /the column name holds no text/,
    ],
    "an attribute that is given twice": [
      ["SELECT 1 AS level", "SELECT 2 AS level"],
      /the column level is given twice/,
    ],
    "an attribute that a value gives too": [["SELECT 1 = 1 AS desk"], /desk is given twice/],
    "a parameter that the call does not bring": [
      ["SELECT name FROM consumer WHERE agency = :attribute.name"],
      /:attribute\.name is no attribute of source request or token/,
    ],
  };
  for (const [what, [queries, fault]] of Object.entries(wrong)) {
    test(`does not take ${what} for an answer`, async () => {
      await assert.rejects(said(...queries), isCode("ATTRIBUTES_UNAVAILABLE"));
      assert.match(faults.join("\n"), fault);
      assert.ok(!faults.join("").includes("财政局"));
    });
  }

  test("ends with its call, and the next one is looked up", async () => {
    const ending = new AbortController();
    const slow = attributes(rows().slow).of(body, call, ending.signal);
    setTimeout(() => ending.abort("ended"), 100);
    await assert.rejects(async () => slow, isCode("ATTRIBUTES_UNAVAILABLE"));
    assert.deepEqual(faults, []);
    assert.deepEqual(await said("SELECT 1 AS level"), { desk: true, level: 1n });
  });

  test("is checked against what is published, in both ways", async () => {
    const { unused, missing } = await attributes("SELECT 1 AS level, 2 AS other").check(body);
    assert.deepEqual([unused, missing], [["other"], ["name", "regions"]]);
    const absent = attributes("SELECT absent AS level FROM consumer");
    await assert.rejects(absent.check(undefined), isCode("CONFIG_INVALID", rows().missing));
    const twice = attributes("SELECT 1 AS desk");
    await assert.rejects(twice.check(body), isCode("CONFIG_INVALID", /desk is given twice/));
  });

  test("lets what is asked end before a database that is retired is closed", async () => {
    const retired = new LookupDatabase(rows().open(), scheduler);
    const { signal } = new AbortController();
    const found = retired.find("SELECT 1 AS level", [], signal);
    retired.retire();
    assert.deepEqual((await found)?.row, [1n]);
    await assert.rejects(retired.find("SELECT 1 AS level", [], signal));
  });
}

const table = `CREATE TABLE consumer(agency TEXT, name TEXT, level BIGINT);
  INSERT INTO consumer VALUES('shenzhen/finance', '财政局', 9007199254740993);
  CREATE TABLE twice(name TEXT); INSERT INTO twice VALUES('a'), ('b');`;

describe("a lookup of attributes in SQLite", () => {
  const folder = mkdtempSync(join(tmpdir(), "causeway-lookup-"));
  const file = join(folder, "rows.sqlite");
  before(() => {
    const db = new Database(file);
    db.exec(table);
    db.close();
  });
  after(() => rmSync(folder, { recursive: true, force: true }));
  lookups(() => ({
    open: () => createSqliteDatabase({ file, processesMax: 2 }),
    set: "json_array('east', 'west')",
    slow: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS level FROM n",
    missing: /no such column: absent/,
  }));
});

const found = findPostgres();
describe(
  "a lookup of attributes in PostgreSQL",
  "missing" in found ? { skip: found.missing } : {},
  () => {
    let postgres: Postgres;
    before(async () => {
      if ("missing" in found) return;
      postgres = await startPostgres(found.bin);
      const { port, password } = postgres;
      const owner = { host: "127.0.0.1", port, password, user: "owner", database: "postgres" };
      const client = new pg.Client(owner);
      await client.connect();
      await client.query(table);
      await client.end();
    });
    after(() => postgres?.close());
    lookups(() => ({
      open: () =>
        createPostgresqlDatabase({
          host: "127.0.0.1",
          port: postgres.port,
          password: postgres.password,
          user: "owner",
          database: "postgres",
          connectionsMax: 2,
        }),
      set: "ARRAY['east', 'west']",
      slow: "SELECT 1 AS level FROM (SELECT pg_sleep(60)) AS slept",
      missing: /column "absent" does not exist/,
    }));

    describe("over a network", () => {
      let between: Server;
      let sockets: Socket[];
      let isSilent: boolean;
      let rows: SqlDatabase;
      let database: LookupDatabase;
      const find = (text: string, signal: AbortSignal): ReturnType<LookupDatabase["find"]> =>
        database.find(text, [], signal);

      beforeEach(async () => {
        isSilent = false;
        sockets = [];
        between = createServer((socket) => {
          const beyond = connect(postgres.port, "127.0.0.1");
          sockets.push(socket, beyond);
          for (const one of [socket, beyond]) one.on("error", () => undefined);
          socket.on("data", (data) => isSilent || beyond.write(data));
          beyond.on("data", (data) => socket.write(data));
        });
        await once(between.listen(0, "127.0.0.1"), "listening");
        const { port } = between.address() as AddressInfo;
        const { password } = postgres;
        const options = { host: "127.0.0.1", user: "owner", database: "postgres", password };
        rows = createPostgresqlDatabase({ ...options, port, connectionsMax: 1 });
        database = new LookupDatabase(rows, scheduler);
        const { signal } = new AbortController();
        assert.deepEqual((await find("SELECT 1::bigint AS level", signal))?.row, [1n]);
      });
      afterEach(async () => {
        for (const socket of sockets) socket.destroy();
        between.close();
        await database.close();
      });

      test("ends with its call though nothing comes through any more", async () => {
        isSilent = true;
        const ending = new AbortController();
        const found = find("SELECT 1::bigint AS level", ending.signal);
        setImmediate(() => ending.abort("ended"));
        await assert.rejects(found, isCode("DEADLINE"));
      });

      test("is given up where the database cannot be told to stop either", async () => {
        const ending = new AbortController();
        const { signal } = ending;
        const cursor = await rows.read({ text: "SELECT 1", parameters: [], timeoutMs: 0, signal });
        isSilent = true;
        between.close();
        const found = cursor.next();
        ending.abort(new CausewayError("DEADLINE", "too late"));
        await assert.rejects(found, isCode("DEADLINE"));
        await cursor.close();
      });

      test("fails when its connection is reset, and the next one is looked up", async () => {
        const { signal } = new AbortController();
        const found = find("SELECT 1::bigint AS level FROM pg_sleep(60)", signal);
        setTimeout(() => {
          for (const socket of sockets.splice(0)) socket.resetAndDestroy();
        }, 100);
        await assert.rejects(found, isCode("UPSTREAM_UNAVAILABLE"));
        assert.deepEqual((await find("SELECT 1::bigint AS level", signal))?.row, [1n]);
      });
    });
  },
);

test("a lookup ends with its call while a PostgreSQL database does not take the connection", async () => {
  const silent = createServer((socket) => void sockets.push(socket));
  const sockets: Socket[] = [];
  await once(silent.listen(0, "127.0.0.1"), "listening");
  const { port } = silent.address() as AddressInfo;
  const database = createPostgresqlDatabase({
    host: "127.0.0.1",
    port,
    user: "reader",
    database: "rows",
    connectionsMax: 1,
  });
  const ending = new AbortController();
  const found = new LookupDatabase(database, scheduler).find("SELECT 1", [], ending.signal);
  await once(silent, "connection");
  const beganMs = performance.now();
  ending.abort("ended");
  await assert.rejects(found, isCode("DEADLINE"));
  assert.ok(performance.now() - beganMs < 5000);
  for (const socket of sockets) socket.destroy();
  silent.close();
  await database.close();
});
