import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { concatBytes, parseHex, toHex, utf8 } from "../../src/base/bytes.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { createCompact } from "../../src/credential/compact.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import type { AuthorizationDetail, Claims } from "../../src/credential/statements.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { encodeRecord } from "../../src/record/record.ts";
import type { BatchChange } from "../support/ledger.ts";
import {
  createTestAgency,
  recordOfJws,
  sayAdministrator,
  sayAgency,
  sayGateway,
  type SignedStatement,
  type TestAgency,
  type TestCity,
  type TestGateway,
} from "../support/network.ts";
import {
  divisions,
  sayDenial,
  sayGrant,
  sayPolicy,
  sayRequest,
  sayRevocation,
  sayService,
} from "../support/statements.ts";
import { createFlow, type Flow, voidReason } from "./support.ts";

const flow = await createFlow();
const { network, request, open, grant, consumer, ledger } = flow;
const [hangzhou, shenzhen] = network.cities as readonly [TestCity, TestCity];
const nowS = Math.floor(ledger.nowMs / 1000);
const day = 24 * 3600;
const taxation = createTestAgency(network, "hangzhou/taxation");
const stranger = network.signer("stranger");
const operator = network.signer("operator alone");
const approver = network.signer("approver alone");

/** The flow with more members, admitted and seen. */
async function withMembers(): Promise<Flow> {
  const grown = flow.ledger.fork();
  const { provider } = network;
  await grown.append(provider.gateway, [
    sayAdministrator(network, provider, operator, { roles: ["operator"] }),
    sayAdministrator(network, provider, approver, { roles: ["approver"] }),
    sayAgency(network, hangzhou, taxation, { roles: ["consumer"] }),
  ]);
  const { voids } = await grown.append(provider.gateway, [
    sayAdministrator(network, taxation, taxation.administrator),
  ]);
  assert.deepEqual(voids, []);
  return { ...flow, ledger: grown };
}
const grown = await withMembers();

interface Case {
  readonly what: string;
  readonly record: Uint8Array | SignedStatement;
  readonly reason: ReasonCode | undefined;
  readonly change?: BatchChange & { readonly carrier?: TestGateway };
  readonly on?: Flow;
}

function checkAll(cases: readonly Case[]): void {
  for (const { what, record, reason, change, on = flow } of cases) {
    test(`${what} is ${reason === undefined ? "applied" : `void ${reason}`}`, async () => {
      assert.equal(await voidReason(on, record, change), reason);
    });
  }
}

const [asked] = request.body.authorization_details as readonly [AuthorizationDetail];
const withDetail = (
  change: Partial<AuthorizationDetail>,
): { authorization_details: AuthorizationDetail[] } => ({
  authorization_details: [{ ...asked, ...change }],
});
const unread = (
  name: "city" | "vote" | "epoch" | "approval" | "resumption" | "suspension",
  iss: string,
  sub: string,
) => network.say(name, { iss, sub, body: {} }, [network.provider.administrator]);
const agencyId = network.provider.id;

