/** What every SQL upstream does, whatever the database. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SqlDatabase } from "../../gateway/connectors/sql-database.ts";
import type { SqlMethod } from "../../gateway/connectors/sql-plan.ts";
import type { SqlUpstream } from "../../gateway/connectors/sql-upstream.ts";
import { Companies, isCode, many, method, rich } from "./sql.ts";
import { hear } from "./stream-ear.ts";
import { pathOf } from "./sql.ts";

export interface Sample {
  readonly companies: Companies;
  readonly database: SqlDatabase;
  readonly upstream: SqlUpstream;
}

const columns =
  'code, name, capital, rating, listed, seal, standing, founded_at, staff, trades, street AS "address.street", town AS "address.town", owners, note, years';

/** Queries that both databases read. `codes` is the condition of a list parameter. */
export function sampleMethods(codes: string): Record<string, SqlMethod> {
  return {
    Get: method(`SELECT ${columns} FROM company WHERE code = :code;`),
    Wrapped: method(
      "SELECT code, name FROM company WHERE code LIKE :code || '%' -- :not.a.parameter\n ORDER BY code",
      { field: "company", not_found: false },
    ),
    List: method(
      `/* :none */ SELECT code FROM company
       WHERE (:filter.capital_min IS NULL OR capital >= :filter.capital_min)
         AND (:filter.standing = 'STANDING_UNSPECIFIED' OR standing = :filter.standing)
         AND (:filter.since IS NULL OR founded_at >= :filter.since)
         AND (NOT :listed OR listed = :listed)
         AND (:seal = zero_bytes() OR seal = :seal)
         AND (:staff IS NULL OR staff = :staff)
         AND ${codes}
       ORDER BY code LIMIT CASE WHEN :page_size = 0 THEN 100 ELSE :page_size END`,
      many,
    ),
    Watch: method("SELECT code, name FROM company ORDER BY code", {
      rows: "many",
      not_found: false,
    }),
  };
}

