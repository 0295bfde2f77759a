import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { toHex } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import type { ChainEnd } from "../../src/credential/statements.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { isWithdrawn } from "../../src/registry/standing.ts";
import { statusRecord, type TestLedger } from "../support/ledger.ts";
import {
  sayAdministrator,
  sayAgency,
  sayGateway,
  type SignedStatement,
  type TestAgency,
  type TestCity,
  type TestGateway,
} from "../support/network.ts";
import { sayGrant, sayRequest, sayRevocation, sayService } from "../support/statements.ts";
import { createFlow, outcomeOf, resultsOf } from "./support.ts";

const flow = await createFlow();
const { network, ledger: base, provider, consumer } = flow;
const [hangzhou] = network.cities as readonly [TestCity];
const agency = network.provider;
const nowS = Math.floor(base.nowMs / 1000);
const day = 24 * 3600;

async function outcome(
  ledger: TestLedger,
  record: SignedStatement,
  change: Parameters<TestLedger["append"]>[2] = {},
  carrier: TestGateway = consumer,
): Promise<string> {
  const included = await ledger.fork().append(carrier, [record], change);
  return outcomeOf(included);
}

describe("an agency that is stated again", () => {
  const restated = (change: Partial<TestAgency>, more = {}): SignedStatement =>
    sayAgency(network, hangzhou, { ...agency, ...change }, more);

  test("changes its name, roles and validity", async () => {
    const ledger = base.fork();
    const record = restated({}, { name: "民政", roles: ["provider"], claims: { exp: nowS + day } });
    const included = await ledger.append(consumer, [record]);
    assert.deepEqual(resultsOf(included), [`AGENCY_CHANGED ${agency.id}`]);
    const facts = ledger.state.agencies.get(agency.id) ?? [];
    assert.deepEqual(
      facts.map(({ body, standing }) => [body.name, standing.since, standing.until, standing.exp]),
      [
        [agency.id, 0n, { index: 5n, position: 0 }, undefined],
        ["民政", 5n, undefined, nowS + day],
      ],
    );
  });

  test("takes the authority key that it had committed to, and no other", async () => {
    const third = network.signer("civil-affairs third");
    const rotated = restated({ authority: agency.next, next: third });
    assert.equal(await outcome(base, rotated), `AGENCY_CHANGED ${agency.id}`);
    const other = restated({ authority: network.signer("x"), next: third });
    assert.equal(await outcome(base, other), "KEY_NOT_COMMITTED");
    assert.equal(await outcome(base, restated({ next: third })), "KEY_NOT_COMMITTED");
    const itself = restated({ authority: agency.next });
    assert.equal(await outcome(base, itself), "KEY_BOUND");
  });

  test("keeps its voice meanwhile, and what it takes away is taken at once", async () => {
    const ledger = base.fork();
    await ledger.append(consumer, [restated({}, { roles: ["provider"] })]);
    const request = sayRequest(network, {
      claims: { iss: agency.id },
      by: [agency.administrator],
    });
    const revocation = sayRevocation(network, flow.grant);
    for (const seenSize of [5n, 6n]) {
      assert.match(await outcome(ledger, revocation, { seenSize }), /^REVOKED/);
      assert.equal(await outcome(ledger, request, { seenSize }), "SIGNER_NOT_ALLOWED");
    }
  });

  test("gets what it is given when that is seen", async () => {
    const ledger = base.fork();
    await ledger.append(consumer, [restated({}, { roles: ["data-authority"] })]);
    await ledger.append(consumer, [restated({}, { roles: ["consumer", "provider"] })]);
    const service = sayService(network, { body: { version: 2 } });
    assert.equal(await outcome(ledger, service, { seenSize: 6n }), "SIGNER_NOT_ALLOWED");
    assert.match(await outcome(ledger, service, { seenSize: 7n }), /^SERVICE_PUBLISHED/);
  });

  test("is renewed after its end", async () => {
    const ledger = base.fork();
    await ledger.append(consumer, [restated({}, { claims: { exp: nowS + day } })]);
    ledger.nowMs += 2 * day * 1000;
    const service = sayService(network, { body: { version: 2 } });
    assert.equal(await outcome(ledger, service), "MEMBER_NOT_ACTIVE");
    const renewed = restated({}, { claims: { iat: nowS + 2 * day } });
    await ledger.append(consumer, [renewed]);
    assert.match(await outcome(ledger, service), /^SERVICE_PUBLISHED/);
  });
});

/** The provider's gateway with other keys. */
function rekeyed(change: { batch?: Signer; token?: Signer; tls?: string; last?: ChainEnd }): {
  readonly gateway: TestGateway;
  readonly record: SignedStatement;
} {
  const { batch = provider.batch, token = provider.token, tls, last } = change;
  const gateway: TestGateway = {
    ...provider,
    batch,
    token,
    body: {
      ...provider.body,
      batch: formatKey(batch.publicKey),
      token: formatKey(token.publicKey),
      ...(tls === undefined ? {} : { tls: [tls] }),
      ...(last === undefined ? {} : { last }),
    },
  };
  return { gateway, record: sayGateway(network, agency, gateway) };
}
const batch2 = network.signer("gw1 batch 2");

