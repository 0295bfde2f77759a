/** Decides a recorded call again, from the record and the ledger alone (DESIGN invariant 4). */
import { compareBytes, equalBytes } from "../base/bytes.ts";
import { createMessage } from "../base/create-message.ts";
import { CausewayError } from "../base/errors.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import { opensCommitment } from "../crypto/commitments.ts";
import {
  type AttributeValue,
  AttributeValueSchema,
  type CallStatement,
  type Decision,
  DecisionSchema,
  type Obligations,
  ObligationsSchema,
  type PersonalAttribute,
} from "../gen/causeway/record/v1/parts_pb.ts";
import type { RegistryView } from "../registry/state.ts";
import { type AttributeInput, decodeAttributeValue } from "./attributes.ts";
import { type DecisionOutcome, draftDecision, finishDraft } from "./draft.ts";
import type { Attempt, EarlyTaking } from "./grant-check.ts";
import type { PolicyEngine } from "./ports.ts";
import type { QuotaFacts } from "./quota.ts";

/** What opens the commitment to a personal attribute, as a party hands it over. */
export interface AttributeOpening {
  readonly salt: Uint8Array;
  /** Encoded `AttributeValue`. */
  readonly value: Uint8Array;
}

export interface RecordedDecision {
  /** The registry as of `decision.decidedSize`; later leaves may be folded in already. */
  readonly view: RegistryView;
  readonly decision: Decision;
  /** As recorded beside the decision; absent where the record has none. */
  readonly obligations?: Obligations;
  /** The call statement that the decision answers. */
  readonly statement: CallStatement;
  /** The issuer of the call token. */
  readonly consumerGateway: string;
  /** Whose record it is. */
  readonly providerGateway: string;
  readonly blob: (sha256: Uint8Array) => Uint8Array | undefined;
  readonly opening?: (attribute: PersonalAttribute) => AttributeOpening | undefined;
}

export type DecisionReplay =
  | { readonly kind: "same" }
  /** `members` are field names of Decision, or `obligations`. */
  | {
      readonly kind: "differs";
      readonly members: readonly string[];
      /** The decision that the facts give; absent when they give none. */
      readonly expected: Decision | undefined;
    }
  /** All facts are the same; these personal attributes have no opening at hand. */
  | { readonly kind: "sealed"; readonly attributes: readonly string[] }
  /** All facts are the same; the verdict is another engine's. */
  | { readonly kind: "engine-unavailable"; readonly name: string; readonly version: string }
  /** All facts are the same; a published blob is not at hand. */
  | { readonly kind: "blob-missing"; readonly sha256: string };

const verdictMembers: ReadonlySet<string> = new Set([
  "engine_name",
  "engine_version",
  "engine_digest",
  "verdict",
  "reasons",
]);

/**
 * Decides the recorded call again and compares every member. What differs in the facts is found also
 * when the policy cannot be asked.
 */
export function replayDecision(recorded: RecordedDecision, engine: PolicyEngine): DecisionReplay {
  const { view, decision, blob } = recorded;
  const inputs = attributesOf(recorded);
  if (inputs === undefined) return differs(["personal_attributes"], undefined);
  const attempt = attemptOf(recorded);
  if (attempt === undefined) return differs(["evaluated_at"], undefined);
  const quotas = recordedUsage(recorded);
  const draft = draftUnder({ view, attempt, blob, quotas }, recorded, inputs);
  if (draft === undefined) return differs(["public_attributes", "personal_attributes"], undefined);
  if (draft.kind === "decided") return compareOutcome(recorded, draft.outcome);

  const members = differingMembers(decision, draft.decision, (name) => !verdictMembers.has(name));
  if (members.length > 0) return differs(members, draft.decision);
  if (!sameEngine(decision, engine)) {
    const { engineName: name, engineVersion: version } = decision;
    return { kind: "engine-unavailable", name, version };
  }
  if (draft.sealed.length > 0) return { kind: "sealed", attributes: draft.sealed };
  try {
    return compareOutcome(recorded, finishDraft(draft, engine));
  } catch (error) {
    if (!(error instanceof CausewayError) || error.code !== "BLOB_MISSING") throw error;
    return { kind: "blob-missing", sha256: error.fields["sha256"] ?? "" };
  }
}

function differs(members: readonly string[], expected: Decision | undefined): DecisionReplay {
  return { kind: "differs", members, expected };
}

/** What the decision says was used: whether that is so shows only beside the other records of the ledger. */
function recordedUsage({ decision, providerGateway }: RecordedDecision): QuotaFacts {
  const { usedOnLedger = 0n, usedInChain = 0n, reserved = 0n } = decision.quota ?? {};
  return { gateway: providerGateway, usage: () => ({ usedOnLedger, usedInChain, reserved }) };
}

