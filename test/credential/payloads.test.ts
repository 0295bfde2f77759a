import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { formatJcs, isList, isObject, type JsonValue } from "../../src/credential/jcs.ts";
import {
  formatPayload,
  parsePayload,
  statementName,
  statementNames,
  statementTyp,
} from "../../src/credential/payloads.ts";
import type { Statement, StatementName } from "../../src/credential/statements.ts";
import { assertCode, statementFixtures } from "./fixtures.ts";

type Path = readonly (string | number)[];

function payloadOf(statement: Statement): JsonValue {
  return { ...statement.claims, [statement.name]: statement.body } as unknown as JsonValue;
}

/** Every place of a value, from the outside in. */
function places(value: JsonValue, path: Path = []): readonly Path[] {
  if (typeof value !== "object") return [path];
  const inner = Object.entries(value).flatMap(([member, child]) =>
    places(child as JsonValue, [...path, isList(value) ? Number(member) : member]),
  );
  return [path, ...inner];
}

/** `value` with the place at `path` put through `change`; `undefined` takes the member away. */
function changed(
  value: JsonValue,
  [head, ...rest]: Path,
  change: (value: JsonValue) => JsonValue | undefined,
): JsonValue | undefined {
  if (head === undefined) return change(value);
  const copy = structuredClone(value) as Record<string | number, JsonValue>;
  const inner = changed(copy[head] as JsonValue, rest, change);
  if (inner === undefined) delete copy[head];
  else copy[head] = inner;
  return isList(value) ? Object.values(copy) : copy;
}

function refuse(name: StatementName, json: JsonValue | undefined): void {
  assert.ok(json !== undefined);
  assertCode(() => parsePayload(name, utf8(formatJcs(json))), "STATEMENT_INVALID");
}

/** Members that may be absent. */
const optionalPlaces: ReadonlySet<string> = new Set(["nbf", "exp", "fields", "quota", "text"]);

describe("a payload of each type is parsed as it was printed", () => {
  for (const statement of Object.values(statementFixtures)) {
    test(statement.name, () => {
      assert.deepEqual(parsePayload(statement.name, formatPayload(statement)), statement);
      assert.equal(statementName(statementTyp(statement.name)), statement.name);
    });
  }

  test("every type has a fixture", () => {
    assert.deepEqual(statementNames.toSorted(), Object.keys(statementFixtures).toSorted());
  });
});

for (const statement of Object.values(statementFixtures)) {
  const { name } = statement;
  const json = payloadOf(statement);
  const described = places(json);

  describe(`a ${name} payload is closed`, () => {
    test("one unknown member in any object is refused", () => {
      for (const path of described) {
        const extended = changed(json, path, (value) =>
          isObject(value) ? { ...value, unknown: 1 } : value,
        );
        if (formatJcs(extended) !== formatJcs(json)) refuse(name, extended);
      }
    });

    test("any member that is missing is refused, unless it may be absent", () => {
      for (const path of described) {
        const last = path.at(-1);
        if (typeof last !== "string") continue;
        const reduced = changed(json, path, () => undefined);
        const mayBeAbsent = optionalPlaces.has(last) && !(name === "grant" && path.length === 1);
        if (mayBeAbsent) parsePayload(name, utf8(formatJcs(reduced)));
        else refuse(name, reduced);
      }
    });

    test("any value of another kind is refused", () => {
      for (const path of described) {
        for (const other of [false, "~ \u0000", 0.0, [], {}, [[]]] as const) {
          if (other === false && isBoolean(json, path)) continue;
          if (Array.isArray(other) && other.length === 0 && mayBeEmpty(path)) continue;
          if (other === 0 && mayBeZero(path)) continue;
          refuse(
            name,
            changed(json, path, () => other),
          );
        }
      }
    });

    test("a payload of another type is refused", () => {
      for (const other of statementNames) if (other !== name) refuse(other, json);
    });
  });
}

function isBoolean(json: JsonValue, path: Path): boolean {
  let value = json;
  for (const step of path) value = (value as Record<string | number, JsonValue>)[step] as JsonValue;
  return typeof value === "boolean";
}

function mayBeEmpty(path: Path): boolean {
  return ["subject_paths", "attributes", "years", "off", "on"].includes(String(path.at(-1)));
}

function mayBeZero(path: Path): boolean {
  const name = String(path.at(-1));
  if (path.at(-2) === "last") return name === "epoch" || name === "seq";
  return ["faults", "check_days", "answer_days", "nbf", "iat", "lost_from"].includes(name);
}

type Edit = readonly [claim: string, name: StatementName, path: Path, value: JsonValue];

const { network, gateway, agency, service, grant } = statementFixtures;
const [first, second] = network.body.cities as unknown as [JsonValue, JsonValue];
const key = agency.body.authority;
const granted = ["grant", "authorization_details", 0] as const;

