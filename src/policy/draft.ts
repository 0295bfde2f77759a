/**
 * A decision in the making: everything that facts and attributes fix before a policy is asked.
 * `decide` and `replayDecision` build the same draft and finish it in the same way.
 */
import { createMessage } from "../base/create-message.ts";
import { assertInvariant } from "../base/errors.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import type { ServiceMethod } from "../credential/statements.ts";
import {
  AddressSchema,
  type Decision,
  type DecisionReason,
  DecisionReasonSchema,
  DecisionSchema,
  type Fact,
  FactSchema,
  type Obligations,
  Verdict,
} from "../gen/causeway/record/v1/parts_pb.ts";
import type { GrantFact, PolicyFact, RegistryView } from "../registry/state.ts";
import { type AttributeInput, sortAttributes, sortEncoded } from "./attributes.ts";
import type { AttributeOpeningItem } from "./call-attributes.ts";
import { type Attempt, checkGrant, type EarlyTaking, type GrantCheck } from "./grant-check.ts";
import { obligationsOf } from "./obligations.ts";
import { digestBytes, queryOf, requestOf } from "./policy-request.ts";
import type { PolicyEngine, PolicyQuery, PolicyVerdict } from "./ports.ts";
import { hasRoom, type QuotaFacts, quotaOf, type Reservation } from "./quota.ts";

/** The step that gave the verdict. */
export type DecisionStage = "grant" | "quota" | "policy";

/** Code of a policy that permitted; those of a denial are reason codes. */
export const permittedCode: string = "PERMITTED";

/** What a decision rests on besides the attributes. */
export interface DecisionFacts {
  /** The registry as the newest final checkpoint gives it. */
  readonly view: RegistryView;
  readonly attempt: Attempt;
  /** Takings that this gateway has verified and that the view does not hold yet. */
  readonly earlyTakings?: readonly EarlyTaking[];
  /** Needed where the grant has a quota. */
  readonly quotas?: QuotaFacts;
  /** A published blob by its SHA-256, verified by whoever stored it. */
  readonly blob: (sha256: Uint8Array) => Uint8Array | undefined;
}

export interface DecisionOutcome {
  readonly verdict: "permit" | "deny";
  readonly stage: DecisionStage;
  /** Why the call is denied; `undefined` when it is permitted. */
  readonly reason: ReasonCode | undefined;
  /** For the record. Absent when the service is not published: then there is nothing to name. */
  readonly decision: Decision | undefined;
  /** Present when permitted. */
  readonly obligations: Obligations | undefined;
  /** The method as the service statement has it, when it does. */
  readonly method: ServiceMethod | undefined;
  /** The grant that stands at the named address. */
  readonly grant: GrantFact | undefined;
  /** For the operator's log, never to be recorded or sent. */
  readonly failures: PolicyVerdict["failures"];
  /** Of a permit under a quota, from whoever keeps count: ends with the attempt. */
  readonly reservation?: Reservation;
  /** Of personal attributes, from whoever committed to them: for the provider to keep, never to be sent. */
  readonly openings?: readonly AttributeOpeningItem[];
}

/** A decision that waits for the verdict of the policy. */
export interface UndecidedDraft {
  readonly kind: "undecided";
  /** All members but those of engine and verdict. */
  readonly decision: Decision;
  /** `undefined` when an attribute cannot be shown to the engine without loss. */
  readonly query: PolicyQuery | undefined;
  /** Personal attributes whose value is not at hand: without them the policy cannot be asked. */
  readonly sealed: readonly string[];
  readonly obligations: Obligations;
  readonly check: GrantCheck;
}

/** Decided without asking the policy, or waiting for it. */
export type Draft =
  | { readonly kind: "decided"; readonly outcome: DecisionOutcome }
  | UndecidedDraft;

