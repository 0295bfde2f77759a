import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { stringify } from "yaml";
import { parseConfig } from "../../gateway/config.ts";
import { CausewayError } from "../../src/base/errors.ts";

const service = "hangzhou/civil-affairs/divisions";

function configOf(upstream: unknown): ReturnType<typeof parseConfig> {
  const text = stringify({
    gateway: "hangzhou/civil-affairs/gw1",
    keys: "gateway",
    passphrase_file: "passphrase",
    founding: "founding.json",
    data: "data",
    listeners: {
      agency: "127.0.0.1:1000",
      peer: "127.0.0.1:1001",
      admin: "admin.sock",
      http: "127.0.0.1:1002",
    },
    upstreams: { [service]: upstream },
  });
  return parseConfig(text, "/etc/causeway/gateway.yaml");
}

const path = "/companies.v1.Companies/Get";
const methods = { [path]: { query: "SELECT 1" } };
const postgresql = { postgresql: "db:5432", user: "reader", database: "registry", methods };

describe("an upstream of the configuration", () => {
  test("is HTTP and JSON, with its files beside the configuration's", () => {
    const http = {
      http: "https://registry.internal/api",
      authorization_file: "token",
      tls: { ca_file: "ca.pem" },
    };
    assert.deepEqual(configOf(http).upstreams[service], {
      http: "https://registry.internal/api",
      names: "json",
      authorization_file: "/etc/causeway/token",
      request_fields: [],
      answer_fields: [],
      connections_max: 64,
      tls: { ca_file: "/etc/causeway/ca.pem" },
    });
  });
  test("is a SQLite database", () => {
    assert.deepEqual(configOf({ sqlite: "registry.sqlite", methods }).upstreams[service], {
      sqlite: "/etc/causeway/registry.sqlite",
      processes_max: 4,
      methods: { [path]: { query: "SELECT 1", rows: "one", rows_max: 1000 } },
    });
  });
  test("is a PostgreSQL database, its password in a file", () => {
    const upstream = configOf({ ...postgresql, password_file: "secret" }).upstreams[service];
    assert.ok(upstream !== undefined && "postgresql" in upstream);
    assert.equal(upstream.password_file, "/etc/causeway/secret");
  });

  const wrong: Readonly<Record<string, unknown>> = {
    "a URL with a password": { http: "https://a:b@registry.internal" },
    "a URL with a query": { http: "https://registry.internal/?a=b" },
    "a URL of a file": { http: "file:///etc/passwd" },
    "a URL that is none": { http: "registry.internal" },
    "a field of credentials that passes": { http: "http://a", request_fields: ["cookie"] },
    "a reserved field that passes": { http: "http://a", answer_fields: ["causeway-receipt"] },
    "a field with capitals": { http: "http://a", request_fields: ["X-Tenant"] },
    "names of another kind": { http: "http://a", names: "camel" },
    "two kinds in one": { http: "http://a", sqlite: "a", methods },
    "a password that stands in it": { ...postgresql, password: "secret" },
    "a method that is no path": { sqlite: "a", methods: { Get: { query: "SELECT 1" } } },
    "no query": { sqlite: "a", methods: { [path]: {} } },
    "rows of another number": {
      sqlite: "a",
      methods: { [path]: { query: "SELECT 1", rows: "two" } },
    },
  };
  for (const [what, upstream] of Object.entries(wrong)) {
    test(`with ${what} is refused with its line`, () => {
      assert.throws(
        () => configOf(upstream),
        (error) =>
          error instanceof CausewayError &&
          error.code === "CONFIG_INVALID" &&
          /gateway\.yaml:\d+: upstreams/.test(error.message),
      );
    });
  }
});
