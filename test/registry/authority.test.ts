import assert from "node:assert/strict";
import { utf8 } from "../../src/base/bytes.ts";
import { createCompact } from "../../src/credential/compact.ts";
import {
  createTestAgency,
  recordOfJws,
  sayAdministrator,
  sayAgency,
  sayGateway,
  type SignedStatement,
  type TestCity,
  type TestGateway,
} from "../support/network.ts";
import {
  sayDenial,
  sayGrant,
  sayPolicy,
  sayRevocation,
  sayService,
} from "../support/statements.ts";

import { checkAll, createFlow, type Flow } from "./support.ts";

const flow = await createFlow();
const { network, open, grant, consumer } = flow;
const [hangzhou, shenzhen] = network.cities as readonly [TestCity, TestCity];
const revocation = sayRevocation(network, grant);
const foreign = createTestAgency(network, "hangzhou/elsewhere");
const stranger = network.signer("stranger");
const taxation = createTestAgency(network, "hangzhou/taxation");
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

function kidOf(jws: string): string {
  const header = JSON.parse(Buffer.from(jws.split(".")[0] as string, "base64url").toString()) as {
    kid: string;
  };
  return header.kid;
}

function withWrongSignature(statement: SignedStatement): Uint8Array {
  return recordOfJws(statement.jws.map((jws) => `${jws.slice(0, -86)}${"A".repeat(86)}`));
}

const without = (statement: SignedStatement, key: Uint8Array): Uint8Array => {
  const kid = kidOf(
    createCompact("x", new Uint8Array(), { publicKey: key, sign: () => new Uint8Array(64) }),
  );
  return recordOfJws(statement.jws.filter((jws) => kidOf(jws) !== kid));
};

checkAll(flow, [
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