checkAll([
  {
    what: "an equivocation report",
    reason: "NOT_SUPPORTED",
    record: encodeRecord(
      create(RecordSchema, {
        body: {
          case: "equivocationReported",
          value: {
            proof: {
              case: "headers",
              value: { firstLeaf: new Uint8Array(80), secondLeaf: new Uint8Array(81) },
            },
          },
        },
      }),
    ),
  },
  {
    what: "a city statement",
    reason: "NOT_SUPPORTED",
    record: unread("city", "hangzhou", "hangzhou"),
  },
  { what: "a vote", reason: "NOT_SUPPORTED", record: unread("vote", "hangzhou", "shenzhen") },
  {
    what: "an epoch",
    reason: "NOT_SUPPORTED",
    record: unread("epoch", agencyId, `${agencyId}/gw1`),
  },
  { what: "an approval", reason: "NOT_SUPPORTED", record: unread("approval", agencyId, "x") },
  { what: "a resumption", reason: "NOT_SUPPORTED", record: unread("resumption", agencyId, "x") },
  { what: "a suspension", reason: "NOT_SUPPORTED", record: unread("suspension", agencyId, "x") },
  {
    what: "a service that asks for two approvals",
    reason: "NOT_SUPPORTED",
    record: sayService(network, { body: { version: 2, approval: { approvals: 2 } } }),
  },
  {
    what: "a service with subject paths",
    reason: "NOT_SUPPORTED",
    record: sayService(network, { body: { version: 2, subject_paths: ["name"] } }),
  },
  {
    what: "a service with an end",
    reason: "NOT_SUPPORTED",
    record: sayService(network, { body: { version: 2 }, claims: { exp: nowS + day } }),
  },
  {
    what: "a policy with a beginning",
    reason: "NOT_SUPPORTED",
    record: sayPolicy(network, { body: { version: 2 }, claims: { nbf: nowS - 1 } }),
  },
  {
    what: "a request for a field mask",
    reason: "NOT_SUPPORTED",
    record: sayRequest(network, { body: withDetail({ fields: ["code"] }) }),
    change: { carrier: consumer },
  },
  {
    what: "a request for a quota",
    reason: "NOT_SUPPORTED",
    record: sayRequest(network, { body: withDetail({ quota: { limit: 1, period_s: 60 } }) }),
    change: { carrier: consumer },
  },
  {
    what: "a grant with a field mask",
    reason: "NOT_SUPPORTED",
    record: sayGrant(network, open, { body: withDetail({ fields: ["code"] }) }),
  },
  {
    what: "a grant with a quota",
    reason: "NOT_SUPPORTED",
    record: sayGrant(network, open, { body: withDetail({ quota: { limit: 1, period_s: 60 } }) }),
  },
  {
    what: "a grant of two details",
    reason: "NOT_SUPPORTED",
    record: sayGrant(network, open, { body: { authorization_details: [asked, asked] } }),
  },
  {
    what: "a second statement of an agency",
    reason: "NOT_SUPPORTED",
    record: sayAgency(network, hangzhou, {
      ...network.provider,
      authority: network.signer("b"),
      next: network.signer("c"),
    }),
  },
  {
    what: "a second statement of a gateway",
    reason: "NOT_SUPPORTED",
    record: sayGateway(network, network.provider, {
      ...taxation.gateway,
      id: network.provider.gateway.id,
    }),
  },
  {
    what: "a second statement of an administrator",
    reason: "NOT_SUPPORTED",
    record: sayAdministrator(network, network.provider, network.provider.administrator, {
      roles: ["auditor"],
    }),
  },
]);

checkAll([
  {
    what: "a statement of another network",
    reason: "NETWORK_WRONG",
    record: sayService(network, { body: { version: 2 }, claims: { net: "00".repeat(32) } }),
  },
  {
    what: "the founding document again",
    reason: "REPLAYED",
    record: network.founding[0] as Uint8Array,
  },
  {
    what: "a founding document of another network",
    reason: "NETWORK_WRONG",
    record: recordOfOtherFounding(),
  },
  { what: "a statement that was applied before", reason: "REPLAYED", record: grant },
  {
    what: "another statement with a jti that is used up",
    reason: "REPLAYED",
    record: sayService(network, { body: { version: 2 }, claims: { jti: grant.claims.jti } }),
  },
  {
    what: "a statement issued 7 days before its seal",
    reason: undefined,
    record: sayService(network, { body: { version: 2 }, claims: { iat: nowS - 7 * day } }),
  },
  {
    what: "a statement issued 7 days and a millisecond before its seal",
    reason: "STALE",
    record: sayService(network, { body: { version: 2 }, claims: { iat: nowS - 7 * day } }),
    change: { sealedAtMs: nowS * 1000 + 1 },
  },
  {
    what: "a statement issued the skew after its seal",
    reason: undefined,
    record: sayService(network, { body: { version: 2 }, claims: { iat: nowS + 5 } }),
  },
  {
    what: "a statement issued more than the skew after its seal",
    reason: "NOT_YET_VALID",
    record: sayService(network, { body: { version: 2 }, claims: { iat: nowS + 6 } }),
  },
  {
    what: "a grant whose nbf is the second of the seal",
    reason: undefined,
    record: sayGrant(network, open, { claims: { nbf: nowS } }),
    change: { sealedAtMs: nowS * 1000 + 999 },
  },
  {
    what: "a grant whose nbf is the second after the seal",
    reason: "NOT_YET_VALID",
    record: sayGrant(network, open, { claims: { nbf: nowS + 1 } }),
    change: { sealedAtMs: nowS * 1000 + 999 },
  },
  {
    what: "a grant whose exp is the second after the seal",
    reason: undefined,
    record: sayGrant(network, open, { claims: { exp: nowS + 1 } }),
    change: { sealedAtMs: nowS * 1000 + 999 },
  },
  {
    what: "a grant whose exp is the second of the seal",
    reason: "EXPIRED",
    record: sayGrant(network, open, { claims: { iat: nowS - 9, nbf: nowS - 9, exp: nowS } }),
  },
]);

