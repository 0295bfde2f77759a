import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import pg from "pg";
import { createPostgresqlDatabase } from "../../gateway/connectors/postgresql.ts";
import type { SqlDatabase } from "../../gateway/connectors/sql-database.ts";
import type { SqlUpstream } from "../../gateway/connectors/sql-upstream.ts";
import { createIdentity, type Identity } from "../transport/certificate.ts";
import { findPostgres, type Postgres, startPostgres } from "./postgres.ts";
import { Companies, isCode, many, method, pathOf } from "./sql.ts";
import { commonTests, sampleMethods } from "./sql-suite.ts";
import { hear } from "./stream-ear.ts";

const found = findPostgres();

const schema = `
  CREATE TABLE company (code text PRIMARY KEY, name text, capital bigint, rating double precision, listed boolean,
    seal bytea, standing text, founded_at timestamptz, staff integer, trades text[], street text, town text,
    owners jsonb[], note text, years bigint[]);
  CREATE FUNCTION zero_bytes() RETURNS bytea IMMUTABLE LANGUAGE sql AS $$ SELECT ''::bytea $$;
  CREATE FUNCTION sneak() RETURNS text VOLATILE LANGUAGE sql AS $$ INSERT INTO company (code) VALUES ('S') RETURNING code $$;
  INSERT INTO company (code, name) VALUES ('91330100A', '甲');
  INSERT INTO company (code, name, capital, standing, listed) VALUES ('91330100B', '乙', 0, 'STANDING_ACTIVE', false);
  CREATE ROLE reader LOGIN PASSWORD 'read only';
  GRANT SELECT ON company TO reader;
  CREATE TABLE hidden (code text);`;

