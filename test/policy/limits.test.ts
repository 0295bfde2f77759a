import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { AuthorizationDetail, QuotaRule } from "../../src/credential/statements.ts";
import {
  DecisionSchema,
  Durability,
  type Obligations,
  ObligationsSchema,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { createCedarEngine } from "../../src/policy/cedar-engine.ts";
import { decide, type DecisionOutcome } from "../../src/policy/decide.ts";
import type { Attempt } from "../../src/policy/grant-check.ts";
import { quotaPeriodStart, type QuotaUsage } from "../../src/policy/quota.ts";
import { type DecisionReplay, replayDecision } from "../../src/policy/replay.ts";
import {
  consumerGateway,
  factsOf,
  grantFact,
  inside,
  notBefore,
  plainAttempt,
  provider,
  providerGateway,
  type Registry,
  registry,
  serviceBody,
  standing,
  statementOf,
  viewOf,
} from "./fixtures.ts";

const engine = createCedarEngine();
const nothing: QuotaUsage = { usedOnLedger: 0n, usedInChain: 0n, reserved: 0n };

function limited(limits: Partial<AuthorizationDetail>): Registry {
  const { detail, ...fact } = grantFact();
  return { ...registry(), grants: [{ ...fact, detail: { ...detail, ...limits } }] };
}

function decideUnder(
  facts: Registry,
  usage: Partial<QuotaUsage> = {},
  more: { readonly attempt?: Partial<Attempt>; readonly gateway?: string } = {},
): DecisionOutcome {
  const { gateway = providerGateway } = more;
  const quotas = { gateway, usage: () => ({ ...nothing, ...usage }) };
  return decide({ ...factsOf(facts, more.attempt), quotas }, [], engine);
}

function obligationsUnder(limits: Partial<AuthorizationDetail>): Obligations {
  const { obligations } = decideUnder(limited(limits));
  assert.ok(obligations !== undefined);
  return obligations;
}

describe("the obligations of a permit", () => {
  test("hold the grant's paths and metadata, with the digest of the paths", () => {
    const { maskPaths, maskDigest, metadataAllowed } = obligationsUnder({
      fields: ["division.code", "division.name"],
      metadata: ["etag", "grpc-message"],
    });
    assert.deepEqual(maskPaths, ["division.code", "division.name"]);
    assert.deepEqual(maskDigest, sha256(utf8("division.code\ndivision.name")));
    assert.deepEqual(metadataAllowed, ["etag", "grpc-message"]);
  });

  test("hold no mask without fields", () => {
    const { maskPaths, maskDigest, metadataAllowed } = obligationsUnder({});
    assert.deepEqual([maskPaths, maskDigest.length, metadataAllowed], [[], 0, []]);
  });

  test("hold the grant's bounds; one message for an answer that is no stream", () => {
    const { messagesMax, bytesMax } = obligationsUnder({ messages_max: 7, bytes_max: 500 });
    assert.deepEqual([messagesMax, bytesMax], [1n, 500n]);
  });

  test("hold the grant's number of messages for a stream", () => {
    const facts = limited({ messages_max: 7 });
    const [method, ...others] = serviceBody().methods;
    const methods = [{ ...method!, server_streaming: true }, ...others];
    const body = serviceBody({ methods });
    const streaming = { ...facts, service: { ...facts.service!, body } };
    assert.equal(decideUnder(streaming).obligations?.messagesMax, 7n);
  });

  const durabilities = [
    [undefined, undefined, Durability.JOURNAL],
    ["ledger", undefined, Durability.LEDGER],
    ["journal", "ledger", Durability.LEDGER],
    ["ledger", "journal", Durability.LEDGER],
    ["journal", "journal", Durability.JOURNAL],
  ] as const;
  for (const [ofService, ofGrant, expected] of durabilities) {
    test(`are of durability ${expected} for a service of ${ofService} and a grant of ${ofGrant}`, () => {
      const facts = limited(ofGrant === undefined ? {} : { durability: ofGrant });
      const body = serviceBody(ofService === undefined ? {} : { durability: ofService });
      const of = { ...facts, service: { ...facts.service!, body } };
      assert.equal(decideUnder(of).obligations?.durability, expected);
    });
  }
});

describe("a quota", () => {
  const quota: QuotaRule = { limit: 10, period_s: 60 };

  test("permits as long as there is room, and stands in the decision", () => {
    const used = { usedOnLedger: 4n, usedInChain: 3n, reserved: 2n };
    const { verdict, decision } = decideUnder(limited({ quota }), used);
    assert.equal(verdict, "permit");
    const { $typeName: _, ...recorded } = decision!.quota!;
    assert.deepEqual(recorded, { ...used, limit: 10n, periodStart: BigInt(notBefore + 60) });
  });

  for (const member of ["usedOnLedger", "usedInChain", "reserved"] as const) {
    test(`is used up by ${member} alone`, () => {
      const outcome = decideUnder(limited({ quota }), { [member]: 10n });
      assert.deepEqual(
        [outcome.verdict, outcome.stage, outcome.reason],
        ["deny", "quota", "QUOTA_EXHAUSTED"],
      );
      assert.equal(outcome.decision?.quota?.[member], 10n);
      assert.equal(outcome.obligations, undefined);
    });
  }

  test("begins again with each period from the grant's beginning on", () => {
    const periods = [0, 59, 60, 61, 119, 120].map((s) =>
      quotaPeriodStart({ nbf: 1000, periodS: 60 }, 1000 + s),
    );
    assert.deepEqual(periods, [1000, 1000, 1060, 1060, 1060, 1120]);
  });

  test("is asked for the grant and the period of the decision", () => {
    const asked: unknown[] = [];
    const facts = limited({ quota });
    const quotas = {
      gateway: providerGateway,
      usage: (...args: unknown[]) => (asked.push(args), nothing),
    };
    decide({ ...factsOf(facts, { evaluatedAtS: notBefore + 119 }), quotas }, [], engine);
    assert.deepEqual(asked, [[grantFact().jti, notBefore + 60]]);
  });

  test("without facts about its usage is misuse", () => {
    assert.throws(() => decide(factsOf(limited({ quota })), [], engine), TypeError);
  });

  test("is not looked at when the grant does not cover the call", () => {
    const { reason, decision } = decideUnder(
      limited({ quota }),
      { reserved: 10n },
      { attempt: { purpose: "statistics" } },
    );
    assert.deepEqual([reason, decision?.quota], ["PURPOSE_NOT_GRANTED", undefined]);
  });

  const shared: QuotaRule = { ...quota, shares: [{ gateway: providerGateway, limit: 3 }] };

  test("that is shared leaves each gateway its share, whatever others have used", () => {
    const { verdict, decision } = decideUnder(limited({ quota: shared }), {
      usedOnLedger: 7n,
      usedInChain: 2n,
    });
    assert.deepEqual([verdict, decision?.quota?.limit], ["permit", 3n]);
    assert.equal(decision?.quota?.usedOnLedger, 0n);
    assert.equal(decideUnder(limited({ quota: shared }), { usedInChain: 3n }).verdict, "deny");
  });

  test("that is shared leaves nothing to a gateway without a share", () => {
    const gateway = `${provider}/gw2`;
    const { reason, decision } = decideUnder(limited({ quota: shared }), {}, { gateway });
    assert.deepEqual([reason, decision?.quota?.limit], ["QUOTA_EXHAUSTED", 0n]);
  });
});

describe("a replay", () => {
  const limits: Partial<AuthorizationDetail> = {
    fields: ["division.name"],
    metadata: ["etag"],
    quota: { limit: 10, period_s: 60 },
    bytes_max: 100,
    durability: "ledger",
  };

  function replay(
    facts: Registry,
    { decision, obligations }: DecisionOutcome,
    gateway: string = providerGateway,
  ): DecisionReplay {
    return replayDecision(
      {
        view: viewOf(facts),
        decision: fromBinary(DecisionSchema, toBinary(DecisionSchema, decision!)),
        ...(obligations === undefined
          ? {}
          : {
              obligations: fromBinary(ObligationsSchema, toBinary(ObligationsSchema, obligations)),
            }),
        statement: statementOf(plainAttempt),
        consumerGateway,
        providerGateway: gateway,
        blob: factsOf(facts).blob,
      },
      engine,
    );
  }

  const permitted = (): DecisionOutcome => decideUnder(limited(limits), { usedInChain: 9n });

  test("of a permit under a mask and a quota is the same", () => {
    assert.deepEqual(replay(limited(limits), permitted()), { kind: "same" });
  });

  test("of a denial for a used-up quota is the same", () => {
    const denied = decideUnder(limited(limits), { usedInChain: 10n });
    assert.deepEqual(replay(limited(limits), denied), { kind: "same" });
  });

  const forged: readonly (readonly [string, (outcome: DecisionOutcome) => void, string])[] = [
    ["another mask", ({ obligations }) => (obligations!.maskPaths = ["division"]), "obligations"],
    [
      "another mask digest",
      ({ obligations }) => (obligations!.maskDigest = new Uint8Array(32)),
      "obligations",
    ],
    [
      "more metadata",
      ({ obligations }) => obligations!.metadataAllowed.push("x-more"),
      "obligations",
    ],
    ["no bound on bytes", ({ obligations }) => (obligations!.bytesMax = 0n), "obligations"],
    [
      "a weaker durability",
      ({ obligations }) => (obligations!.durability = Durability.JOURNAL),
      "obligations",
    ],
    ["a higher limit", ({ decision }) => (decision!.quota!.limit = 11n), "quota"],
    ["another period", ({ decision }) => (decision!.quota!.periodStart -= 60n), "quota"],
  ];
  for (const [what, forge, member] of forged) {
    test(`finds ${what}`, () => {
      const outcome = permitted();
      forge(outcome);
      const result = replay(limited(limits), outcome);
      assert.ok(result.kind === "differs" && result.members.includes(member), result.kind);
    });
  }

  test("finds a permit under a quota that its own numbers say is used up", () => {
    const outcome = permitted();
    outcome.decision!.quota!.reserved = 1n;
    const result = replay(limited(limits), outcome);
    assert.ok(result.kind === "differs" && result.members.includes("verdict"));
  });

  test("finds a decision that leaves its quota out", () => {
    const { quota: _, ...rest } = limits;
    const outcome = decideUnder(limited(rest));
    const result = replay(limited(limits), outcome);
    assert.ok(result.kind === "differs" && result.members.includes("quota"));
  });

  test("finds a gateway that takes another one's share", () => {
    const shares = [{ gateway: providerGateway, limit: 3 }];
    const facts = limited({ quota: { limit: 10, period_s: 60, shares } });
    const result = replay(facts, decideUnder(facts), `${provider}/gw2`);
    assert.ok(result.kind === "differs" && result.members.includes("quota"));
  });
});

test("the fixtures' time lies in the second period of a minute", () => {
  assert.equal(quotaPeriodStart({ nbf: notBefore, periodS: 60 }, inside), notBefore + 60);
  assert.deepEqual(standing(6n).address, plainAttempt.grant);
});
