import assert from "node:assert/strict";
import { test } from "node:test";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import {
  sayAdministrator,
  sayAgency,
  type SignedStatement,
  type TestCity,
} from "../support/network.ts";
import {
  divisions,
  sayDenial,
  sayGrant,
  sayOfAgency,
  sayRevocation,
  sayService,
} from "../support/statements.ts";
import { createFlow, outcomesBy, resultsOf } from "./support.ts";

const flow = await createFlow();
const { network, provider, consumer } = flow;
const [hangzhou] = network.cities as readonly [TestCity];
const agency = network.provider;
const colleague = network.signer("colleague");
const operator = network.signer("operator alone");

// The service asks for two people from its second version on.
const base = flow.ledger.fork();
await base.append(provider, [
  sayAdministrator(network, agency, colleague, { roles: ["approver"] }),
  sayAdministrator(network, agency, operator, { roles: ["operator"] }),
  sayService(network, { body: { version: 2, approval: { approvals: 2 } } }),
]);
const grant = sayGrant(network, flow.open);
const granted = base.fork();
const pending = await granted.append(provider, [grant]);

const approval = (
  by = colleague,
  said: { readonly grant?: string; readonly sub?: string } = {},
): SignedStatement =>
  sayOfAgency(
    network,
    "approval",
    agency,
    { sub: said.sub ?? grant.claims.sub, body: { grant: said.grant ?? grant.claims.jti } },
    by,
  );

const outcome = outcomesBy(consumer);

test("a grant of a service that asks for two people waits for the second", () => {
  const { jti } = grant.claims;
  assert.deepEqual(resultsOf(pending), [`APPROVED ${jti}`]);
  assert.equal(granted.state.grants.has(jti), false);
  assert.equal(granted.view().grant(jti), undefined);
  assert.deepEqual(granted.view().grantsOf(network.consumer.id).length, 1);
  assert.equal(
    granted.state.pendingGrants.get(jti)?.approver,
    thumbprint(agency.administrator.publicKey),
  );
});

test("the second approval puts it in force: at the grant's address, from the approval on", async () => {
  const ledger = granted.fork();
  const { jti } = grant.claims;
  const index = ledger.size;
  const included = await ledger.append(consumer, [approval()]);
  assert.deepEqual(resultsOf(included), [`APPROVED ${jti}`, `GRANTED ${jti}`]);
  const fact = ledger.state.grants.get(jti);
  assert.deepEqual(fact?.standing.address, { index: pending.index, position: 0 });
  assert.equal(fact?.standing.since, index);
  assert.equal(ledger.state.pendingGrants.size, 0);
  assert.equal(ledger.view(index).grant(jti), undefined);
  assert.equal(ledger.view(index + 1n).grantAt(fact.standing.address)?.jti, jti);
  assert.deepEqual(ledger.state.requests.get(flow.open.claims.jti)?.answer, {
    kind: "granted",
    address: { index, position: 0 },
  });
});

for (const [what, record, reason] of [
  ["by the one who granted", approval(agency.administrator), "SIGNER_NOT_ALLOWED"],
  ["by an operator", approval(operator), "SIGNER_NOT_ALLOWED"],
  ["of no grant", approval(colleague, { grant: network.uuid() }), "GRANT_UNKNOWN"],
  [
    "of a grant that needs none",
    approval(colleague, { grant: flow.grant.claims.jti }),
    "ALREADY_TAKEN",
  ],
  ["that names another consumer", approval(colleague, { sub: agency.id }), "GRANT_UNKNOWN"],
  [
    "by the consumer",
    sayOfAgency(network, "approval", network.consumer, {
      sub: grant.claims.sub,
      body: { grant: grant.claims.jti },
    }),
    "SIGNER_NOT_ALLOWED",
  ],
] as const) {
  test(`an approval ${what} is void ${reason}`, async () => {
    assert.equal(await outcome(granted, record), reason);
  });
}

test("an approval whose header has not seen the grant is void GRANT_UNKNOWN", async () => {
  assert.equal(await outcome(granted, approval(), 6n), "GRANT_UNKNOWN");
});

test("a second approval is void ALREADY_TAKEN", async () => {
  const ledger = granted.fork();
  await ledger.append(consumer, [approval()]);
  assert.equal(await outcome(ledger, approval()), "ALREADY_TAKEN");
});

test("a revocation ends a grant that waits, and an approval finds none", async () => {
  const ledger = granted.fork();
  const revoked = await ledger.append(consumer, [sayRevocation(network, grant)]);
  assert.deepEqual(resultsOf(revoked), [`REVOKED ${grant.claims.jti}`]);
  assert.equal(await outcome(ledger, approval()), "GRANT_UNKNOWN");
  assert.equal(await outcome(ledger, sayRevocation(network, grant)), "GRANT_UNKNOWN");
});

test("what takes a grant's ground away before the approval makes it void", async () => {
  const denied = granted.fork();
  await denied.append(consumer, [sayDenial(network, flow.open)]);
  assert.equal(await outcome(denied, approval()), "ALREADY_TAKEN");

  const withdrawn = granted.fork();
  await withdrawn.append(provider, [
    sayService(network, { body: { version: 3, sharing: "not-shared" } }),
  ]);
  assert.equal(await outcome(withdrawn, approval()), "OUTSIDE_REQUEST");

  const expired = granted.fork();
  expired.nowMs = ((grant.claims.exp as number) + 1) * 1000;
  const late = sayOfAgency(
    network,
    "approval",
    agency,
    { sub: grant.claims.sub, body: { grant: grant.claims.jti }, iat: grant.claims.exp as number },
    colleague,
  );
  assert.equal(await outcome(expired, late), "EXPIRED");

  const alone = granted.fork();
  await alone.append(provider, [sayAgency(network, hangzhou, agency, { roles: ["consumer"] })]);
  assert.equal(await outcome(alone, approval()), "SIGNER_NOT_ALLOWED");
});

test("two grants of one request wait side by side, and the first that is approved answers it", async () => {
  const ledger = granted.fork();
  const other = sayGrant(network, flow.open, { by: [colleague] });
  assert.deepEqual(resultsOf(await ledger.append(provider, [other])), [
    `APPROVED ${other.claims.jti}`,
  ]);
  await ledger.append(consumer, [approval()]);
  const second = approval(agency.administrator, { grant: other.claims.jti });
  assert.equal(await outcome(ledger, second), "ALREADY_TAKEN");
  assert.equal(divisions(network), flow.open.claims.sub);
});