export function commonTests(sample: () => Sample): void {
  const answer = (name: string, request: Parameters<Companies["answer"]>[2]) =>
    sample().companies.answer(sample().upstream, name, request);

  test("is of its kind, and its queries fit", async () => {
    assert.equal(sample().upstream.kind, "sql");
    await sample().upstream.validate();
  });

  test("maps every type of column to its field", async () => {
    assert.deepEqual(await answer("Get", { code: "91330100C" }), rich);
  });

  test("leaves out what is NULL", async () => {
    assert.deepEqual(await answer("Get", { code: "91330100A" }), { code: "91330100A", name: "甲" });
  });

  test("takes a parameter for a value, whatever it holds", async () => {
    const { companies, upstream } = sample();
    for (const code of ["' OR 1=1 --", "91330100A'; DROP TABLE company; --", ":code", "$1", "\\"]) {
      const { status, messages } = await companies.call(upstream, "Get", { code });
      assert.deepEqual([status.code, messages.length], [5, 0], code);
    }
    assert.equal((await companies.codes(upstream, {})).length, 3);
  });

  test("answers NOT_FOUND only where that is asked for", async () => {
    assert.deepEqual(await answer("Wrapped", { code: "none" }), {});
  });

  test("puts one row into a field", async () => {
    assert.deepEqual(await answer("Wrapped", { code: "91330100B" }), {
      company: { code: "91330100B", name: "乙" },
    });
  });

  test("does not choose between two rows where one is meant", async () => {
    const { companies, upstream } = sample();
    const { status } = await companies.call(upstream, "Wrapped", { code: "9133" });
    assert.equal(status.code, 13);
    assert.deepEqual(companies.faults.at(-1)?.what, "more than one row");
  });

  const filters: readonly (readonly [what: string, request: object, codes: string])[] = [
    ["nothing", {}, "ABC"],
    ["a presence that is absent or 0", { filter: { capitalMin: "0" } }, "BC"],
    ["a large number", { filter: { capitalMin: "9007199254740993" } }, "C"],
    ["a larger number", { filter: { capitalMin: "9007199254740994" } }, ""],
    ["an enumeration by its name", { filter: { standing: "STANDING_ACTIVE" } }, "B"],
    ["a time", { filter: { since: "2001-02-03T04:05:06Z" } }, "C"],
    ["a truth value", { listed: true }, "C"],
    ["bytes", { seal: "AP8B" }, "C"],
    ["a wrapped 0", { staff: 0 }, "C"],
    ["a list", { codes: ["91330100A", "91330100C", "'"] }, "AC"],
    ["a number for LIMIT", { pageSize: 2 }, "AB"],
  ];
  for (const [what, request, codes] of filters) {
    test(`takes ${what} from a request`, async () => {
      const { companies, upstream } = sample();
      assert.equal(
        (await companies.codes(upstream, request as Parameters<Companies["codes"]>[1]))
          .map((code) => code.slice(-1))
          .join(""),
        codes,
      );
    });
  }

  test("streams rows as messages", async () => {
    const { companies, upstream } = sample();
    const heard = hear(upstream, {
      path: pathOf("Watch"),
      requests: [companies.encode("Watch", {})],
    });
    await heard.ended;
    assert.equal(heard.status?.code, 0);
    const names = heard.messages.map((one) => companies.decode("Watch", one)) as { name: string }[];
    assert.deepEqual(
      names.map(({ name }) => name),
      ["甲", "乙", "丙 O'Neil; --"],
    );
  });

  test("opens a unary method, and no stream of requests", async () => {
    const { companies, upstream } = sample();
    const request = companies.encode("Get", { code: "91330100A" });
    const heard = hear(upstream, { path: pathOf("Get"), requests: [request] });
    await heard.ended;
    assert.deepEqual([heard.status?.code, heard.messages.length], [0, 1]);
    const refused = hear(upstream, { path: pathOf("Upload"), requests: [] });
    await refused.ended;
    assert.equal(refused.error?.code, "CALL_TYPE_UNSUPPORTED");
  });

  test("has no method without a query", async () => {
    const { companies, upstream } = sample();
    assert.equal((await companies.call(upstream, "Other", { code: "1" })).status.code, 12);
  });

  for (const [what, settings, code] of [
    ["an empty answer", {}, 0],
    ["NOT_FOUND where it is told so", { not_found: true }, 5],
  ] as const) {
    test(`of many rows finds none: ${what}`, async () => {
      const { companies, database } = sample();
      const none = "SELECT code FROM company WHERE 1 = 0";
      const empty = companies.upstream(database, {
        List: method(none, { ...many, ...settings }),
        Watch: method(none, { rows: "many", ...settings }),
      });
      const { status, messages } = await companies.call(empty, "List", {});
      assert.deepEqual([status.code, messages.length], [code, code === 0 ? 1 : 0]);
      const heard = hear(empty, {
        path: pathOf("Watch"),
        requests: [companies.encode("Watch", {})],
      });
      await heard.ended;
      assert.deepEqual([heard.status?.code, heard.messages.length], [code, 0]);
    });
  }

  test("is bounded in rows and in bytes", async () => {
    const { companies, database } = sample();
    const few = companies.upstream(database, {
      List: method("SELECT code FROM company", { ...many, rows_max: 2 }),
      Watch: method("SELECT code FROM company", { rows: "many", rows_max: 2 }),
      Get: method("SELECT name, code FROM company WHERE code = :code"),
    });
    await assert.rejects(companies.call(few, "List", {}), isCode("MESSAGE_TOO_LARGE"));
    const heard = hear(few, { path: pathOf("Watch"), requests: [companies.encode("Watch", {})] });
    await heard.ended;
    assert.deepEqual([heard.error?.code, heard.messages.length], ["MESSAGE_TOO_LARGE", 2]);
    const request = { code: "91330100A" };
    await assert.rejects(
      companies.call(few, "Get", request, { answerBytesMax: 10 }),
      isCode("MESSAGE_TOO_LARGE"),
    );
  });

  const wrongTypes: Readonly<Record<string, string>> = {
    capital: "name",
    listed: "name",
    seal: "name",
    standing: "name",
    founded_at: "name",
    trades: "name",
    owners: "name",
    name: "capital",
    staff: "capital",
  };
  for (const [field, column] of Object.entries(wrongTypes)) {
    test(`does not carry ${column} as ${field}, and says no value`, async () => {
      const { companies, database } = sample();
      const wrong = companies.upstream(database, {
        Get: method(`SELECT ${column} AS ${field} FROM company WHERE code = :code`),
      });
      const { status, messages } = await companies.call(wrong, "Get", { code: "91330100C" });
      assert.deepEqual([status.code, messages.length], [13, 0]);
      assert.equal(companies.faults.at(-1)?.what, `column ${field}`);
      assert.doesNotMatch(Buffer.from(status.message).toString(), /丙|9007/);
    });
  }

  const invalid: readonly (readonly [what: string, name: string, made: SqlMethod, RegExp])[] = [
    ["writes", "Get", method("DELETE FROM company RETURNING code"), /no SELECT/],
    [
      "writes behind a WITH",
      "Get",
      method("WITH d AS (SELECT 1) DELETE FROM company RETURNING code"),
      /\S/,
    ],
    [
      "is two statements",
      "Get",
      method("SELECT code FROM company; DELETE FROM company"),
      /more than one/,
    ],
    [
      "is two statements behind a comment",
      "Get",
      method("SELECT code FROM company /* ; */; /* */ SELECT 1"),
      /more than one/,
    ],
    ["is no SQL", "Get", method("SELECT FROM WHERE"), /\S/],
    ["names no table", "Get", method("SELECT code FROM nothing"), /nothing/],
    [
      "has a parameter that the request lacks",
      "Get",
      method("SELECT code FROM company WHERE code = :kode"),
      /:kode/,
    ],
    [
      "has a parameter below a field that has none",
      "Get",
      method("SELECT code FROM company WHERE code = :code.x"),
      /:code\.x/,
    ],
    ["has a column that the answer lacks", "Get", method("SELECT code, town FROM company"), /town/],
    ["has a column twice", "Get", method("SELECT code, name AS code FROM company"), /twice/],
    [
      "gives many rows to no field",
      "List",
      method("SELECT code FROM company", { rows: "many" }),
      /field/,
    ],
    [
      "gives many rows to a field that is no list",
      "Wrapped",
      method("SELECT code FROM company", { ...many, field: "company" }),
      /field/,
    ],
    ["gives one row of a stream", "Watch", method("SELECT code FROM company"), /many/],
    [
      "is of a method with a stream of requests",
      "Upload",
      method("SELECT code FROM company", many),
      /one request/,
    ],
    ["is of no method", "Nothing", method("SELECT 1"), /no such method/],
    ["has a comment without an end", "Get", method("SELECT code FROM company /* x"), /comment/],
  ];
  for (const [what, name, made, text] of invalid) {
    test(`refuses at the start a query that ${what}, and names the method`, async () => {
      const { companies, database } = sample();
      const wrong = companies.upstream(database, { [name]: made });
      await assert.rejects(
        wrong.validate(),
        (error) =>
          isCode("CONFIG_INVALID", text)(error) &&
          isCode("CONFIG_INVALID", new RegExp(name))(error),
      );
      if (companies.descriptors.method(pathOf(name)) === undefined || name === "Upload") return;
      const request = name === "List" ? {} : name === "Watch" ? {} : { code: "1" };
      await assert.rejects(companies.call(wrong, name, request), isCode("UPSTREAM_UNAVAILABLE"));
    });
  }
}