describe("a gateway that is stated again", () => {
  test("goes on in its chain under a new batch key", async () => {
    const ledger = base.fork();
    const { gateway, record } = rekeyed({ batch: batch2 });
    assert.deepEqual(resultsOf(await ledger.append(provider, [record])), [
      `GATEWAY_CHANGED ${provider.id}`,
    ]);
    const revocation = sayRevocation(network, flow.grant);
    assert.equal(await outcome(ledger, revocation, { seenSize: 5n }, gateway), "MEMBER_NOT_ACTIVE");
    assert.match(await outcome(ledger, revocation, { seenSize: 6n }, gateway), /^REVOKED/);
  });

  test("carries governance under the old key until the new one is seen, and evidence after that", async () => {
    const ledger = base.fork();
    await ledger.append(provider, [rekeyed({ batch: batch2 }).record]);
    const revocation = sayRevocation(network, flow.grant);
    assert.match(await outcome(ledger, revocation, { seenSize: 5n }, provider), /^REVOKED/);
    assert.equal(
      await outcome(ledger, revocation, { seenSize: 6n }, provider),
      "MEMBER_NOT_ACTIVE",
    );
    await ledger.appendEvidence(provider);
  });

  test("is the same peer until its new TLS key is seen", async () => {
    const ledger = base.fork();
    const tls = toHex(sha256(new Uint8Array([1])));
    await ledger.append(provider, [rekeyed({ tls }).record]);
    const old = ledger.view(5n).gateway(provider.id);
    assert.deepEqual(old?.body.tls, provider.body.tls);
    assert.equal(isWithdrawn(ledger.state.gateways.get(provider.id) ?? [], old), false);
    assert.deepEqual(ledger.view(6n).gateway(provider.id)?.body.tls, [tls]);
  });

  test("takes no key that is somebody else's or has another use", async () => {
    for (const key of [consumer.batch, provider.token, network.log, agency.authority]) {
      const body = { ...provider.body, batch: formatKey(key.publicKey) };
      const by = new Set([agency.authority, key, provider.token]);
      const record = network.say("gateway", { iss: agency.id, sub: provider.id, body }, [...by]);
      assert.equal(await outcome(base, record), "KEY_BOUND");
    }
  });

  const end = (seq: number, leaf: Uint8Array): ChainEnd => ({ epoch: 0, seq, leaf: toHex(leaf) });
  const tip = base.state.chains.get(provider.id);
  assert.ok(tip);

  test("ends the chain under its earlier key where it says", async () => {
    const ledger = base.fork();
    const { gateway, record } = rekeyed({
      batch: batch2,
      last: end(Number(tip.seq), tip.leafHash),
    });
    await ledger.append(consumer, [record]);
    const beyond = ledger.seal(provider, [statusRecord()], { kind: "evidence" });
    assert.deepEqual(await ledger.judge(beyond), { kind: "rejected", reason: "CHAIN_ENDED" });
    await ledger.appendEvidence(gateway);
    assert.equal(await outcome(ledger, rekeyed({}).record), "CHAIN_ENDED");
  });

  test("may name a last leaf that is still to come, and no other takes its place", async () => {
    const ledger = base.fork();
    const coming = ledger.seal(provider, [statusRecord(1)], { kind: "evidence" });
    const other = ledger.seal(provider, [statusRecord(2)], { kind: "evidence" });
    const last = end(Number(tip.seq) + 1, coming.leafHash);
    await ledger.append(consumer, [rekeyed({ batch: batch2, last }).record]);
    assert.deepEqual(await ledger.judge(other), { kind: "rejected", reason: "CHAIN_ENDED" });
    assert.equal((await ledger.offer(coming)).kind, "applied");
    const beyond = ledger.seal(provider, [statusRecord()], { kind: "evidence" });
    assert.deepEqual(await ledger.judge(beyond), { kind: "rejected", reason: "CHAIN_ENDED" });
  });

  test("that names another leaf than the ledger has there is void CHAIN_FORK", async () => {
    const last = end(Number(tip.seq), new Uint8Array(32));
    assert.equal(await outcome(base, rekeyed({ batch: batch2, last }).record), "CHAIN_FORK");
  });

  test("that ends a chain twice is void ALREADY_TAKEN", async () => {
    const ledger = base.fork();
    const last = end(Number(tip.seq), tip.leafHash);
    await ledger.append(consumer, [rekeyed({ batch: batch2, last }).record]);
    const again = rekeyed({ batch: batch2, last, token: network.signer("gw1 token 2") }).record;
    assert.equal(await outcome(ledger, again), "ALREADY_TAKEN");
  });
});

describe("an administrator that is stated again", () => {
  const restated = (roles: readonly ("operator" | "approver" | "auditor")[]): SignedStatement =>
    sayAdministrator(network, agency, agency.administrator, { roles });

  test("has the roles that both statements give until the new one is seen", async () => {
    const ledger = base.fork();
    const included = await ledger.append(consumer, [restated(["approver"])]);
    assert.match(resultsOf(included).join(), /^ADMINISTRATOR_CHANGED/);
    const service = sayService(network, { body: { version: 2 } });
    for (const seenSize of [5n, 6n]) {
      assert.equal(await outcome(ledger, service, { seenSize }), "SIGNER_NOT_ALLOWED");
      assert.match(await outcome(ledger, sayGrant(network, flow.open), { seenSize }), /^GRANTED/);
    }
  });

  test("is another agency's KEY_BOUND", async () => {
    const record = sayAdministrator(network, network.consumer, agency.administrator);
    assert.equal(await outcome(base, record), "KEY_BOUND");
  });
});
