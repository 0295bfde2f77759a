import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import Database from "better-sqlite3";
import type { SqlDatabase } from "../../gateway/connectors/sql-database.ts";
import type { SqlUpstream } from "../../gateway/connectors/sql-upstream.ts";
import { createSqliteDatabase } from "../../gateway/connectors/sqlite.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { Companies, isCode, many, method, pathOf } from "./sql.ts";
import { commonTests, sampleMethods } from "./sql-suite.ts";
import { hear } from "./stream-ear.ts";

const endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)";

describe("a SQLite upstream", () => {
  const folder = mkdtempSync(join(tmpdir(), "causeway-sqlite-"));
  const file = join(folder, "companies.sqlite");
  let companies: Companies;
  let database: SqlDatabase;
  let upstream: SqlUpstream;

  before(async () => {
    companies = await Companies.build();
    const db = new Database(file);
    db.exec(`CREATE TABLE company (code TEXT, name TEXT, capital INTEGER, rating REAL, listed INTEGER,
      seal BLOB, standing TEXT, founded_at TEXT, staff INTEGER, trades TEXT, street TEXT, town TEXT,
      owners TEXT, note TEXT, years TEXT)`);
    db.exec("INSERT INTO company (code, name) VALUES ('91330100A', '甲')");
    db.exec(
      "INSERT INTO company (code, name, capital, standing) VALUES ('91330100B', '乙', 0, 'STANDING_ACTIVE')",
    );
    db.prepare(`INSERT INTO company VALUES (?, ?, 9007199254740993, 4.5, 1, x'00ff01', 'STANDING_CLOSED',
      '2001-02-03 04:05:06.789', 0, ?, 'Road 1', 'Hangzhou', ?, '', '[1999,-1]')`).run(
      "91330100C",
      "丙 O'Neil; --",
      JSON.stringify(["a,b", 'c"d\\', "{}", "NULL", ""]),
      JSON.stringify([{ name: "Lǐ" }, {}]),
    );
    db.close();
    database = createSqliteDatabase({ file, processesMax: 2 });
    const codes =
      "(json_array_length(:codes) = 0 OR code IN (SELECT value FROM json_each(:codes)))";
    const methods = sampleMethods(codes);
    const { List, ...others } = methods;
    upstream = companies.upstream(database, {
      ...others,
      List: {
        ...(List as ReturnType<typeof method>),
        // Times are texts here.
        query: (List?.query ?? "")
          .replace("zero_bytes()", "x''")
          .replace(
            "founded_at >= :filter.since",
            "founded_at >= replace(replace(:filter.since, 'T', ' '), 'Z', '')",
          ),
      },
    });
  });
  after(async () => {
    await upstream.close();
    rmSync(folder, { recursive: true });
  });

  commonTests(() => ({ companies, database, upstream }));

  test("ends a query that never ends with its deadline, and answers the next at once", async () => {
    const slow = companies.upstream(database, {
      Slow: method(`${endless} SELECT 'x' AS code FROM n WHERE i < 0 AND :code = ''`),
      Get: method("SELECT code FROM company WHERE code = :code"),
    });
    const call = companies.call(slow, "Slow", { code: "" }, { timeoutMs: 150 });
    await assert.rejects(call, isCode("DEADLINE"));
    assert.deepEqual(await companies.answer(slow, "Get", { code: "91330100A" }), {
      code: "91330100A",
    });
  });

  test("ends a query whose call is cancelled, and those that wait go on", async () => {
    const one = createSqliteDatabase({ file, processesMax: 1 });
    const slow = companies.upstream(one, {
      Slow: method(`${endless} SELECT 'x' AS code FROM n WHERE i < 0 AND :code = ''`),
      Get: method("SELECT code FROM company WHERE code = :code"),
    });
    await slow.validate();
    const cancel = new AbortController();
    const call = companies.call(slow, "Slow", { code: "" }, { signal: cancel.signal });
    const next = companies.answer(slow, "Get", { code: "91330100A" });
    setImmediate(() => cancel.abort(new CausewayError("PEER_LOST", "gone")));
    await assert.rejects(call, isCode("PEER_LOST"));
    assert.deepEqual(await next, { code: "91330100A" });
    await slow.close();
  });

  test("runs a query while another one takes its time", async () => {
    const slow = companies.upstream(database, {
      Slow: method(`${endless} SELECT 'x' AS code FROM n WHERE i < 0 AND :code = ''`),
      Get: method("SELECT code FROM company WHERE code = :code"),
    });
    const cancel = new AbortController();
    const call = companies.call(slow, "Slow", { code: "" }, { signal: cancel.signal });
    await companies.answer(slow, "Get", { code: "91330100A" });
    cancel.abort();
    await assert.rejects(call, isCode("CANCELLED"));
  });

  test("gives a long stream in parts, no faster than it is taken", async () => {
    const long = companies.upstream(database, {
      Watch: method(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) SELECT CAST(i AS TEXT) AS code FROM n",
        { rows: "many", rows_max: 5000 },
      ),
    });
    const heard = hear(long, { path: pathOf("Watch"), requests: [companies.encode("Watch", {})] });
    await heard.message(10);
    heard.stream.take(false);
    const held = heard.messages.length;
    await companies.answer(upstream, "Wrapped", { code: "91330100B" });
    assert.ok(heard.messages.length <= held + 1);
    heard.stream.take(true);
    await heard.ended;
    assert.equal(heard.messages.length, 2000);
  });

  test("that is not there is unavailable, at the start and at a call", async () => {
    const gone = createSqliteDatabase({ file: join(folder, "none.sqlite"), processesMax: 1 });
    const without = companies.upstream(gone, { List: method("SELECT code FROM company", many) });
    await assert.rejects(without.validate(), isCode("UPSTREAM_UNAVAILABLE"));
    await assert.rejects(companies.call(without, "List", {}), isCode("UPSTREAM_UNAVAILABLE"));
    await without.close();
  });

  test("whose columns have changed places is not misread, and read again with the next call", async () => {
    const place = "SELECT * FROM place WHERE code = :code";
    const db = new Database(file);
    db.exec("CREATE TABLE place (code TEXT, name TEXT, note TEXT)");
    db.exec("INSERT INTO place VALUES ('1', 'name', 'note')");
    const moved = companies.upstream(database, { Get: method(place) });
    const read = async (): Promise<unknown> => {
      const { messages, status } = await companies.call(moved, "Get", { code: "1" });
      return status.code === 0 ? companies.decode("Get", messages[0]) : status.code;
    };
    const whole = { code: "1", name: "name", note: "note" };
    assert.deepEqual(await read(), whole);
    db.exec("DROP TABLE place; CREATE TABLE place (note TEXT, name TEXT, code TEXT)");
    db.exec("INSERT INTO place VALUES ('note', 'name', '1')");
    db.close();
    assert.deepEqual([await read(), await read()], [13, whole]);
  });

  test("is never written to", async () => {
    const before = new Database(file, { readonly: true });
    const count = (): unknown => before.prepare("SELECT count(*) FROM company").pluck().get();
    assert.equal(count(), 3);
    await assert.rejects(
      database.describe("INSERT INTO company (code) VALUES ('X') RETURNING code", 0),
      isCode("CONFIG_INVALID"),
    );
    const cursor = await database.read({
      text: "INSERT INTO company (code) VALUES ('X') RETURNING code",
      parameters: [],
      timeoutMs: undefined,
      signal: new AbortController().signal,
    });
    assert.equal((await cursor.next()).kind, "failed");
    await cursor.close();
    assert.equal(count(), 3);
    before.close();
  });
});