function recordOfOtherFounding(): Uint8Array {
  const { body, cities, log } = network;
  const claims: Partial<Claims> & { iss: string; sub: string } = { iss: "B", sub: "B" };
  const { net: _net, ...own } = { net: "", ...claims };
  const signers = [...cities.flatMap((city) => [city.authority, city.witness]), log];
  const said = network.say(
    "agency",
    {
      ...own,
      iss: "hangzhou",
      sub: "hangzhou/x",
      body: {
        name: "x",
        authority: formatKey(stranger.publicKey),
        next: "00".repeat(32),
        roles: ["consumer"],
      },
    },
    [stranger],
  );
  const payload = utf8(
    JSON.stringify({
      iat: said.claims.iat,
      iss: "B",
      jti: said.claims.jti,
      network: JSON.parse(JSON.stringify(sortedMembers({ ...body, name: "B" }))) as unknown,
      sub: "B",
    }),
  );
  const jws = signers.map((signer) => createCompact("causeway-network+jwt", payload, signer));
  return recordOfJws(jws.toSorted((a, b) => (kidOf(a) < kidOf(b) ? -1 : 1)));
}

function sortedMembers(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortedMembers);
  if (typeof value !== "object" || value === null) return value;
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(members.map(([member, inner]) => [member, sortedMembers(inner)]));
}

function kidOf(jws: string): string {
  const header = JSON.parse(Buffer.from(jws.split(".")[0] as string, "base64url").toString()) as {
    kid: string;
  };
  return header.kid;
}

function withWrongSignature(statement: SignedStatement): Uint8Array {
  return recordOfJws(statement.jws.map((jws) => `${jws.slice(0, -86)}${"A".repeat(86)}`));
}

const revocation = sayRevocation(network, grant);
const foreign = createTestAgency(network, "hangzhou/elsewhere");
const without = (statement: SignedStatement, key: Uint8Array): Uint8Array => {
  const kid = kidOf(
    createCompact("x", new Uint8Array(), { publicKey: key, sign: () => new Uint8Array(64) }),
  );
  return recordOfJws(statement.jws.filter((jws) => kidOf(jws) !== kid));
};

