import assert from "node:assert/strict";
import { test } from "node:test";
import { clone, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { toHex } from "../../src/base/bytes.ts";
import type { ServiceAttribute } from "../../src/credential/statements.ts";
import { commitUnderSeed } from "../../src/crypto/commitments.ts";
import {
  type Decision,
  DecisionSchema,
  type Fact,
  FactSchema,
  ObligationsSchema,
  QuotaSchema,
  Verdict,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import {
  createAttributeValue,
  encodeAttributeValue,
  type GivenAttribute,
} from "../../src/policy/attributes.ts";
import { createCedarEngine } from "../../src/policy/cedar-engine.ts";
import { decide, type DecisionOutcome } from "../../src/policy/decide.ts";
import type { Attempt } from "../../src/policy/grant-check.ts";
import { type RecordedDecision, replayDecision } from "../../src/policy/replay.ts";
import { standardPolicyText } from "../../src/policy/standard.ts";
import {
  consumerGateway,
  factsOf,
  grantFact,
  plainAttempt,
  providerGateway,
  type Registry,
  registry,
  statementOf,
  viewOf,
} from "./fixtures.ts";

const engine = createCedarEngine();

function recordOf(
  facts: Registry,
  { decision, obligations }: DecisionOutcome,
  attempt: Partial<Attempt> = {},
): RecordedDecision {
  const { blob } = factsOf(facts);
  // Through bytes, as the auditor reads it.
  return {
    view: viewOf(facts),
    decision: fromBinary(DecisionSchema, toBinary(DecisionSchema, decision!)),
    ...(obligations === undefined ? {} : { obligations }),
    statement: statementOf({ ...plainAttempt, ...attempt }),
    consumerGateway,
    providerGateway,
    blob,
  };
}

function decided(facts: Registry, attempt: Partial<Attempt> = {}): RecordedDecision {
  return recordOf(facts, decide(factsOf(facts, attempt), [], engine), attempt);
}

const outcomes: readonly (readonly [claim: string, facts: Registry, attempt?: Partial<Attempt>])[] =
  [
    ["a permit", registry()],
    ["a denial by the grant check", registry(), { purpose: "statistics" }],
    ["a denial for want of a grant", { ...registry(), grants: [] }],
    ["a denial for want of a policy", { ...registry(), policy: undefined }],
    ["a denial by the policy", registry({ policyText: "" })],
    ["a denial by an error", registry({ policyText: "permit" })],
  ];
for (const [claim, facts, attempt] of outcomes) {
  test(`${claim} replays as the same`, () => {
    assert.deepEqual(replayDecision(decided(facts, attempt), engine), { kind: "same" });
  });
}

function early(hash: Uint8Array): Fact {
  return create(FactSchema, { name: { case: "record", value: { hash } } });
}

function differing(recorded: RecordedDecision): readonly string[] {
  const replay = replayDecision(recorded, engine);
  assert.equal(replay.kind, "differs");
  return replay.kind === "differs" ? replay.members : [];
}

type Edit = readonly [
  claim: string,
  members: readonly string[],
  edit: (decision: Decision) => void,
];
const edits: readonly Edit[] = [
  [
    "a larger decided size",
    ["decided_size"],
    (d) => {
      d.decidedSize++;
    },
  ],
  [
    "another grant address",
    ["grant"],
    (d) => {
      d.grant!.position++;
    },
  ],
  [
    "another grant jti",
    ["grant_jti"],
    (d) => {
      d.grantJti = d.grantJti.replace(/1$/, "2");
    },
  ],
  [
    "another service address",
    ["service"],
    (d) => {
      d.service!.index++;
    },
  ],
  [
    "another service version",
    ["service_version"],
    (d) => {
      d.serviceVersion++;
    },
  ],
  [
    "another descriptor set",
    ["descriptor_digest"],
    (d) => {
      d.descriptorDigest[31]! ^= 1;
    },
  ],
  [
    "another policy address",
    ["policy"],
    (d) => {
      d.policy!.index++;
    },
  ],
  [
    "no policy address",
    ["policy"],
    (d) => {
      delete d.policy;
    },
  ],
  [
    "another policy set",
    ["policy_digest"],
    (d) => {
      d.policyDigest[0]! ^= 1;
    },
  ],
  [
    "another schema",
    ["schema_digest"],
    (d) => {
      d.schemaDigest[0]! ^= 1;
    },
  ],
  [
    "the other verdict",
    ["verdict"],
    (d) => {
      d.verdict = Verdict.DENY;
    },
  ],
  [
    "no reasons",
    ["reasons"],
    (d) => {
      d.reasons = [];
    },
  ],
  [
    "another policy as reason",
    ["reasons"],
    (d) => {
      d.reasons[0]!.policyId = "all";
    },
  ],
  [
    "a quota",
    ["quota"],
    (d) => {
      d.quota = create(QuotaSchema, { limit: 1n });
    },
  ],
  [
    "an early fact",
    ["early_facts"],
    (d) => {
      d.earlyFacts = [early(new Uint8Array(32))];
    },
  ],
];
for (const [claim, members, edit] of edits) {
  test(`a record with ${claim} differs in ${members.join()} alone`, () => {
    const recorded = decided(registry());
    edit(recorded.decision);
    assert.deepEqual(differing(recorded), members);
  });
}

test("every member of the decision is compared: no single flipped bit of it replays as the same", () => {
  const recorded = decided(registry());
  const bytes = toBinary(DecisionSchema, recorded.decision);
  const bit = fc.nat(bytes.length * 8 - 1);
  fc.assert(
    fc.property(bit, (n) => {
      const flipped = bytes.slice();
      flipped[n >> 3]! ^= 1 << (n & 7);
      let decision: Decision;
      try {
        decision = fromBinary(DecisionSchema, flipped);
      } catch {
        return;
      }
      // Bits that only make the encoding odd are the canonical decoder's to refuse.
      if (toHex(toBinary(DecisionSchema, decision)) === toHex(bytes)) return;
      // Time moves within the grant without changing the verdict: the auditor bounds it by the header.
      if (decision.evaluatedAt !== recorded.decision.evaluatedAt) return;
      if (decision.$unknown !== undefined) return;
      assert.notEqual(replayDecision({ ...recorded, decision }, engine).kind, "same");
    }),
    { numRuns: 400 },
  );
});

const changes: readonly (readonly [
  claim: string,
  change: (facts: Registry) => void,
  members: readonly string[],
])[] = [
  [
    "the grant belongs to another",
    (f) => {
      f.grants = [grantFact({ consumer: "shenzhen/finance" })];
    },
    [
      "policy",
      "policy_digest",
      "schema_digest",
      "engine_name",
      "engine_version",
      "engine_digest",
      "verdict",
      "reasons",
      "obligations",
    ],
  ],
  [
    "the grant has another jti",
    (f) => {
      f.grants = [grantFact({ jti: "019a0000-0000-7000-8000-000000000009" })];
    },
    ["grant_jti"],
  ],
  [
    "the legal basis is gone from a write",
    (f) => {
      f.grants = [grantFact({ detail: { ...grantFact().detail, legal_basis: "" } })];
      f.service = {
        ...f.service!,
        body: {
          ...f.service!.body,
          methods: f.service!.body.methods.map((m) => ({ ...m, writes: true })),
        },
      };
    },
    ["verdict", "reasons", "obligations"],
  ],
  [
    "the service is not published",
    (f) => {
      f.service = undefined;
    },
    ["service"],
  ],
  [
    "another policy set is in force",
    (f) => {
      const other = registry({ policyText: `${standardPolicyText}\n` });
      f.policy = other.policy;
      f.blobs = other.blobs;
    },
    ["policy_digest"],
  ],
];
for (const [claim, change, members] of changes) {
  test(`a replay where ${claim} differs in ${members.join(", ")}`, () => {
    const recorded = decided(registry());
    const facts = registry();
    change(facts);
    assert.deepEqual(
      differing({ ...recorded, view: viewOf(facts), blob: factsOf(facts).blob }),
      members,
    );
  });
}

test("another call statement than the one decided on differs", () => {
  const recorded = decided(registry());
  const statement = statementOf({ ...plainAttempt, purpose: "statistics" });
  assert.ok(differing({ ...recorded, statement }).includes("verdict"));
});

test("another consumer gateway than the one decided on differs", () => {
  const recorded = decided(registry());
  const other = { ...recorded, consumerGateway: "shenzhen/finance/gw1" };
  assert.ok(differing(other).includes("verdict"));
});

test("edited obligations are found", () => {
  const recorded = decided(registry());
  const obligations = clone(ObligationsSchema, recorded.obligations!);
  obligations.window++;
  assert.deepEqual(differing({ ...recorded, obligations }), ["obligations"]);
});

test("a revocation that came later does not change the replay", () => {
  const recorded = decided(registry());
  const facts = registry();
  const revoked = { ...grantFact().standing, until: { index: 21n, position: 0 } };
  facts.grants = [grantFact({ standing: revoked, revocation: new Uint8Array(32).fill(4) })];
  assert.deepEqual(replayDecision({ ...recorded, view: viewOf(facts) }, engine), { kind: "same" });
});

test("an early revocation that was heeded replays once it is on the ledger, and differs if it never came", () => {
  const record = new Uint8Array(32).fill(4);
  const facts = registry();
  const earlyTakings = [{ taken: grantFact().standing.address, record }];
  const recorded = recordOf(facts, decide({ ...factsOf(facts), earlyTakings }, [], engine));
  assert.ok(differing(recorded).includes("early_facts"));
  const later = registry();
  const revoked = { ...grantFact().standing, until: { index: 30n, position: 0 } };
  later.grants = [grantFact({ standing: revoked, revocation: record })];
  assert.deepEqual(replayDecision({ ...recorded, view: viewOf(later) }, engine), { kind: "same" });
});

const otherEngines: readonly (readonly [string, object])[] = [
  ["name", { name: "cedar-other" }],
  ["version", { version: "4.13.1" }],
  ["digest", { digest: new Uint8Array(32) }],
];
for (const [what, other] of otherEngines) {
  test(`a verdict of an engine of another ${what} is not repeated, and its facts still are`, () => {
    const recorded = decided(registry());
    const unasked = { ...engine, evaluate: () => assert.fail("the policy was asked"), ...other };
    assert.deepEqual(replayDecision(recorded, unasked), {
      kind: "engine-unavailable",
      name: engine.name,
      version: engine.version,
    });
    recorded.decision.serviceVersion++;
    assert.equal(replayDecision(recorded, unasked).kind, "differs");
  });
}

test("a policy whose blob is not at hand is said, with its digest", () => {
  const facts = registry({ policyText: '@id("gone") permit(principal, action, resource);' });
  const recorded = decided(facts);
  const unparsed = createCedarEngine();
  const sha256 = facts.policy!.body.policy;
  const asked = {
    ...unparsed,
    evaluate: (query: Parameters<typeof unparsed.evaluate>[0]) => (query.blobs(), assert.fail()),
  };
  assert.deepEqual(replayDecision({ ...recorded, blob: () => undefined }, asked), {
    kind: "blob-missing",
    sha256,
  });
});

const attributes: readonly ServiceAttribute[] = [
  { name: "resident", type: "boolean", personal: true, source: "request" },
  { name: "level", type: "integer", personal: false, source: "provider" },
];
const policyText =
  '@id("residents") permit(principal, action, resource) when { context.attributes.resident && context.attributes.level < 3 };';
const value = createAttributeValue(true);
const committed = commitUnderSeed({
  seed: new Uint8Array(32).fill(1),
  label: "attribute/resident",
  value: encodeAttributeValue(value),
});
const given: readonly GivenAttribute[] = [
  { name: "resident", value, commitment: committed.commitment },
  { name: "level", value: createAttributeValue(2n) },
];

function personal(): RecordedDecision {
  const facts = registry({ policyText, attributes });
  return recordOf(facts, decide(factsOf(facts), given, engine));
}

test("a decision on a personal attribute is sealed without its opening, and the same with it", () => {
  const recorded = personal();
  assert.deepEqual(replayDecision(recorded, engine), { kind: "sealed", attributes: ["resident"] });
  const opening = () => ({ salt: committed.salt, value: encodeAttributeValue(value) });
  assert.deepEqual(replayDecision({ ...recorded, opening }, engine), { kind: "same" });
});

test("what differs in the facts of a sealed decision is found all the same", () => {
  const recorded = personal();
  recorded.decision.policyDigest[0]! ^= 1;
  assert.deepEqual(differing(recorded), ["policy_digest"]);
});

const openings: readonly (readonly [string, { salt: Uint8Array; value: Uint8Array }])[] = [
  [
    "another value",
    { salt: committed.salt, value: encodeAttributeValue(createAttributeValue(false)) },
  ],
  ["another salt", { salt: new Uint8Array(32), value: encodeAttributeValue(value) }],
  ["a short salt", { salt: committed.salt.subarray(1), value: encodeAttributeValue(value) }],
];
for (const [name, opened] of openings) {
  test(`an opening with ${name} opens nothing`, () => {
    assert.deepEqual(differing({ ...personal(), opening: () => opened }), ["personal_attributes"]);
  });
}

test("an edited public attribute changes the verdict, and is found", () => {
  const recorded = personal();
  recorded.decision.publicAttributes[0]!.value = createAttributeValue(3n);
  const opening = () => ({ salt: committed.salt, value: encodeAttributeValue(value) });
  assert.deepEqual(differing({ ...recorded, opening }), ["verdict", "reasons", "obligations"]);
});

const malformed: readonly (readonly [string, (decision: Decision) => void])[] = [
  [
    "an undeclared attribute",
    (d) => {
      d.publicAttributes[0]!.name = "other";
    },
  ],
  [
    "an attribute without value",
    (d) => {
      delete d.publicAttributes[0]!.value;
    },
  ],
  [
    "an attribute twice",
    (d) => {
      d.publicAttributes.push(d.publicAttributes[0]!);
    },
  ],
  [
    "a personal attribute as public",
    (d) => {
      d.publicAttributes[0]!.name = "resident";
    },
  ],
];
for (const [name, edit] of malformed) {
  test(`a record with ${name} is a difference, not a crash`, () => {
    const recorded = personal();
    edit(recorded.decision);
    assert.ok(differing(recorded).some((member) => member.endsWith("_attributes")));
  });
}

test("a time beyond what a number holds is a difference, not a crash", () => {
  const recorded = decided(registry());
  recorded.decision.evaluatedAt = 2n ** 60n;
  assert.deepEqual(differing(recorded), ["evaluated_at"]);
});
