import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import Database from "better-sqlite3";
import { checkConfig } from "../../gateway/config.ts";
import { checkSources } from "../../gateway/connectors/check.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { createIdentity } from "../transport/certificate.ts";

const service = "hangzhou/civil-affairs/divisions";
const path = "/divisions.v1.Divisions/Get";

describe("a check of a configuration", () => {
  const folder = mkdtempSync(join(tmpdir(), "causeway-check-"));
  const file = join(folder, "gateway.yaml");
  const base = `gateway: hangzhou/civil-affairs/gw1
keys: keys
passphrase_file: passphrase
founding: network.json
data: data
listeners: {agency: "127.0.0.1:7001", peer: "127.0.0.1:7002", admin: a.sock, http: "127.0.0.1:7003"}
`;

  before(() => {
    const db = new Database(join(folder, "divisions.sqlite"));
    db.exec("CREATE TABLE division(code TEXT, name TEXT, open INTEGER)");
    db.close();
    const [own, other] = [createIdentity("a"), createIdentity("b")];
    const files: Readonly<Record<string, string>> = {
      passphrase: "p",
      "network.json": "{}",
      "text.sqlite": "a text that is long enough to be read as the first page of a file".repeat(20),
      "own.pem": own.certificate,
      "own.key": own.privateKey,
      "other.key": other.privateKey,
    };
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(folder, name), text, { mode: 0o600 });
    }
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** Lines from 1 behind the base, each with its key and what is wrong. */
  async function problemsOf(more: string): Promise<readonly string[]> {
    writeFileSync(file, base + more);
    try {
      await checkConfig(file, {}, checkSources);
      return [];
    } catch (error) {
      assert.ok(error instanceof CausewayError && error.code === "CONFIG_INVALID", String(error));
      const before = base.split("\n").length - 1;
      return error.message
        .split("\n")
        .map((line) => line.replace(/^.*?\.yaml:(\d+)/, (_, at) => `${Number(at) - before}`));
    }
  }

  const upstream = (entry: string): string => `upstreams:\n  ${service}: ${entry}\n`;
  const sqlite = (name: string, query: string): string =>
    upstream(`{sqlite: ${name}, methods: {${path}: {query: "${query}"}}}`);
  const lookup = (query: string): string =>
    `databases: {local: {sqlite: divisions.sqlite}}
attributes:
  ${service}:
    queries:
      - {database: local, query: "${query}"}
`;

  const right: Readonly<Record<string, string>> = {
    "queries that a SQLite database takes":
      sqlite("divisions.sqlite", "SELECT name FROM division WHERE code = :code") +
      lookup("SELECT open FROM division WHERE code = :attribute.code"),
    "a PostgreSQL database that is not there": upstream(
      `{postgresql: "127.0.0.1:1", user: u, database: d, methods: {${path}: {query: SELECT 1}}}`,
    ),
  };
  for (const [what, more] of Object.entries(right)) {
    test(`finds nothing wrong with ${what}`, async () => {
      assert.deepEqual(await problemsOf(more), []);
    });
  }

  const key = `2: upstreams.${service}`;
  const wrong: Readonly<Record<string, readonly [more: string, problem: RegExp | string]>> = {
    "a SQLite file that is not there": [
      sqlite("none.sqlite", "SELECT 1"),
      `${key}.sqlite: the database cannot be read: SQLITE_CANTOPEN`,
    ],
    "a file that is no database": [
      sqlite("text.sqlite", "SELECT 1"),
      `${key}.sqlite: the database cannot be read: file is not a database`,
    ],
    "a query of a column that the table lacks": [
      sqlite("divisions.sqlite", "SELECT mayor FROM division"),
      `${key}.methods.${path}.query: no such column: mayor`,
    ],
    "a query that writes": [
      sqlite("divisions.sqlite", "WITH x AS (SELECT 1) DELETE FROM division RETURNING code"),
      `${key}.methods.${path}.query: it does not only read`,
    ],
    "a lookup in a table that is not there": [
      lookup("SELECT open FROM desk"),
      `5: attributes.${service}.queries[0].query: no such table: desk`,
    ],
    "a PostgreSQL query that is no SELECT": [
      upstream(
        `{postgresql: "127.0.0.1:1", user: u, database: d, methods: {${path}: {query: DROP TABLE x}}}`,
      ),
      `${key}.methods.${path}.query: the query: it is no SELECT`,
    ],
    "a key that is not its certificate's": [
      upstream('{grpc: "127.0.0.1:1", tls: {certificate_file: own.pem, key_file: other.key}}'),
      /^2: upstreams\..*\.tls: the TLS of an upstream: .*key values mismatch/,
    ],
    "a certificate without its key": [
      upstream('{grpc: "127.0.0.1:1", tls: {certificate_file: own.pem}}'),
      `${key}.tls: certificate_file and key_file go together`,
    ],
    "a lookup with a parameter that no call has": [
      lookup("SELECT open FROM division WHERE code = :code"),
      /^5: attributes\..*\.queries\[0\]\.query: the query: :code is none of :call\.consumer, /,
    ],
    "a lookup in a database that has no entry": [
      lookup("SELECT 1 AS x").replace("database: local", "database: other"),
      `5: attributes.${service}.queries[0].database: other is none of databases`,
    ],
    "an attribute of another agency's service": [
      "attributes:\n  hangzhou/tax/companies: {values: {open: true}}\n",
      "2: attributes.hangzhou/tax/companies: it is no data service of hangzhou/civil-affairs",
    ],
    "an attribute with a fraction": [
      `attributes:\n  ${service}: {values: {open: 1.5}}\n`,
      `2: attributes.${service}.values.open: it is true, false, a whole number, a text or a list of texts, not 1.5`,
    ],
  };
  for (const [what, [more, problem]] of Object.entries(wrong)) {
    test(`names the line of ${what}`, async () => {
      const [found = "", ...others] = await problemsOf(more);
      if (typeof problem === "string") assert.equal(found, problem);
      else assert.match(found, problem);
      assert.deepEqual(others, []);
    });
  }
});