checkAll([
  { what: "a record without a signature", reason: "STATEMENT_INVALID", record: recordOfJws([]) },
  { what: "a record that holds no JWS", reason: "TOKEN_MALFORMED", record: recordOfJws(["x"]) },
  {
    what: "a JWS of no statement's type",
    reason: "STATEMENT_INVALID",
    record: recordOfJws([createCompact("causeway-call+jwt", utf8("{}"), stranger)]),
  },
  {
    what: "a payload that is not of its type",
    reason: "STATEMENT_INVALID",
    record: recordOfJws([createCompact("causeway-grant+jwt", utf8("{}"), stranger)]),
  },
  {
    what: "a payload of non-canonical JSON",
    reason: "NOT_CANONICAL",
    record: recordOfJws([createCompact("causeway-grant+jwt", utf8("{ }"), stranger)]),
  },
  {
    what: "a statement with a wrong signature",
    reason: "TOKEN_SIGNATURE_INVALID",
    record: withWrongSignature(revocation),
  },
  {
    what: "a statement of an unknown key",
    reason: "TOKEN_KEY_UNKNOWN",
    record: sayService(network, { body: { version: 2 }, by: [stranger] }),
  },
  {
    what: "an agency without its city's signature",
    reason: "STATEMENT_SIGNER_MISSING",
    record: without(sayAgency(network, hangzhou, foreign), hangzhou.authority.publicKey),
  },
  {
    what: "an agency without its own signature",
    reason: "STATEMENT_SIGNER_MISSING",
    record: without(sayAgency(network, hangzhou, foreign), foreign.authority.publicKey),
  },
  {
    what: "a gateway without its batch key's signature",
    reason: "STATEMENT_SIGNER_MISSING",
    record: without(
      sayGateway(network, network.provider, renamed(foreign.gateway)),
      foreign.gateway.batch.publicKey,
    ),
  },
  {
    what: "a gateway without its token key's signature",
    reason: "STATEMENT_SIGNER_MISSING",
    record: without(
      sayGateway(network, network.provider, renamed(foreign.gateway)),
      foreign.gateway.token.publicKey,
    ),
  },
  {
    what: "an administrator without the key's own signature",
    reason: "STATEMENT_SIGNER_MISSING",
    record: without(sayAdministrator(network, network.provider, stranger), stranger.publicKey),
  },
  {
    what: "an agency admitted by another city",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayAgency(network, { ...hangzhou, authority: shenzhen.authority }, foreign),
  },
  {
    what: "an agency of one city in the name of another",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayAgency(network, shenzhen, foreign),
  },
  {
    what: "a gateway enrolled by another agency",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayGateway(network, network.consumer, renamed(foreign.gateway)),
  },
  {
    what: "an administrator enrolled by the city",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayAdministrator(
      network,
      { ...network.provider, authority: hangzhou.authority },
      stranger,
    ),
  },
  {
    what: "a service signed by the agency's authority",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayService(network, { body: { version: 2 }, by: [network.provider.authority] }),
  },
  {
    what: "a service signed by another agency's administrator",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayService(network, { body: { version: 2 }, by: [network.consumer.administrator] }),
  },
  {
    what: "a service of another agency",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayService(network, { claims: { sub: "hangzhou/elsewhere/x" } }),
  },
  {
    what: "a statement with one signature more than it needs",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayService(network, {
      body: { version: 2 },
      by: [network.provider.administrator, operator],
    }),
    on: grown,
  },
  {
    what: "a service signed by an approver",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayService(network, { body: { version: 2 }, by: [approver] }),
    on: grown,
  },
  {
    what: "a service signed by an operator",
    reason: undefined,
    record: sayService(network, { body: { version: 2 }, by: [operator] }),
    on: grown,
  },
  {
    what: "a policy signed by an approver",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayPolicy(network, { body: { version: 2 }, by: [approver] }),
    on: grown,
  },
  {
    what: "a grant signed by an operator",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayGrant(network, open, { by: [operator] }),
    on: grown,
  },
  {
    what: "a grant signed by an approver",
    reason: undefined,
    record: sayGrant(network, open, { by: [approver] }),
    on: grown,
  },
  {
    what: "a denial signed by an operator",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayDenial(network, open, { by: [operator] }),
    on: grown,
  },
  {
    what: "a revocation signed by an operator",
    reason: undefined,
    record: sayRevocation(network, grant, { by: [operator] }),
    on: grown,
  },
  {
    what: "a revocation signed by an approver",
    reason: undefined,
    record: sayRevocation(network, grant, { by: [approver] }),
    on: grown,
  },
  {
    what: "a service of an agency that is no provider",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayService(network, {
      claims: { iss: taxation.id, sub: `${taxation.id}/x` },
      by: [taxation.administrator],
    }),
    on: grown,
  },
  {
    what: "a grant by the consumer",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayGrant(network, open, {
      claims: { iss: network.consumer.id },
      by: [network.consumer.administrator],
    }),
    change: { carrier: consumer },
  },
  {
    what: "a denial by the consumer",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayDenial(network, open, {
      claims: { iss: network.consumer.id },
      by: [network.consumer.administrator],
    }),
  },
  {
    what: "a revocation by the consumer",
    reason: "SIGNER_NOT_ALLOWED",
    record: sayRevocation(network, grant, {
      claims: { iss: network.consumer.id },
      by: [network.consumer.administrator],
    }),
  },
]);

