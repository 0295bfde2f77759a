/** What the verification of an evidence package says. */
import type { ReasonCode } from "../base/reasons.ts";

export type EvidenceStepName =
  | "format"
  | "founding"
  | "changes"
  | "checkpoint"
  | "statements"
  | "record"
  | "opened"
  | "call"
  | "decision"
  | "acknowledgement"
  | "openings";

/** `absent`: the package holds nothing of the kind, so that nothing is claimed of it. */
export interface EvidenceStep {
  readonly name: EvidenceStepName;
  readonly outcome: "verified" | "failed" | "absent";
  readonly detail: string;
  readonly reason?: ReasonCode;
}

/** What a valid package proves. */
export interface ProvenFacts {
  readonly address: string;
  readonly handle: string;
  /** Such as `receipt`. */
  readonly kind: string;
  readonly gateway: string;
  /** Unix milliseconds that its gateway says. */
  readonly sealedAtMs: number;
  /** Unix milliseconds: the record existed at this time, as a quorum of cities says. */
  readonly finalAtMs: number;
  readonly size: bigint;
  readonly cities: readonly string[];
}

export interface EvidenceVerification {
  readonly valid: boolean;
  /** Up to the first that failed. */
  readonly steps: readonly EvidenceStep[];
  readonly facts: ProvenFacts | undefined;
  /** What no package can show. */
  readonly notShown: readonly string[];
}

const hiddenChanges =
  "that no later change of the cities, their keys or the quorum was left out: who was excluded, or had a key replaced, is believed as before: a replay shows it";

/** The limits of every package. */
export const notShown: readonly string[] = [
  hiddenChanges,
  "that no later statement on the ledger took away what this one rests on: a replay shows it",
  "that the decision follows from the policy: a replay decides it again",
];

/** In the order in which they are taken. */
export const evidenceSteps: readonly EvidenceStepName[] = [
  "format",
  "founding",
  "changes",
  "checkpoint",
  "statements",
  "record",
  "opened",
  "call",
  "decision",
  "acknowledgement",
  "openings",
];