const cases: readonly Edit[] = [
  ["a UUID of version 4 as jti", "agency", ["jti"], "0192f0c1-2b3c-4d4e-8f50-617283940a1b"],
  ["a UUID in capitals as jti", "agency", ["jti"], "0192F0C1-2B3C-7D4E-8F50-617283940A1B"],
  ["a network id in capitals", "agency", ["net"], "AB".repeat(32)],
  ["a network id of 63 digits", "agency", ["net"], "a".repeat(63)],
  ["exp at nbf", "agency", ["exp"], agency.claims.nbf as number],
  ["exp before iat", "revocation", ["exp"], grant.claims.iat - 1],
  ["an agency as issuer of an agency", "agency", ["iss"], "hangzhou/civil-affairs"],
  ["a city as subject of an agency", "agency", ["sub"], "hangzhou"],
  ["an id with a capital", "agency", ["sub"], "hangzhou/Civil"],
  ["an id with an empty level", "agency", ["sub"], "hangzhou/"],
  ["a subject with a space", "approval", ["sub"], "a b"],
  ["a subject of 256 characters", "approval", ["sub"], "a".repeat(256)],
  ["a key of 31 bytes", "agency", ["agency", "authority"], key.slice(0, 42)],
  ["a key with unused bits set", "agency", ["agency", "authority"], `${key.slice(0, 42)}_`],
  ["a padded key", "agency", ["agency", "authority"], `${key}=`],
  ["a digest as base64url", "agency", ["agency", "next"], key],
  ["a role that is none", "agency", ["agency", "roles"], ["owner"]],
  ["a role twice", "agency", ["agency", "roles"], ["provider", "provider"]],
  ["roles that descend", "agency", ["agency", "roles"], ["provider", "consumer"]],
  ["no role", "agency", ["agency", "roles"], []],
  ["a name with a control character", "agency", ["agency", "name"], "a\u0085b"],
  ["a name of 129 characters", "agency", ["agency", "name"], "a".repeat(129)],
  ["a name that ends in a space", "agency", ["agency", "name"], "a "],
  ["another thumbprint as subject", "administrator", ["sub"], key],
  ["cities that descend", "network", ["network", "cities"], [second, first]],
  ["a city twice", "network", ["network", "cities"], [first, first]],
  ["a quorum above the cities", "network", ["network", "quorum"], 3],
  ["a quorum that two halves reach", "network", ["network", "quorum"], 1],
  ["more faults than the quorum bears", "network", ["network", "faults"], 2],
  ["another issuer than the name", "network", ["iss"], "Other"],
  ["another subject than the name", "network", ["sub"], "Other"],
  ["a network id in the founding document", "network", ["net"], "ab".repeat(32)],
  ["a token life above 60 s", "network", ["network", "bounds", "token_life_s"], 61],
  ["a division code of five digits", "network", ["network", "cities", 0, "division"], "33010"],
  ["a day that is none", "network", ["network", "calendar", "years", 0, "off"], ["2026-02-29"]],
  ["a day of another year", "network", ["network", "calendar", "years", 0, "on"], ["2025-01-04"]],
  ["a day both on and off", "network", ["network", "calendar", "years", 0, "on"], ["2026-01-01"]],
  ["an address without a port", "network", ["network", "sequencer", "address"], "a.example"],
  ["an address with port 65536", "network", ["network", "sequencer", "address"], "a:65536"],
  ["an address with a scheme", "gateway", ["gateway", "endpoints", "peer"], "http://a:1"],
  ["a certificate with no digest", "gateway", ["gateway", "tls"], [gateway.body.tls[0] as string]],
  ["one TLS key twice", "gateway", ["gateway", "tls"], Array(2).fill("ab".repeat(32)) as string[]],
  ["five certificates", "gateway", ["gateway", "certificates"], Array(5).fill("MAA=") as string[]],
  ["a certificate as base64url", "gateway", ["gateway", "certificates", 0], "MAA"],
  ["an oversized certificate", "gateway", ["gateway", "certificates", 0], "AAAA".repeat(1366)],
  ["a method without a service", "service", ["service", "methods", 0, "path"], "/GetDivision"],
  ["a method twice", "service", ["service", "methods"], Array(2).fill(service.body.methods[0])],
  ["three approvals", "service", ["service", "approval", "approvals"], 3],
  ["a staleness below 30 s", "service", ["service", "max_staleness_s"], 29],
  ["a descriptor above 8 MiB", "service", ["service", "descriptor_bytes"], 8 * 1024 * 1024 + 1],
  ["version 0", "policy", ["policy", "version"], 0],
  ["no detail", "grant", ["grant", "authorization_details"], []],
  ["an unknown type of detail", "grant", ["grant", "authorization_details", 0, "type"], "other"],
  ["a purpose with a space", "grant", ["grant", "authorization_details", 0, "purposes"], ["a b"]],
  ["an empty mask", "grant", ["grant", "authorization_details", 0, "fields"], []],
  ["a path of a field of none", "grant", ["grant", "authorization_details", 0, "fields"], ["a..b"]],
  ["a path below another", "grant", [...granted, "fields"], ["a", "a.b"]],
  ["metadata that is our own", "grant", [...granted, "metadata"], ["causeway-case"]],
  ["metadata of gRPC's own", "grant", [...granted, "metadata"], ["grpc-status"]],
  ["metadata in upper case", "grant", [...granted, "metadata"], ["ETag"]],
  ["a quota of nothing", "grant", [...granted, "quota"], { limit: 0, period_s: 60 }],
  [
    "shares above the quota",
    "grant",
    [...granted, "quota"],
    { limit: 1, period_s: 60, shares: [{ gateway: "hangzhou/housing/gw1", limit: 2 }] },
  ],
  ["an answer of no message", "grant", [...granted, "messages_max"], 0],
  ["a durability that is none", "grant", [...granted, "durability"], "paper"],
  ["a reason in free text", "denial", ["denial", "reason"], "because I say so"],
  ["another subject than its issuer", "city", ["sub"], "shenzhen"],
  ["a change that is none", "city", ["city", "change"], "merger"],
  ["members of another change", "city", ["city", "change"], "rotation"],
  ["an agency as subject of a vote on a sequencer", "vote", ["sub"], "shenzhen/housing"],
  ["an agency as issuer of a vote", "vote", ["iss"], "hangzhou/civil-affairs"],
  ["a matter that is none", "vote", ["vote", "on"], "weather"],
  ["members of another matter", "vote", ["vote", "on"], "rules"],
  ["term 0", "vote", ["vote", "term"], 0],
  ["a checkpoint that is no base64", "vote", ["vote", "checkpoint"], "bm90ZQ"],
  ["an oversized checkpoint", "vote", ["vote", "checkpoint"], "bm90".repeat(4097)],
  ["an epoch that is not above the last leaf's", "epoch", ["epoch", "epoch"], 1],
  ["a loss that ends before it began", "epoch", ["epoch", "lost_to"], 1],
  ["a leaf as base64url", "epoch", ["epoch", "last", "leaf"], key],
  ["a city as subject of an approval", "approval", ["sub"], "hangzhou"],
  ["a city as what is suspended", "suspension", ["suspension", "what"], "city"],
  ["another kind of subject than is suspended", "suspension", ["suspension", "what"], "gateway"],
  ["another kind of subject than is resumed", "resumption", ["resumption", "what"], "agency"],
  [
    "a last leaf of an agency",
    "suspension",
    ["suspension", "last"],
    { epoch: 0, seq: 0, leaf: "ab".repeat(32) },
  ],
];