function renamed(gateway: TestGateway): TestGateway {
  return { ...gateway, id: `${network.provider.id}/gw2` };
}

const signers = network.cities.flatMap(({ authority, next, witness, agency }) => [
  ["a city's authority", authority] as const,
  ["a city's next authority", next] as const,
  ["a witness", witness] as const,
  ["an agency's authority", agency.authority] as const,
  ["an agency's next authority", agency.next] as const,
  ["an administrator", agency.administrator] as const,
  ["a batch key", agency.gateway.batch] as const,
  ["a token key", agency.gateway.token] as const,
]);
const bound = [...signers.slice(0, 8), ["the log key", network.log] as const];
const spkiDigest = (key: Uint8Array): string =>
  toHex(sha256(concatBytes(parseHex("302a300506032b6570032100") as Uint8Array, key)));
const withTls = (tls: string): SignedStatement => {
  const gateway = renamed(foreign.gateway);
  return sayGateway(network, network.provider, {
    ...gateway,
    body: { ...gateway.body, tls: [tls] },
  });
};

checkAll(
  [
    ...bound.flatMap(([what, key]): Case[] => [
      {
        what: `an agency whose authority is ${what}`,
        reason: "KEY_BOUND",
        record: sayAgency(network, shenzhen, {
          ...foreign,
          id: "shenzhen/elsewhere",
          authority: key,
        }),
      },
      {
        what: `an agency whose next authority is ${what}`,
        reason: "KEY_BOUND",
        record: sayAgency(network, hangzhou, { ...foreign, next: key }),
      },
      {
        what: `a gateway whose batch key is ${what}`,
        reason: "KEY_BOUND",
        record: gatewayWith({ batch: key }),
      },
      {
        what: `a gateway whose token key is ${what}`,
        reason: "KEY_BOUND",
        record: gatewayWith({ token: key }),
      },
      {
        what: `a gateway whose TLS key is ${what}`,
        reason: "KEY_BOUND",
        record: withTls(spkiDigest(key.publicKey)),
      },
    ]),
    {
      what: "another agency's administrator",
      reason: "KEY_BOUND",
      record: sayAdministrator(network, network.consumer, network.provider.administrator),
      change: { carrier: consumer },
    },
    {
      what: "a gateway with another gateway's TLS key",
      reason: "KEY_BOUND",
      record: withTls(consumer.body.tls[0] as string),
    },
    {
      what: "a gateway with a witness's TLS key",
      reason: "KEY_BOUND",
      record: withTls(network.body.cities[0]?.witness_tls as string),
    },
    {
      what: "an agency whose next authority is its authority",
      reason: "KEY_BOUND",
      record: sayAgency(network, hangzhou, { ...foreign, next: foreign.authority }),
    },
    { what: "a gateway with keys of its own", reason: undefined, record: gatewayWith({}) },
  ].filter(
    ({ what }) =>
      what !== "a gateway whose TLS key is a city's next authority" &&
      what !== "a gateway whose TLS key is an agency's next authority",
  ) as Case[],
);

/** A second gateway of the provider. One with its agency's authority as a key has one signature less. */
function gatewayWith(keys: Partial<Pick<TestGateway, "batch" | "token">>): SignedStatement {
  const gateway = { ...renamed(foreign.gateway), ...keys };
  const body = {
    ...gateway.body,
    batch: formatKey(gateway.batch.publicKey),
    token: formatKey(gateway.token.publicKey),
  };
  const { authority } = network.provider;
  const own = [gateway.batch, gateway.token];
  return network.say(
    "gateway",
    { iss: agencyId, sub: gateway.id, body },
    own.includes(authority) ? own : [authority, ...own],
  );
}

