/**
 * The consumer's side of one unary call as a step machine over its attempts, in pure form. The driver
 * executes the effects and feeds back what happened.
 *
 * Nothing is handed over before the acknowledgement that covers it is durable. From the moment that a
 * statement is signed the attempt closes with exactly one record here: Acknowledgement or Closed. A
 * crash between signing and that record leaves an attempt that is unknown after the restart: when a
 * record of the provider about it becomes final it is closed UNKNOWN_AFTER_RESTART.
 */
import type { ReasonCode } from "../base/reasons.ts";

/** `fatal` checks end the exchange as DATA_LOSS: nothing of it is handed over. */
export type CheckResult =
  | "match"
  | "commitment-mismatch"
  | "key-unknown"
  | "seen-fork"
  | "time-implausible"
  | "stale-seal"
  | "grant-taken";

export type ConsumerOutcome =
  | "refused"
  | "no-answer"
  | "cancelled"
  | "deadline"
  | "proof-invalid"
  | "gateway-error";

export type ConsumerPhase = "connecting" | "called" | "checking" | "sealing" | "ended";

export interface ConsumerState {
  readonly phase: ConsumerPhase;
  /** Number of the current attempt, from 1. */
  readonly attempt: number;
  /** A method that writes is never tried again. */
  readonly writes: boolean;
  /** The status or answer was given to the caller. */
  readonly answered: boolean;
  /** How the caller's side ended meanwhile. */
  readonly interruption: "cancelled" | "deadline" | undefined;
  /** What follows when the record that is being sealed is durable. */
  readonly then: "hand-over" | "retry" | "fail" | undefined;
}

export type ConsumerEvent =
  | { readonly kind: "connected" }
  | { readonly kind: "not-connected"; readonly reason: ReasonCode }
  | { readonly kind: "answer" }
  | { readonly kind: "refused" }
  | { readonly kind: "nonce-stale" }
  | { readonly kind: "failed"; readonly reason: ReasonCode }
  | { readonly kind: "link-lost" }
  | { readonly kind: "checked"; readonly result: CheckResult }
  /** The proof itself does not verify: there is no receipt, or no refusal. */
  | { readonly kind: "proof-invalid" }
  | { readonly kind: "sealed" }
  | { readonly kind: "seal-failed"; readonly reason: ReasonCode }
  | { readonly kind: "interrupted"; readonly by: "cancelled" | "deadline" };

export type ConsumerEffect =
  /** Find a link to the provider, for the attempt of the state. */
  | { readonly kind: "connect" }
  /** Sign the statement and send the call. */
  | { readonly kind: "call" }
  | { readonly kind: "check-answer" }
  | { readonly kind: "send-cancel" }
  | { readonly kind: "seal-acknowledgement"; readonly result: CheckResult }
  | {
      readonly kind: "seal-closed";
      readonly outcome: ConsumerOutcome;
      readonly reason: ReasonCode | undefined;
      readonly nextAttempt: number;
    }
  | { readonly kind: "hand-over" }
  /** Give the caller the status of the refusal, of the failed check or of this reason. */
  | { readonly kind: "fail"; readonly reason: ReasonCode | undefined }
  | { readonly kind: "forget" };

export function initialConsumerState(writes: boolean): ConsumerState {
  return {
    phase: "connecting",
    attempt: 1,
    writes,
    answered: false,
    interruption: undefined,
    then: undefined,
  };
}

interface Step {
  readonly state: ConsumerState;
  readonly effects: readonly ConsumerEffect[];
}

/** At most one attempt beyond the first, for each of its two causes together. */
const attemptsMax = 2;

const checkReasons: Readonly<Record<Exclude<CheckResult, "match">, ReasonCode>> = {
  "commitment-mismatch": "COMMITMENT_MISMATCH",
  "key-unknown": "RECEIPT_KEY_UNKNOWN",
  "seen-fork": "SEEN_FORK",
  "time-implausible": "TIME_IMPLAUSIBLE",
  "stale-seal": "STALE_SEAL",
  "grant-taken": "GRANT_TAKEN",
};

/** The reason that a failed check gives to the caller. */
export function reasonOfCheck(result: Exclude<CheckResult, "match">): ReasonCode {
  return checkReasons[result];
}