describe("a payload is refused with", () => {
  for (const [claim, name, path, value] of cases) {
    test(claim, () => {
      const json = payloadOf(statementFixtures[name]);
      refuse(name, setAt(json, path, value));
    });
  }
});

/** `value` with `inner` at `path`, which need not exist yet. */
function setAt(value: JsonValue, path: Path, inner: JsonValue): JsonValue {
  const copy = structuredClone(value) as Record<string | number, JsonValue>;
  let at: Record<string | number, JsonValue> = copy;
  for (const step of path.slice(0, -1)) at = at[step] as typeof at;
  at[path.at(-1) as string] = inner;
  return copy;
}

for (const [sub, body] of [
  ["shenzhen", { on: "admission", candidacy: "ab".repeat(32), quorum: 2, faults: 0 }],
  ["shenzhen", { on: "exclusion", quorum: 2, faults: 0 }],
  ["ab".repeat(32), { on: "quorum", quorum: 2, faults: 0 }],
  ["ab".repeat(32), { on: "rules", version: 2 }],
  ["ab".repeat(32), { on: "calendar", year: { year: 2027, off: [], on: [] } }],
  ["ab".repeat(32), { on: "engine", engine: "cometbft", genesis: "cd".repeat(32) }],
] as const) {
  test(`a vote on ${body.on} is about its own kind of subject`, () => {
    const json = payloadOf(statementFixtures.vote);
    const voted = setAt(setAt(json, ["vote"], body as unknown as JsonValue), ["sub"], sub);
    parsePayload("vote", utf8(formatJcs(voted)));
    for (const other of ["hangzhou/civil-affairs", "hangzhou/civil-affairs/gw1", "cd".repeat(32)]) {
      refuse("vote", setAt(voted, ["sub"], other));
    }
  });
}

test("the error names the place that is not as documented", () => {
  const json = setAt(payloadOf(network), ["network", "cities", 1, "witness"], "x");
  const run = (): unknown => parsePayload("network", utf8(formatJcs(json)));
  const error = assertCode(run, "STATEMENT_INVALID");
  assert.deepEqual(error.fields, { path: "payload.network.cities.1.witness" });
});

test("the error does not repeat an unknown member", () => {
  const json = setAt(payloadOf(grant), ["grant", "秘密"], 1);
  const error = assertCode(() => parsePayload("grant", utf8(formatJcs(json))), "STATEMENT_INVALID");
  assert.deepEqual(error.fields, { path: "payload.grant" });
  assert.doesNotMatch(error.message, /秘密/);
});

test("a typ that is none of ours names no statement", () => {
  for (const typ of [
    "JWT",
    "causeway-call+jwt",
    "causeway-toString+jwt",
    "causeway-GRANT+jwt",
    "",
  ]) {
    assert.equal(statementName(typ), undefined);
  }
});