const unseen: BatchChange = { seenSize: 4n };

checkAll([
  {
    what: "a service of an unknown agency",
    reason: "MEMBER_UNKNOWN",
    record: sayService(network, { claims: { iss: "hangzhou/nobody", sub: "hangzhou/nobody/x" } }),
  },
  {
    what: "an agency of an unknown city",
    reason: "MEMBER_UNKNOWN",
    record: sayAgency(
      network,
      { ...hangzhou, id: "beijing" },
      createTestAgency(network, "beijing/x"),
    ),
  },
  {
    what: "a service whose version is 1 again",
    reason: "VERSION_WRONG",
    record: sayService(network),
  },
  {
    what: "a service whose version leaves one out",
    reason: "VERSION_WRONG",
    record: sayService(network, { body: { version: 3 } }),
  },
  {
    what: "a new service whose version is 2",
    reason: "VERSION_WRONG",
    record: sayService(network, { body: { version: 2 }, claims: { sub: `${agencyId}/new` } }),
  },
  {
    what: "a service's next version",
    reason: undefined,
    record: sayService(network, { body: { version: 2 } }),
  },
  {
    what: "a service that allows more staleness than the network",
    reason: "OUTSIDE_BOUNDS",
    record: sayService(network, { body: { version: 2, max_staleness_s: 901 } }),
  },
  {
    what: "a service that allows as much staleness as the network",
    reason: undefined,
    record: sayService(network, { body: { version: 2, max_staleness_s: 900 } }),
  },
  {
    what: "a policy whose version is 1 again",
    reason: "VERSION_WRONG",
    record: sayPolicy(network),
  },
  {
    what: "a policy's next version",
    reason: undefined,
    record: sayPolicy(network, { body: { version: 2 } }),
  },
  {
    what: "a policy for no service",
    reason: "SERVICE_UNKNOWN",
    record: sayPolicy(network, { claims: { sub: `${agencyId}/new` } }),
  },
  {
    what: "a request for no service",
    reason: "SERVICE_UNKNOWN",
    record: sayRequest(network, {
      claims: { sub: `${agencyId}/new` },
      body: withDetail({ service: `${agencyId}/new` }),
    }),
    change: { carrier: consumer },
  },
  {
    what: "a request that details another service",
    reason: "OUTSIDE_REQUEST",
    record: sayRequest(network, { body: withDetail({ service: `${agencyId}/new` }) }),
    change: { carrier: consumer },
  },
  {
    what: "a request for a method that the service does not have",
    reason: "OUTSIDE_REQUEST",
    record: sayRequest(network, { body: withDetail({ methods: ["/a.B/C"] }) }),
    change: { carrier: consumer },
  },
  {
    what: "a request for a purpose that the service does not serve",
    reason: "OUTSIDE_REQUEST",
    record: sayRequest(network, { body: withDetail({ purposes: ["curiosity"] }) }),
    change: { carrier: consumer },
  },
  { what: "a grant of what was asked for", reason: undefined, record: sayGrant(network, open) },
  {
    what: "a grant of no request",
    reason: "REQUEST_UNKNOWN",
    record: sayGrant(network, open, { body: { request: network.uuid() } }),
  },
  {
    what: "a grant to another agency than asked",
    reason: "REQUEST_UNKNOWN",
    record: sayGrant(network, open, { claims: { sub: agencyId } }),
  },
  {
    what: "a grant of a method that was not asked for",
    reason: "OUTSIDE_REQUEST",
    record: sayGrant(network, open, {
      body: withDetail({
        methods: [
          "/causeway.demo.v1.DivisionService/GetDivision",
          "/causeway.demo.v1.DivisionService/ReportError",
        ],
      }),
    }),
  },
  {
    what: "a grant of a purpose that was not asked for",
    reason: "OUTSIDE_REQUEST",
    record: sayGrant(network, open, { body: withDetail({ purposes: ["statistics"] }) }),
  },
  {
    what: "a grant on another legal basis",
    reason: "OUTSIDE_REQUEST",
    record: sayGrant(network, open, { body: withDetail({ legal_basis: "GB/T-39477" }) }),
  },
  {
    what: "a second grant of one request",
    reason: "ALREADY_TAKEN",
    record: sayGrant(network, request),
  },
  {
    what: "a denial of a granted request",
    reason: "ALREADY_TAKEN",
    record: sayDenial(network, request),
  },
  { what: "a denial", reason: undefined, record: sayDenial(network, open) },
  {
    what: "a denial of no request",
    reason: "REQUEST_UNKNOWN",
    record: sayDenial(network, open, { body: { request: network.uuid() } }),
  },
  {
    what: "a revocation of no grant",
    reason: "GRANT_UNKNOWN",
    record: sayRevocation(network, grant, { body: { grant: network.uuid() } }),
  },
  {
    what: "a revocation that names another consumer",
    reason: "GRANT_UNKNOWN",
    record: sayRevocation(network, grant, { claims: { sub: agencyId } }),
  },
  {
    what: "a revocation after the grant's period",
    reason: undefined,
    record: sayRevocation(network, grant, { claims: { iat: nowS + 40 * day } }),
    change: { sealedAtMs: (nowS + 40 * day) * 1000 },
  },
  {
    what: "a revocation whose header has not seen the grant",
    reason: "GRANT_UNKNOWN",
    record: revocation,
    change: unseen,
  },
  {
    what: "a revocation whose header has seen the grant",
    reason: undefined,
    record: revocation,
    change: { seenSize: 5n },
  },
]);

