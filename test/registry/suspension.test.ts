import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { toHex } from "../../src/base/bytes.ts";
import type { ResumptionBody, SuspensionBody } from "../../src/credential/statements.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { isWithdrawn } from "../../src/registry/standing.ts";
import { statusRecord } from "../support/ledger.ts";
import {
  sayAdministrator,
  sayAgency,
  sayGateway,
  type SignedStatement,
  type TestCity,
} from "../support/network.ts";
import {
  divisions,
  sayCity,
  sayGrant,
  sayOfAgency,
  sayPolicy,
  sayRevocation,
  sayService,
} from "../support/statements.ts";
import { createFlow, outcomesBy, reasonsOf, resultsOf } from "./support.ts";

const flow = await createFlow();
const { network, ledger: base, provider, consumer } = flow;
const [hangzhou, shenzhen] = network.cities as readonly [TestCity, TestCity];
const agency = network.provider;
const colleague = network.signer("colleague");
await base.append(provider, [
  sayAdministrator(network, agency, colleague, { roles: ["approver", "operator"] }),
]);

type By = "city" | "agency" | "other city" | "other agency";
const suspension = (
  by: By,
  sub: string,
  what: SuspensionBody["what"],
  more: Partial<SuspensionBody> = {},
): SignedStatement => {
  const said = { sub, body: { what, reason: "inquiry", ...more } };
  if (by === "city") return sayCity(network, "suspension", hangzhou, said);
  if (by === "other city") return sayCity(network, "suspension", shenzhen, said);
  const issuer = by === "agency" ? agency : network.consumer;
  return sayOfAgency(network, "suspension", issuer, said);
};
const resumption = (by: By, sub: string, what: ResumptionBody["what"]): SignedStatement => {
  const said = { sub, body: { what, reason: "cleared" } };
  if (by === "city") return sayCity(network, "resumption", hangzhou, said);
  return sayOfAgency(network, "resumption", agency, said, colleague);
};

const outcome = outcomesBy(consumer);

const kid = thumbprint(agency.administrator.publicKey);
const service = divisions(network);
const newService = (): SignedStatement => sayService(network, { body: { version: 2 } });

/** What is suspended, by whom, and what then is void for which reason. */
const cases: readonly {
  readonly what: SuspensionBody["what"];
  readonly sub: string;
  readonly by: readonly By[];
  readonly stops: () => SignedStatement;
  readonly reason: string;
}[] = [
  {
    what: "agency",
    sub: agency.id,
    by: ["city"],
    stops: () => sayRevocation(network, flow.grant),
    reason: "MEMBER_NOT_ACTIVE",
  },
  {
    what: "administrator",
    sub: kid,
    by: ["agency"],
    stops: newService,
    reason: "SIGNER_NOT_ALLOWED",
  },
  {
    what: "service",
    sub: service,
    by: ["agency"],
    stops: () => sayGrant(network, flow.open),
    reason: "SERVICE_UNKNOWN",
  },
];

for (const { what, sub, by, stops, reason } of cases) {
  describe(`a suspended ${what}`, () => {
    for (const issuer of ["city", "agency", "other city", "other agency"] as const) {
      const allowed = by.includes(issuer);
      const expected = allowed ? `SUSPENDED ${sub}` : "SIGNER_NOT_ALLOWED";
      test(`is suspended by its ${issuer}: ${allowed ? "applied" : expected}`, async () => {
        assert.equal(await outcome(base, suspension(issuer, sub, what)), expected);
      });
    }
    const [issuer] = by as readonly [By];

    test("is taken away at once, and comes back when its resumption is seen", async () => {
      const ledger = base.fork();
      assert.doesNotMatch(await outcome(ledger, stops()), new RegExp(reason));
      await ledger.append(consumer, [suspension(issuer, sub, what)]);
      assert.equal(await outcome(ledger, stops(), 6n), reason);
      assert.equal(await outcome(ledger, stops(), 7n), reason);
      const resumed = await ledger.append(consumer, [resumption(issuer, sub, what)]);
      assert.deepEqual(resultsOf(resumed), [`RESUMED ${sub}`]);
      assert.equal(await outcome(ledger, stops(), 7n), reason);
      assert.doesNotMatch(await outcome(ledger, stops(), 8n), new RegExp(reason));
    });

    test("is not suspended twice, nor resumed twice", async () => {
      const ledger = base.fork();
      assert.equal(await outcome(ledger, resumption(issuer, sub, what)), "ALREADY_TAKEN");
      await ledger.append(consumer, [suspension(issuer, sub, what)]);
      assert.equal(await outcome(ledger, suspension(issuer, sub, what)), "ALREADY_TAKEN");
      assert.equal(await outcome(ledger, resumption(issuer, sub, what), 6n), "ALREADY_TAKEN");
      await ledger.append(consumer, [resumption(issuer, sub, what)]);
      assert.equal(await outcome(ledger, resumption(issuer, sub, what)), "ALREADY_TAKEN");
    });
  });
}