/** Drafts the decision on `attempt` under exactly these early takings. */
export function draftDecision(
  facts: Omit<DecisionFacts, "earlyTakings">,
  earlyTakings: readonly EarlyTaking[],
  attributes: readonly AttributeInput[],
): Draft {
  const { view, attempt } = facts;
  if (!Number.isSafeInteger(attempt.evaluatedAtS) || attempt.evaluatedAtS < 0) {
    throw new RangeError("the evaluated time is not a whole Unix second");
  }
  const check = checkGrant(view, attempt, earlyTakings);
  const decision = describe(view, attempt, check);
  if (check.reason !== undefined || decision === undefined) {
    return denied("grant", check.reason ?? "SERVICE_UNKNOWN", decision, check);
  }
  const { service, method, grant } = check;
  assertInvariant(
    service !== undefined && method !== undefined && grant !== undefined,
    "the grant check permits without facts",
  );
  const quota = quotaOf(grant, attempt.evaluatedAtS, facts.quotas);
  if (quota !== undefined) {
    decision.quota = quota;
    if (!hasRoom(quota)) return denied("quota", "QUOTA_EXHAUSTED", decision, check);
  }
  const policy = view.policy(attempt.service);
  if (policy === undefined) return denied("policy", "POLICY_MISSING", decision, check);

  const { publicAttributes, personalAttributes, context, sealed } = sortAttributes(
    service.body.attributes,
    attributes,
  );
  decision.publicAttributes = [...publicAttributes];
  decision.personalAttributes = [...personalAttributes];
  namePolicy(decision, policy);
  const request = context === undefined ? undefined : requestOf(attempt, method, grant, context);
  return {
    kind: "undecided",
    decision,
    query: request === undefined ? undefined : queryOf(policy, request, facts.blob),
    sealed,
    obligations: obligationsOf(view, method, { service, grant }),
    check,
  };
}

// An integer attribute beyond 2^53-1 cannot be put to the engine: an error, and any error denies.
const unaskable: PolicyVerdict = {
  verdict: "deny",
  policyIds: [],
  failures: [{ policyId: "", message: "an integer attribute exceeds 2^53-1" }],
};

/** Asks the policy, and completes the decision with its verdict. Throws BLOB_MISSING as the query does. */
export function finishDraft(draft: UndecidedDraft, engine: PolicyEngine): DecisionOutcome {
  const { decision, check, query } = draft;
  const verdict = query === undefined ? unaskable : engine.evaluate(query);
  const permitted = verdict.verdict === "permit" && verdict.failures.length === 0;
  decision.engineName = engine.name;
  decision.engineVersion = engine.version;
  decision.engineDigest = engine.digest;
  decision.verdict = permitted ? Verdict.PERMIT : Verdict.DENY;
  decision.reasons = reasonsOf(permitted, verdict);
  return {
    verdict: permitted ? "permit" : "deny",
    stage: "policy",
    reason: permitted ? undefined : verdict.failures.length > 0 ? "POLICY_ERROR" : "POLICY_DENIED",
    decision,
    obligations: permitted ? draft.obligations : undefined,
    method: check.method,
    grant: check.grant,
    failures: verdict.failures,
  };
}

function describe(view: RegistryView, attempt: Attempt, check: GrantCheck): Decision | undefined {
  const { service, grant, early } = check;
  if (service === undefined) return undefined;
  const { index, position } = attempt.grant;
  return createMessage(DecisionSchema, {
    decidedSize: view.seenSize,
    evaluatedAt: BigInt(attempt.evaluatedAtS),
    grant: { index, position },
    grantJti: grant?.jti ?? "",
    service: service.standing.address,
    serviceVersion: BigInt(service.body.version),
    descriptorDigest: digestBytes(service.body.descriptor),
    earlyFacts: sortEncoded(early.map(factOf), (fact) => encodeMessage(FactSchema, fact)),
  });
}

function namePolicy(decision: Decision, { body, standing }: PolicyFact): void {
  decision.policy = createMessage(AddressSchema, standing.address);
  decision.policyDigest = digestBytes(body.policy);
  decision.schemaDigest = digestBytes(body.schema);
}

function denied(
  stage: DecisionStage,
  reason: ReasonCode,
  decision: Decision | undefined,
  check: GrantCheck,
): Draft {
  if (decision !== undefined) {
    decision.verdict = Verdict.DENY;
    decision.reasons = [createMessage(DecisionReasonSchema, { code: reason })];
  }
  const { method, grant } = check;
  return {
    kind: "decided",
    outcome: {
      verdict: "deny",
      stage,
      reason,
      decision,
      obligations: undefined,
      method,
      grant,
      failures: [],
    },
  };
}

function reasonsOf(permitted: boolean, verdict: PolicyVerdict): DecisionReason[] {
  const failed = verdict.failures.length > 0;
  const code = permitted ? permittedCode : failed ? "POLICY_ERROR" : "POLICY_DENIED";
  const ids = failed ? verdict.failures.map(({ policyId }) => policyId) : verdict.policyIds;
  const named = ids.length === 0 ? [""] : [...new Set(ids)];
  return sortEncoded(
    named.map((policyId) => createMessage(DecisionReasonSchema, { code, policyId })),
    (reason) => encodeMessage(DecisionReasonSchema, reason),
  );
}

function factOf({ record }: EarlyTaking): Fact {
  return createMessage(FactSchema, { name: { case: "record", value: { hash: record } } });
}