function stay(state: ConsumerState): Step {
  return { state, effects: [] };
}

function ended(state: ConsumerState, effects: readonly ConsumerEffect[]): Step {
  return {
    state: { ...state, phase: "ended", answered: true },
    effects: [...effects, { kind: "forget" }],
  };
}

function sealClosed(
  state: ConsumerState,
  outcome: ConsumerOutcome,
  reason: ReasonCode | undefined,
  then: "retry" | "fail",
  before: readonly ConsumerEffect[] = [],
): Step {
  const nextAttempt = then === "retry" ? state.attempt + 1 : 0;
  return {
    state: { ...state, phase: "sealing", then },
    effects: [...before, { kind: "seal-closed", outcome, reason, nextAttempt }],
  };
}

function mayRetry(state: ConsumerState, safe: boolean): boolean {
  return safe && state.attempt < attemptsMax && state.interruption === undefined;
}

function interrupted(state: ConsumerState, by: "cancelled" | "deadline"): Step {
  const reason = by === "cancelled" ? "CANCELLED" : "DEADLINE";
  const marked: ConsumerState = { ...state, interruption: by };
  switch (state.phase) {
    case "connecting":
      // No statement of this attempt was signed: there is nothing to close.
      return ended(marked, [{ kind: "fail", reason }]);
    case "called":
    case "checking":
      return sealClosed(marked, by, reason, "fail", [{ kind: "send-cancel" }]);
    case "sealing":
    case "ended":
      return stay(marked);
  }
}

function sealed(state: ConsumerState): Step {
  if (state.then === "hand-over") return ended(state, [{ kind: "hand-over" }]);
  if (state.then === "fail") return ended(state, [{ kind: "fail", reason: undefined }]);
  const next: ConsumerState = {
    ...state,
    phase: "connecting",
    attempt: state.attempt + 1,
    then: undefined,
  };
  if (state.interruption !== undefined) return interrupted(next, state.interruption);
  return { state: next, effects: [{ kind: "connect" }] };
}

function called(state: ConsumerState, event: ConsumerEvent): Step {
  switch (event.kind) {
    case "answer":
      return { state: { ...state, phase: "checking" }, effects: [{ kind: "check-answer" }] };
    case "refused":
      return sealClosed(state, "refused", undefined, "fail");
    case "nonce-stale":
      // The provider recorded nothing and did nothing, so that a method that writes is safe too.
      return sealClosed(state, "refused", "NONCE_STALE", mayRetry(state, true) ? "retry" : "fail");
    case "proof-invalid":
      return sealClosed(state, "proof-invalid", "RECEIPT_PROOF_INVALID", "fail");
    case "failed":
      return sealClosed(state, "gateway-error", event.reason, "fail");
    case "link-lost":
      return sealClosed(
        state,
        "no-answer",
        "NO_ANSWER",
        mayRetry(state, !state.writes) ? "retry" : "fail",
      );
    default:
      return stay(state);
  }
}

/** One step. An event that the phase does not expect changes nothing: it comes from a race that was lost. */
export function stepConsumer(state: ConsumerState, event: ConsumerEvent): Step {
  if (event.kind === "interrupted") return interrupted(state, event.by);
  switch (state.phase) {
    case "connecting":
      if (event.kind === "connected") {
        return { state: { ...state, phase: "called" }, effects: [{ kind: "call" }] };
      }
      if (event.kind === "not-connected")
        return ended(state, [{ kind: "fail", reason: event.reason }]);
      return stay(state);
    case "called":
      return called(state, event);
    case "checking":
      if (event.kind === "proof-invalid")
        return sealClosed(state, "proof-invalid", "RECEIPT_PROOF_INVALID", "fail");
      if (event.kind !== "checked") return stay(state);
      return {
        state: {
          ...state,
          phase: "sealing",
          then: event.result === "match" ? "hand-over" : "fail",
        },
        effects: [{ kind: "seal-acknowledgement", result: event.result }],
      };
    case "sealing":
      if (event.kind === "sealed") return sealed(state);
      if (event.kind === "seal-failed")
        return ended(state, [{ kind: "fail", reason: event.reason }]);
      return stay(state);
    case "ended":
      return stay(state);
  }
}