function attemptOf({
  statement,
  decision,
  consumerGateway,
}: RecordedDecision): Attempt | undefined {
  const { grant, service, method, purpose } = statement;
  const evaluatedAtS = Number(decision.evaluatedAt);
  if (grant === undefined || !Number.isSafeInteger(evaluatedAtS)) return undefined;
  return { consumerGateway, service, method, purpose, grant, evaluatedAtS };
}

/** The recorded attributes with the values at hand; `undefined` when an opening does not open. */
function attributesOf(recorded: RecordedDecision): readonly AttributeInput[] | undefined {
  const { decision, opening } = recorded;
  const inputs: AttributeInput[] = [];
  for (const { name, value } of decision.publicAttributes) {
    inputs.push({ name, value: value ?? createMessage(AttributeValueSchema) });
  }
  for (const attribute of decision.personalAttributes) {
    const { name, commitment } = attribute;
    const opened = opening?.(attribute);
    if (opened === undefined) {
      inputs.push({ name, commitment });
      continue;
    }
    if (!opensCommitment(commitment, { label: `attribute/${name}`, ...opened })) return undefined;
    const value = valueOf(opened);
    if (value === undefined) return undefined;
    inputs.push({ name, commitment, value });
  }
  return inputs;
}

/** The value that was committed to; `undefined` when it is no attribute value. */
function valueOf(opening: AttributeOpening): AttributeValue | undefined {
  try {
    return decodeAttributeValue(opening.value);
  } catch (error) {
    if (error instanceof CausewayError) return undefined;
    throw error;
  }
}

/** The draft under the recorded early takings; `undefined` when the attributes are not the service's. */
function draftUnder(
  facts: Parameters<typeof draftDecision>[0],
  recorded: RecordedDecision,
  inputs: readonly AttributeInput[],
): ReturnType<typeof draftDecision> | undefined {
  try {
    return draftDecision(facts, earlyTakingsOf(recorded, facts.attempt), inputs);
  } catch (error) {
    // Undeclared, repeated, without value: misuse by a live caller, a finding in a record.
    if (error instanceof TypeError) return undefined;
    if (error instanceof CausewayError && error.code === "NOT_CANONICAL") return undefined;
    throw error;
  }
}

/**
 * The takings that the decision says it heeded, found again among what the ledger holds by now. One
 * that cannot be found is not heeded here, and so shows as a difference.
 */
function earlyTakingsOf({ view, decision }: RecordedDecision, attempt: Attempt): EarlyTaking[] {
  const grant = view.grantAt(attempt.grant);
  const record = grant?.revocation;
  if (grant === undefined || record === undefined) return [];
  const heeded = decision.earlyFacts.some(
    ({ name }) => name.case === "record" && equalBytes(name.value.hash, record),
  );
  return heeded ? [{ taken: grant.standing.address, record }] : [];
}

function sameEngine(decision: Decision, engine: PolicyEngine): boolean {
  return (
    decision.engineName === engine.name &&
    decision.engineVersion === engine.version &&
    equalBytes(decision.engineDigest, engine.digest)
  );
}

function compareOutcome(recorded: RecordedDecision, outcome: DecisionOutcome): DecisionReplay {
  const expected = outcome.decision;
  if (expected === undefined) return differs(["service"], undefined);
  const members = differingMembers(recorded.decision, expected, () => true);
  const obligations = recorded.obligations;
  if (obligations !== undefined && !sameObligations(obligations, outcome.obligations)) {
    members.push("obligations");
  }
  return members.length === 0 ? { kind: "same" } : differs(members, expected);
}

function sameObligations(recorded: Obligations, expected: Obligations | undefined): boolean {
  if (expected === undefined) return false;
  const [a, b] = [recorded, expected].map((it) => encodeMessage(ObligationsSchema, it));
  return equalBytes(a as Uint8Array, b as Uint8Array);
}

/** Names of the members whose encodings differ, in the order of the proto. */
function differingMembers(
  recorded: Decision,
  expected: Decision,
  isWanted: (member: string) => boolean,
): string[] {
  return DecisionSchema.fields
    .filter(({ name }) => isWanted(name))
    .filter(({ localName }) => {
      const member = localName as keyof Decision;
      const encode = (of: Decision) => encodeMessage(DecisionSchema, only(of, member));
      return compareBytes(encode(recorded), encode(expected)) !== 0;
    })
    .map(({ name }) => name);
}

/** A decision with one member of `decision`. */
function only(decision: Decision, member: keyof Decision): Decision {
  return Object.assign(createMessage(DecisionSchema), { [member]: decision[member] });
}
