import type { GivenAttribute } from "./attributes.ts";
import { type DecisionFacts, type DecisionOutcome, draftDecision, finishDraft } from "./draft.ts";
import { includedTakings } from "./grant-check.ts";
import type { PolicyEngine } from "./ports.ts";

export {
  type DecisionFacts,
  type DecisionOutcome,
  type DecisionStage,
  permittedCode,
} from "./draft.ts";

/** The whole Unix second of a decision taken at `nowMs`. */
export function cutToSecond(nowMs: number): number {
  return Math.floor(nowMs / 1000);
}

/**
 * Decides one attempt in two pure steps: the grant check, then the provider's policy (DESIGN
 * section 5). A denial is a value; its decision holds everything that a replay needs, as a permit's
 * does. Throws BLOB_MISSING when the policy's blobs are not at hand, which is no verdict: the caller
 * turns the attempt away; and a TypeError for attributes that the service does not declare.
 */
export function decide(
  facts: DecisionFacts,
  attributes: readonly GivenAttribute[],
  engine: PolicyEngine,
): DecisionOutcome {
  const { view, attempt, earlyTakings = [] } = facts;
  const early = [...includedTakings(view, attempt), ...earlyTakings];
  const draft = draftDecision(facts, early, attributes);
  if (draft.kind === "decided") return draft.outcome;
  return finishDraft(draft, engine);
}