/** The flow after more batches of the provider. */
async function after(...batches: readonly (readonly SignedStatement[])[]): Promise<Flow> {
  const fork = flow.ledger.fork();
  for (const records of batches) {
    const { voids } = await fork.append(network.provider.gateway, records);
    assert.deepEqual(voids, []);
  }
  return { ...flow, ledger: fork };
}

const brief: TestAgency = createTestAgency(network, "hangzhou/brief");
const untilTomorrow = { exp: nowS + day };

checkAll([
  {
    what: "a second revocation",
    reason: "ALREADY_TAKEN",
    record: sayRevocation(network, grant),
    on: await after([revocation]),
  },
  {
    what: "a grant after the denial",
    reason: "ALREADY_TAKEN",
    record: sayGrant(network, open),
    on: await after([sayDenial(network, open)]),
  },
  {
    what: "a grant of a service that is not shared any more",
    reason: "OUTSIDE_REQUEST",
    record: sayGrant(network, open),
    on: await after([sayService(network, { body: { version: 2, sharing: "not-shared" } })]),
  },
  {
    what: "a grant of a method that the service has no more",
    reason: "OUTSIDE_REQUEST",
    record: sayGrant(network, open),
    on: await after([
      sayService(network, {
        body: {
          version: 2,
          methods: [
            { path: "/a.B/C", writes: false, client_streaming: false, server_streaming: false },
          ],
        },
      }),
    ]),
  },
  {
    what: "a grant between a service's versions, the older taken and the newer not seen",
    reason: "SERVICE_UNKNOWN",
    record: sayGrant(network, open),
    on: await after([sayService(network, { body: { version: 2 } })]),
    change: { seenSize: 5n },
  },
]);

/** The flow with an agency until tomorrow, its gateway, its administrator, and a request that ends then. */
async function withBrief(): Promise<Flow> {
  const enrolled = await after(
    [sayAgency(network, hangzhou, brief, { claims: untilTomorrow })],
    [
      sayGateway(network, brief, brief.gateway),
      sayAdministrator(network, brief, brief.administrator),
    ],
  );
  const asking = sayRequest(network, {
    claims: { iss: brief.id, ...untilTomorrow },
    by: [brief.administrator],
  });
  const { voids } = await enrolled.ledger.append(brief.gateway, [asking]);
  assert.deepEqual(voids, []);
  return { ...enrolled, open: asking };
}
const early = await withBrief();
const tomorrow = { sealedAtMs: (nowS + day) * 1000 };
const stillToday = { sealedAtMs: (nowS + day) * 1000 - 1 };
const briefService = (): SignedStatement =>
  sayService(network, {
    claims: { iss: brief.id, sub: `${brief.id}/x` },
    by: [brief.administrator],
  });