describe("a PostgreSQL upstream", "missing" in found ? { skip: found.missing } : {}, () => {
  let server: Postgres;
  let identity: Identity;
  let owner: pg.Client;
  let companies: Companies;
  let database: SqlDatabase;
  let upstream: SqlUpstream;

  const connectAs = (options: Partial<Parameters<typeof createPostgresqlDatabase>[0]> = {}) =>
    createPostgresqlDatabase({
      host: "127.0.0.1",
      port: server.port,
      user: "reader",
      password: "read only",
      database: "postgres",
      tls: { ca: identity.certificate, serverName: "db.example" },
      connectionsMax: 4,
      ...options,
    });

  before(async () => {
    if ("missing" in found) return;
    identity = createIdentity("db.example");
    [companies, server] = await Promise.all([
      Companies.build(),
      startPostgres(found.bin, identity),
    ]);
    owner = new pg.Client({
      host: "127.0.0.1",
      port: server.port,
      user: "owner",
      password: server.password,
      database: "postgres",
      ssl: false,
    });
    owner.on("error", () => undefined);
    await owner.connect();
    await owner.query(schema);
    await owner.query(
      "INSERT INTO company VALUES ($1, $2, 9007199254740993, 4.5, true, '\\x00ff01', 'STANDING_CLOSED', '2001-02-03 12:05:06.789+08', 0, $3, 'Road 1', 'Hangzhou', $4, '', '{1999,-1}')",
      ["91330100C", "丙 O'Neil; --", ["a,b", 'c"d\\', "{}", "NULL", ""], ['{"name":"Lǐ"}', "{}"]],
    );
    database = connectAs();
    const methods = sampleMethods("(cardinality(:codes::text[]) = 0 OR code = ANY(:codes))");
    const typed: Readonly<Record<string, string>> = {
      ":filter.capital_min IS NULL": ":filter.capital_min::bigint IS NULL",
      ":filter.since IS NULL": ":filter.since::timestamptz IS NULL",
      ":staff IS NULL": ":staff::integer IS NULL",
      ":page_size = 0": ":page_size::integer = 0",
    };
    const { List, ...others } = methods;
    let query = List?.query ?? "";
    for (const [from, to] of Object.entries(typed)) query = query.replace(from, to);
    upstream = companies.upstream(database, { ...others, List: method(query, many) });
  });
  after(async () => {
    await upstream.close();
    await owner.end().catch(() => undefined);
    await server.close();
  });

  commonTests(() => ({ companies, database, upstream }));

  const running = async (): Promise<number> => {
    const { rows } = await owner.query<{ count: string }>(
      "SELECT count(*) FROM pg_stat_activity WHERE usename = 'reader' AND state = 'active'",
    );
    return Number(rows[0]?.count);
  };
  const settled = async (count: number): Promise<void> => {
    while ((await running()) !== count) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  const sleeping = method("SELECT 'x' AS code FROM pg_sleep(30) WHERE :code::text IS NOT NULL");

  test("stops in the server what the deadline has ended", async () => {
    const slow = companies.upstream(database, { Slow: sleeping });
    await slow.validate();
    const call = companies.call(slow, "Slow", { code: "" }, { timeoutMs: 150 }).then(
      // The server's own bound may be the first to act.
      ({ status }) => assert.equal(status.code, 4),
      isCode("DEADLINE"),
    );
    await call;
    await settled(0);
  });

  test("stops in the server what is cancelled, and only that", async () => {
    const slow = companies.upstream(database, { Slow: sleeping });
    await slow.validate();
    const first = new AbortController();
    const second = new AbortController();
    const one = companies.call(slow, "Slow", { code: "" }, { signal: first.signal });
    const two = companies.call(slow, "Slow", { code: "" }, { signal: second.signal });
    await settled(2);
    first.abort();
    await assert.rejects(one, isCode("CANCELLED"));
    await settled(1);
    second.abort();
    await assert.rejects(two, isCode("CANCELLED"));
    await settled(0);
  });

  test("cannot write, also by a function, and as the owner of the table", async () => {
    const asOwner = connectAs({ user: "owner", password: server.password });
    const sly = companies.upstream(asOwner, {
      Get: method("SELECT sneak() AS code WHERE :code::text IS NOT NULL"),
    });
    const { status } = await companies.call(sly, "Get", { code: "1" });
    assert.equal(status.code, 13);
    assert.equal(companies.faults.at(-1)?.what, "SQLSTATE 25006");
    assert.equal((await companies.codes(upstream, {})).length, 3);
    const wrong = companies.upstream(asOwner, {
      Get: method("WITH d AS (DELETE FROM company RETURNING code) SELECT code FROM d"),
    });
    await assert.rejects(wrong.validate(), isCode("CONFIG_INVALID", /Get/));
    await sly.close();
  });

  test("refuses at the start a query on what its role may not read", async () => {
    const wrong = companies.upstream(database, { Get: method("SELECT code FROM hidden") });
    await assert.rejects(wrong.validate(), isCode("CONFIG_INVALID", /hidden/));
  });

  test("answers INVALID_ARGUMENT for a value that its column's type cannot have", async () => {
    const typed = companies.upstream(database, {
      Get: method("SELECT code FROM company WHERE years[1] = (:code)::bigint"),
    });
    const { status } = await companies.call(typed, "Get", { code: "Mrs Zhang" });
    assert.equal(status.code, 3);
    assert.doesNotMatch(JSON.stringify(companies.faults.at(-1)), /Zhang/);
  });

  test("gives a long stream in parts, no faster than it is taken", async () => {
    const long = companies.upstream(database, {
      Watch: method("SELECT i::text AS code FROM generate_series(1, 2000) AS i", {
        rows: "many",
        rows_max: 5000,
      }),
    });
    const request = companies.encode("Watch", {});
    const heard = hear(long, { path: pathOf("Watch"), requests: [request] });
    await heard.message(10);
    heard.stream.take(false);
    const held = heard.messages.length;
    await companies.answer(upstream, "Wrapped", { code: "91330100B" });
    assert.ok(heard.messages.length <= held + 1);
    heard.stream.take(true);
    await heard.ended;
    assert.equal(heard.messages.length, 2000);
  });

  for (const [what, options] of [
    ["with a wrong password", { password: "wrong" }],
    ["without a password", { password: undefined }],
    ["under another name", { tls: { serverName: "other.example" } }],
    ["whose authority is not known", { tls: { serverName: "db.example" } }],
  ] as const) {
    test(`is not asked ${what}`, async () => {
      const given =
        "tls" in options && what === "under another name"
          ? { tls: { ...options.tls, ca: identity.certificate } }
          : options;
      const wrong = connectAs(given);
      const one = companies.upstream(wrong, { List: method("SELECT code FROM company", many) });
      await assert.rejects(companies.call(one, "List", {}), isCode("UPSTREAM_UNAVAILABLE"));
      await one.close();
    });
  }

  test("that goes away is unavailable, and asked again when it is back", async () => {
    const slow = companies.upstream(database, { Slow: sleeping });
    await slow.validate();
    const call = companies.call(slow, "Slow", { code: "" });
    call.catch(() => undefined);
    await settled(1);
    await server.stop();
    await assert.rejects(call, isCode("UPSTREAM_UNAVAILABLE"));
    await assert.rejects(companies.call(upstream, "List", {}), isCode("UPSTREAM_UNAVAILABLE"));
    await server.start();
    assert.equal((await companies.codes(upstream, {})).length, 3);
  });
});