test("what is suspended is changed by nobody before it is resumed", async () => {
  const ledger = base.fork();
  await ledger.append(consumer, [
    suspension("city", provider.id, "gateway"),
    suspension("agency", kid, "administrator"),
    suspension("agency", service, "service"),
  ]);
  for (const [record, reason] of [
    [sayGateway(network, agency, provider), "MEMBER_NOT_ACTIVE"],
    [sayAdministrator(network, agency, agency.administrator), "MEMBER_NOT_ACTIVE"],
    [sayService(network, { body: { version: 2 }, by: [colleague] }), "SERVICE_UNKNOWN"],
    [sayPolicy(network, { body: { version: 2 }, by: [colleague] }), "SERVICE_UNKNOWN"],
  ] as const) {
    assert.equal(await outcome(ledger, record), reason);
  }
  await ledger.append(consumer, [suspension("city", agency.id, "agency")]);
  assert.equal(await outcome(ledger, sayAgency(network, hangzhou, agency)), "MEMBER_NOT_ACTIVE");
});

describe("a suspended gateway", () => {
  for (const by of ["city", "agency"] as const) {
    test(`of its ${by} is resumed by its ${by} alone`, async () => {
      const ledger = base.fork();
      await ledger.append(consumer, [suspension(by, provider.id, "gateway")]);
      const other = by === "city" ? "agency" : "city";
      assert.equal(
        await outcome(ledger, resumption(other, provider.id, "gateway")),
        "SIGNER_NOT_ALLOWED",
      );
      assert.equal(
        await outcome(ledger, resumption(by, provider.id, "gateway")),
        `RESUMED ${provider.id}`,
      );
    });
  }

  test("drains: its evidence is indexed, and its governance is void", async () => {
    const ledger = base.fork();
    await ledger.append(consumer, [suspension("agency", provider.id, "gateway")]);
    await ledger.appendEvidence(provider);
    const carried = await ledger.append(provider, [newService()]);
    assert.deepEqual(reasonsOf(carried), ["MEMBER_NOT_ACTIVE"]);
    const known = ledger.view(6n).gateway(provider.id);
    assert.ok(known !== undefined);
    assert.equal(isWithdrawn(ledger.state.gateways.get(provider.id) ?? [], known), true);
  });

  test("drains until a statement names its last leaf, also a later one", async () => {
    for (const later of [false, true]) {
      const ledger = base.fork();
      const tip = ledger.state.chains.get(provider.id);
      assert.ok(tip);
      const last = { epoch: 0, seq: Number(tip.seq), leaf: toHex(tip.leafHash) };
      if (later) await ledger.append(consumer, [suspension("agency", provider.id, "gateway")]);
      const ended = await ledger.append(consumer, [
        suspension(later ? "city" : "agency", provider.id, "gateway", { last }),
      ]);
      assert.deepEqual(resultsOf(ended), [`SUSPENDED ${provider.id}`]);
      const beyond = ledger.seal(provider, [statusRecord()], { kind: "evidence" });
      assert.deepEqual(await ledger.judge(beyond), { kind: "rejected", reason: "CHAIN_ENDED" });
    }
  });

  test("whose chain had gone further ends at what is indexed", async () => {
    const ledger = base.fork();
    const tip = ledger.state.chains.get(provider.id);
    assert.ok(tip);
    const last = { epoch: 0, seq: Number(tip.seq), leaf: toHex(tip.leafHash) };
    await ledger.appendEvidence(provider);
    await ledger.append(consumer, [suspension("agency", provider.id, "gateway", { last })]);
    const beyond = ledger.seal(provider, [statusRecord()], { kind: "evidence" });
    assert.deepEqual(await ledger.judge(beyond), { kind: "rejected", reason: "CHAIN_ENDED" });
  });
});

test("a suspension of what nobody enrolled is void", async () => {
  for (const [what, sub, reason] of [
    ["agency", "hangzhou/nobody", "MEMBER_UNKNOWN"],
    ["gateway", "hangzhou/civil-affairs/gw9", "MEMBER_UNKNOWN"],
    ["service", "hangzhou/civil-affairs/nothing", "SERVICE_UNKNOWN"],
  ] as const) {
    const by = what === "service" ? "agency" : "city";
    assert.equal(await outcome(base, suspension(by, sub, what)), reason);
    assert.equal(await outcome(base, resumption(by, sub, what)), reason);
  }
});

test("what is resumed keeps the address of the statement that says it, and its end", async () => {
  const ledger = base.fork();
  const before = ledger.state.services.get(service)?.[0]?.standing.address;
  await ledger.append(consumer, [suspension("agency", service, "service")]);
  await ledger.append(consumer, [resumption("agency", service, "service")]);
  const facts = ledger.state.services.get(service) ?? [];
  assert.deepEqual(
    facts.map(({ standing }) => [standing.address, standing.since, standing.suspendedBy]),
    [
      [before, 1n, agency.id],
      [before, 7n, undefined],
    ],
  );
  assert.match(await outcome(ledger, newService()), /^SERVICE_PUBLISHED/);
});