checkAll([
  {
    what: "a service of an agency in its last second",
    reason: undefined,
    record: briefService(),
    on: early,
    change: stillToday,
  },
  {
    what: "a service of an expired agency",
    reason: "MEMBER_NOT_ACTIVE",
    record: briefService(),
    on: early,
    change: tomorrow,
  },
  {
    what: "a good statement that an expired agency's gateway carries",
    reason: "MEMBER_NOT_ACTIVE",
    record: revocation,
    on: early,
    change: { ...tomorrow, carrier: brief.gateway },
  },
  {
    what: "a good statement that another agency's gateway carries",
    reason: undefined,
    record: revocation,
    on: early,
    change: { carrier: brief.gateway },
  },
  {
    what: "a good statement carried by a gateway that its own header has not seen",
    reason: "MEMBER_NOT_ACTIVE",
    record: sayService(network, { body: { version: 2 } }),
    on: await after(
      [sayAgency(network, hangzhou, foreign)],
      [sayGateway(network, foreign, foreign.gateway)],
    ),
    change: { carrier: foreign.gateway, seenSize: 6n },
  },
  {
    what: "a grant of an expired request to an expired agency",
    reason: "REQUEST_UNKNOWN",
    record: sayGrant(network, early.open),
    on: early,
    change: tomorrow,
  },
  {
    what: "a grant of a request in its last second",
    reason: undefined,
    record: sayGrant(network, early.open),
    on: early,
    change: stillToday,
  },
]);

test("evidence of an expired agency's gateway is indexed", async () => {
  const fork = early.ledger.fork();
  const { index } = await fork.appendEvidence(brief.gateway, undefined, tomorrow);
  assert.equal(fork.size, index + 1n);
});

test("two grants of one request in one batch: the first counts", async () => {
  const fork = ledger.fork();
  const { voids } = await fork.append(network.provider.gateway, [
    sayGrant(network, open),
    sayGrant(network, open),
  ]);
  assert.deepEqual(voids, [{ position: 1, reason: "ALREADY_TAKEN" }]);
});

test("one jti twice in one batch: the second is a replay", async () => {
  const fork = ledger.fork();
  const { voids } = await fork.append(network.provider.gateway, [revocation, revocation]);
  assert.deepEqual(voids, [{ position: 1, reason: "REPLAYED" }]);
});

test("a statement that was void may come again, since its jti is not used up", async () => {
  const fork = ledger.fork();
  const first = await fork.append(network.provider.gateway, [revocation], unseen);
  assert.deepEqual(first.voids, [{ position: 0, reason: "GRANT_UNKNOWN" }]);
  const second = await fork.append(network.provider.gateway, [revocation]);
  assert.deepEqual(second.voids, []);
});

test("a statement rests on nothing that stands beside it in its own batch", async () => {
  const fork = ledger.fork();
  const asking = sayRequest(network);
  const { voids } = await fork.append(network.provider.gateway, [
    asking,
    sayGrant(network, asking),
  ]);
  assert.deepEqual(voids, [{ position: 1, reason: "REQUEST_UNKNOWN" }]);
});

test("a revocation takes the grant at its own address and names its record", async () => {
  const fork = ledger.fork();
  const { index, batch } = await fork.append(network.provider.gateway, [revocation]);
  const fact = fork.state.grants.get(grant.claims.jti);
  assert.deepEqual(fact?.standing.until, { index, position: 0 });
  assert.deepEqual(
    fact?.revocation,
    sha256(concatBytes(Uint8Array.of(0), batch.records[0] as Uint8Array)),
  );
});

test("a new version takes the older one at its own address", async () => {
  const { ledger: grownLedger } = await after([sayService(network, { body: { version: 2 } })]);
  const facts = grownLedger.state.services.get(divisions(network));
  assert.deepEqual(
    facts?.map(({ body, standing }) => [body.version, standing.since, standing.until]),
    [
      [1, 1n, { index: 5n, position: 0 }],
      [2, 5n, undefined],
    ],
  );
});
