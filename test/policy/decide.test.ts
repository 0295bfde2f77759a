import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { toHex } from "../../src/base/bytes.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import type { ServiceAttribute } from "../../src/credential/statements.ts";
import {
  DecisionSchema,
  Durability,
  ObligationsSchema,
  Verdict,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { createAttributeValue } from "../../src/policy/attributes.ts";
import { createCedarEngine } from "../../src/policy/cedar-engine.ts";
import { cutToSecond, decide } from "../../src/policy/decide.ts";
import type { Attempt } from "../../src/policy/grant-check.ts";
import { memoiseVerdicts } from "../../src/policy/memo.ts";
import {
  factsOf,
  grantFact,
  inside,
  type Registry,
  registry,
  reportCorrection,
  serviceBody,
  standing,
} from "./fixtures.ts";

const engine = createCedarEngine();

test("a covered call is permitted, and its decision holds everything that a replay needs", () => {
  const facts = registry();
  const { decision, obligations, ...outcome } = decide(factsOf(facts), [], engine);
  assert.equal(outcome.verdict, "permit");
  assert.equal(outcome.stage, "policy");
  assert.equal(outcome.reason, undefined);
  const expected = create(DecisionSchema, {
    decidedSize: 20n,
    evaluatedAt: BigInt(inside),
    grant: { index: 6n, position: 0 },
    grantJti: grantFact().jti,
    service: { index: 4n, position: 0 },
    serviceVersion: 3n,
    descriptorDigest: Buffer.from(serviceBody().descriptor, "hex"),
    policy: { index: 5n, position: 0 },
    policyDigest: Buffer.from(facts.policy!.body.policy, "hex"),
    schemaDigest: Buffer.from(facts.policy!.body.schema, "hex"),
    engineName: engine.name,
    engineVersion: engine.version,
    engineDigest: engine.digest,
    verdict: Verdict.PERMIT,
    reasons: [{ code: "PERMITTED", policyId: "covered-by-grant" }],
  });
  assert.equal(
    toHex(toBinary(DecisionSchema, decision!)),
    toHex(toBinary(DecisionSchema, expected)),
  );
  assert.deepEqual(
    obligations,
    create(ObligationsSchema, { messagesMax: 1n, durability: Durability.JOURNAL, window: 7 }),
  );
});

const overflow = "9223372036854775807 + context.now > 0";
const permitAll = '@id("all") permit(principal, action, resource);';

type Row = readonly [
  claim: string,
  reason: ReasonCode,
  stage: "grant" | "policy",
  reasons: readonly string[],
  facts: Registry,
  attempt?: Partial<Attempt>,
];
const rows: readonly Row[] = [
  [
    "another purpose",
    "PURPOSE_NOT_GRANTED",
    "grant",
    ["PURPOSE_NOT_GRANTED/"],
    registry(),
    { purpose: "statistics" },
  ],
  ["no grant", "GRANT_MISSING", "grant", ["GRANT_MISSING/"], { ...registry(), grants: [] }],
  [
    "no policy",
    "POLICY_MISSING",
    "policy",
    ["POLICY_MISSING/"],
    { ...registry(), policy: undefined },
  ],
  [
    "a policy that is not final",
    "POLICY_MISSING",
    "policy",
    ["POLICY_MISSING/"],
    { ...registry(), policy: { ...registry().policy!, standing: standing(20n) } },
  ],
  [
    "a set that permits nothing",
    "POLICY_DENIED",
    "policy",
    ["POLICY_DENIED/"],
    registry({ policyText: "" }),
  ],
  [
    "two policies that forbid",
    "POLICY_DENIED",
    "policy",
    ["POLICY_DENIED/a", "POLICY_DENIED/no-shenzhen"],
    registry({
      policyText: `${permitAll}\n@id("no-shenzhen") forbid(principal, action, resource) when { context.consumer_city == "shenzhen" };\n@id("a") forbid(principal, action, resource);`,
    }),
  ],
  [
    "a forbid that errs beside a permit",
    "POLICY_ERROR",
    "policy",
    ["POLICY_ERROR/f"],
    registry({
      policyText: `${permitAll}\n@id("f") forbid(principal, action, resource) when { ${overflow} };`,
    }),
  ],
  [
    "a set that does not parse",
    "POLICY_ERROR",
    "policy",
    ["POLICY_ERROR/"],
    registry({ policyText: "permit" }),
  ],
  [
    "a write that the policy forbids",
    "POLICY_DENIED",
    "policy",
    ["POLICY_DENIED/reads-only"],
    registry({
      policyText: `${permitAll}\n@id("reads-only") forbid(principal, action, resource) when { context.writes };`,
    }),
    { method: reportCorrection },
  ],
];
for (const [claim, reason, stage, reasons, facts, attempt] of rows) {
  test(`${claim} is a denial ${reason} at the ${stage} stage`, () => {
    const outcome = decide(factsOf(facts, attempt), [], engine);
    assert.equal(outcome.verdict, "deny");
    assert.equal(outcome.reason, reason);
    assert.equal(outcome.stage, stage);
    assert.equal(outcome.obligations, undefined);
    assert.equal(outcome.decision?.verdict, Verdict.DENY);
    assert.deepEqual(
      outcome.decision?.reasons.map(({ code, policyId }) => `${code}/${policyId}`),
      reasons,
    );
  });
}

test("a service that is not published leaves nothing to name in a decision", () => {
  const outcome = decide(factsOf({ ...registry(), service: undefined }), [], engine);
  assert.equal(outcome.reason, "SERVICE_UNKNOWN");
  assert.equal(outcome.decision, undefined);
});

test("a denial by the grant check names no policy and no engine, and asks none", () => {
  const asked = { ...engine, evaluate: () => assert.fail("the policy was asked") };
  const { decision } = decide(factsOf(registry(), { purpose: "statistics" }), [], asked);
  assert.equal(decision?.policy, undefined);
  assert.equal(decision?.policyDigest.length, 0);
  assert.equal(decision?.engineName, "");
  assert.equal(decision?.engineDigest.length, 0);
});

test("an early revocation denies, and stands in the decision by its record hash", () => {
  const record = new Uint8Array(32).fill(8);
  const taken = grantFact().standing.address;
  const local = { ...factsOf(registry()), earlyTakings: [{ taken, record }] };
  const facts = registry();
  facts.grants = [
    grantFact({
      standing: { ...grantFact().standing, until: { index: 21n, position: 0 } },
      revocation: record,
    }),
  ];
  for (const known of [
    local,
    factsOf(facts),
    { ...factsOf(facts), earlyTakings: local.earlyTakings },
  ]) {
    const { reason, decision } = decide(known, [], engine);
    assert.equal(reason, "GRANT_REVOKED");
    assert.deepEqual(
      decision?.earlyFacts.map(({ name }) => name.case === "record" && toHex(name.value.hash)),
      [toHex(record)],
    );
  }
});

test("a remembered verdict outlives no grant", () => {
  const remembering = memoiseVerdicts(engine);
  const facts = registry();
  assert.equal(decide(factsOf(facts), [], remembering).verdict, "permit");
  facts.grants = [
    grantFact({ standing: { ...grantFact().standing, until: { index: 10n, position: 0 } } }),
  ];
  assert.equal(decide(factsOf(facts), [], remembering).reason, "GRANT_REVOKED");
});

const attributes: readonly ServiceAttribute[] = [
  { name: "resident", type: "boolean", personal: true, source: "request" },
  { name: "level", type: "integer", personal: false, source: "provider" },
];
const residentsOnly =
  '@id("residents") permit(principal, action, resource) when { context.attributes.resident && context.attributes.level < 3 };';
const commitment = new Uint8Array(32).fill(3);

function decideWith(level: bigint, resident: boolean): ReturnType<typeof decide> {
  return decide(
    factsOf(registry({ policyText: residentsOnly, attributes })),
    [
      { name: "resident", value: createAttributeValue(resident), commitment },
      { name: "level", value: createAttributeValue(level) },
    ],
    engine,
  );
}

test("attributes decide, and a personal one stands in the record as a commitment alone", () => {
  const { verdict, decision } = decideWith(2n, true);
  assert.equal(verdict, "permit");
  assert.deepEqual(
    decision?.publicAttributes.map(({ name }) => name),
    ["level"],
  );
  assert.deepEqual(
    decision?.personalAttributes.map((a) => [a.name, a.commitment]),
    [["resident", commitment]],
  );
  assert.equal(decideWith(2n, false).reason, "POLICY_DENIED");
  assert.equal(decideWith(3n, true).reason, "POLICY_DENIED");
});

test("an attribute that the schema wants and the call lacks is an error, and denies", () => {
  const facts = factsOf(registry({ policyText: residentsOnly, attributes }));
  assert.equal(decide(facts, [], engine).reason, "POLICY_ERROR");
});

test("an integer that the engine would read rounded is an error, and denies", () => {
  const { reason, decision } = decideWith(-(2n ** 53n), true);
  assert.equal(reason, "POLICY_ERROR");
  assert.equal(decision?.engineName, engine.name);
});

test("a policy whose blob is not at hand is no verdict", () => {
  const facts = registry({ policyText: '@id("absent") permit(principal, action, resource);' });
  facts.blobs.clear();
  assert.throws(() => decide(factsOf(facts), [], engine), { code: "BLOB_MISSING" });
});

test("the evaluated time is a whole second", () => {
  assert.equal(cutToSecond(1_800_000_100_999), 1_800_000_100);
  for (const evaluatedAtS of [1.5, -1, Number.NaN]) {
    assert.throws(() => decide(factsOf(registry(), { evaluatedAtS }), [], engine), RangeError);
  }
});
