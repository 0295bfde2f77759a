/**
 * The consumer's side of one call as a step machine over its attempts, in pure form. The driver
 * executes the effects and feeds back what happened, the segments of an answer one by one in their order.
 *
 * Nothing is handed over before the acknowledgement that covers it is durable. From the moment that a
 * statement is signed the attempt closes with exactly one record here: the final Acknowledgement, one whose
 * check is not MATCH, or Closed. A crash between signing and the first record leaves an attempt that is
 * unknown after the restart: when a record of the provider about it becomes final it is closed
 * UNKNOWN_AFTER_RESTART. After the first acknowledgement the restart closes it itself.
 *
 * What is known to be taken away ends an attempt at once. An attempt whose closing is queued has ended already:
 * what its last acknowledgement covers was receipted before, and is handed over.
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
  | "grant-taken"
  | "mask-violation";

export type ConsumerOutcome =
  | "refused"
  | "no-answer"
  | "cancelled"
  | "deadline"
  | "proof-invalid"
  | "gateway-error";

/** On whose side an attempt ended, as its closing states it. */
export type ClosedSource = "gateway" | "peer" | "caller";

/** What has ended an attempt from outside: its caller, or that its authority was taken away. */
export interface ConsumerInterruption {
  readonly by: "cancelled" | "deadline" | "taken";
  readonly reason: ReasonCode;
}

export type ConsumerPhase =
  | "connecting"
  /** The next segment is awaited. */
  | "called"
  | "checking"
  | "sealing"
  /** What follows waits until the caller has taken the segment before. */
  | "behind"
  | "ended";

export interface ConsumerState {
  readonly phase: ConsumerPhase;
  /** Number of the current attempt, from 1. */
  readonly attempt: number;
  /** A method that writes is never tried again. */
  readonly writes: boolean;
  /** The status or answer was given to the caller. */
  readonly answered: boolean;
  /** What happened first of what ends the attempt from outside. */
  readonly interruption: ConsumerInterruption | undefined;
  /** The caller has something of the answer: it is not asked for again. */
  readonly handedOver: boolean;
  /** The caller is taking a segment; the next one may be checked and acknowledged meanwhile. */
  readonly handing: boolean;
  /** Why the segment could not be given to the caller, while a record is being sealed. */
  readonly undelivered: ReasonCode | undefined;
  /** What follows when the record that is being sealed is durable. */
  readonly then: "hand-over" | "hand-over-last" | "retry" | "fail" | undefined;
}

export type ConsumerEvent =
  | { readonly kind: "connected" }
  | { readonly kind: "not-connected"; readonly reason: ReasonCode }
  | { readonly kind: "answer" }
  /** A refusal or closing of the provider, which is to be checked. */
  | { readonly kind: "refusal" }
  /** It is one, of this very attempt. */
  | { readonly kind: "refused" }
  /** `replayable` when the whole of the request so far can be sent again. */
  | { readonly kind: "nonce-stale"; readonly replayable: boolean }
  | { readonly kind: "failed"; readonly reason: ReasonCode }
  | { readonly kind: "link-lost"; readonly replayable: boolean }
  /** Nothing carries the attempt, by this gateway's own doing: its statement has not left. */
  | { readonly kind: "unopened"; readonly reason: ReasonCode }
  | { readonly kind: "checked"; readonly result: CheckResult; readonly final: boolean }
  /** The proof itself does not verify: there is no receipt, or no refusal. */
  | { readonly kind: "proof-invalid" }
  /** The replica has not reached in time what the check needs. */
  | { readonly kind: "ledger-behind" }
  /** An error of this gateway, which says nothing of the provider. */
  | { readonly kind: "broken" }
  | { readonly kind: "sealed" }
  | { readonly kind: "seal-failed"; readonly reason: ReasonCode }
  /** The caller has taken the segment. */
  | { readonly kind: "handed-over" }
  /** The caller could not be given it. */
  | { readonly kind: "not-handed-over"; readonly reason: ReasonCode }
  /** `reason` where the caller broke off by a request that is not to be carried. */
  | {
      readonly kind: "interrupted";
      readonly by: "cancelled" | "deadline";
      readonly reason?: ReasonCode;
    }
  /** What the call rests on is taken away, or its time is over. */
  | { readonly kind: "taken"; readonly reason: ReasonCode };

export type ConsumerEffect =
  /** Find a link to the provider, for the attempt of the state. */
  | { readonly kind: "connect" }
  /** Sign the statement and send the call. */
  | { readonly kind: "call" }
  | { readonly kind: "check-answer" }
  | { readonly kind: "check-refusal" }
  | { readonly kind: "send-cancel" }
  | {
      readonly kind: "seal-acknowledgement";
      readonly result: CheckResult;
      /** The acknowledgement closes the attempt. */
      readonly final: boolean;
    }
  | {
      readonly kind: "seal-closed";
      readonly outcome: ConsumerOutcome;
      readonly source: ClosedSource;
      readonly reason: ReasonCode | undefined;
      readonly nextAttempt: number;
    }
  | { readonly kind: "hand-over"; readonly last: boolean }
  /** Give the caller the status of the refusal, of the failed check or of this reason. */
  | { readonly kind: "fail"; readonly reason: ReasonCode | undefined }
  /** Deny the call: there is no statement that a closing could be of. */
  | { readonly kind: "refuse"; readonly reason: ReasonCode }
  | { readonly kind: "forget" };

export function initialConsumerState(writes: boolean): ConsumerState {
  return {
    phase: "connecting",
    attempt: 1,
    writes,
    answered: false,
    interruption: undefined,
    handedOver: false,
    handing: false,
    undelivered: undefined,
    then: undefined,
  };
}

interface Step {
  readonly state: ConsumerState;
  readonly effects: readonly ConsumerEffect[];
}

/** At most one attempt beyond the first, for each of its two causes together. */
const attemptsMax = 2;

const reasonOfInterruption = { cancelled: "CANCELLED", deadline: "DEADLINE" } as const;

function stay(state: ConsumerState): Step {
  return { state, effects: [] };
}

function ended(state: ConsumerState, effects: readonly ConsumerEffect[]): Step {
  return {
    state: { ...state, phase: "ended", answered: true },
    effects: [...effects, { kind: "forget" }],
  };
}

const sourceOf: Readonly<Record<Exclude<ConsumerOutcome, "gateway-error">, ClosedSource>> = {
  refused: "peer",
  "no-answer": "gateway",
  "proof-invalid": "gateway",
  cancelled: "caller",
  deadline: "caller",
};

function sealClosed(
  state: ConsumerState,
  outcome: Exclude<ConsumerOutcome, "gateway-error">,
  reason: ReasonCode | undefined,
  then: "retry" | "fail",
  before: readonly ConsumerEffect[] = [],
): Step {
  const nextAttempt = then === "retry" ? state.attempt + 1 : 0;
  const isTaken = outcome === "cancelled" && state.interruption?.by === "taken";
  const source = isTaken ? "gateway" : sourceOf[outcome];
  return {
    state: { ...state, phase: "sealing", then },
    effects: [...before, { kind: "seal-closed", outcome, source, reason, nextAttempt }],
  };
}

/** A gateway could not go on: the peer's, which has said so, or this one, which tells the peer. */
function sealError(
  state: ConsumerState,
  source: "gateway" | "peer",
  reason: ReasonCode | undefined,
): Step {
  const before: ConsumerEffect[] = source === "gateway" ? [{ kind: "send-cancel" }] : [];
  const outcome = "gateway-error";
  return {
    state: { ...state, phase: "sealing", then: "fail" },
    effects: [...before, { kind: "seal-closed", outcome, source, reason, nextAttempt: 0 }],
  };
}

function mayRetry(state: ConsumerState, safe: boolean): boolean {
  return (
    safe && !state.handedOver && state.attempt < attemptsMax && state.interruption === undefined
  );
}

function interrupted(state: ConsumerState, interruption: ConsumerInterruption): Step {
  const { by, reason } = interruption;
  const marked: ConsumerState = { ...state, interruption: state.interruption ?? interruption };
  // It is this gateway that cancels what may not go on.
  const outcome = by === "taken" ? "cancelled" : by;
  switch (state.phase) {
    case "connecting":
      // No statement of this attempt was signed: there is nothing to close.
      return ended(marked, [
        by === "taken" ? { kind: "refuse", reason } : { kind: "fail", reason },
      ]);
    case "called":
    case "checking":
      return sealClosed(marked, outcome, reason, "fail", [{ kind: "send-cancel" }]);
    case "behind":
      if (state.then === "hand-over")
        return sealClosed(marked, outcome, reason, "fail", [{ kind: "send-cancel" }]);
      // The attempt is closed on record; its caller takes nothing more.
      return by === "taken" ? stay(state) : ended(marked, [{ kind: "fail", reason }]);
    case "sealing":
      return stay(by === "taken" && isClosing(state) ? state : marked);
    case "ended":
      return stay(state);
  }
}

/** Whether what is being sealed closes the attempt, and with it the exchange. */
function isClosing({ then }: ConsumerState): boolean {
  return then === "hand-over-last" || then === "fail";
}

function sealed(state: ConsumerState): Step {
  if (state.then === "retry") return tryAgain(state);
  const { handing, interruption, then, undelivered } = state;
  const handed: ConsumerState = { ...state, handedOver: true, then: undefined };
  if (then === "hand-over" && interruption !== undefined) {
    return interrupted({ ...handed, phase: "called" }, interruption);
  }
  if (handing) {
    // What the caller is taking still goes before this; one that has given up takes no more.
    return interruption === undefined
      ? stay({ ...state, phase: "behind" })
      : ended(state, [{ kind: "fail", reason: interruption.reason }]);
  }
  if (undelivered !== undefined) {
    return then === "hand-over"
      ? sealError(handed, "gateway", undelivered)
      : ended(state, [{ kind: "fail", reason: undelivered }]);
  }
  if (then === "hand-over-last") return ended(handed, [{ kind: "hand-over", last: true }]);
  if (then === "fail") return ended(state, [{ kind: "fail", reason: undefined }]);
  return {
    state: { ...handed, phase: "called", handing: true },
    effects: [{ kind: "hand-over", last: false }],
  };
}

function tryAgain(state: ConsumerState): Step {
  const next: ConsumerState = {
    ...state,
    phase: "connecting",
    attempt: state.attempt + 1,
    then: undefined,
  };
  if (state.interruption !== undefined) return interrupted(next, state.interruption);
  return { state: next, effects: [{ kind: "connect" }] };
}

/** Without a record there is nothing more to say; the caller takes what was acknowledged before. */
function sealFailed(state: ConsumerState, reason: ReasonCode): Step {
  if (!state.handing || state.interruption !== undefined) {
    return ended(state, [{ kind: "fail", reason }]);
  }
  return stay({ ...state, phase: "behind", then: "fail", undelivered: reason });
}

function called(state: ConsumerState, event: ConsumerEvent): Step {
  switch (event.kind) {
    case "answer":
      return { state: { ...state, phase: "checking" }, effects: [{ kind: "check-answer" }] };
    case "refusal":
      return { state: { ...state, phase: "checking" }, effects: [{ kind: "check-refusal" }] };
    case "nonce-stale":
      // The provider recorded nothing and did nothing, so that a method that writes is safe too.
      return sealClosed(
        state,
        "refused",
        "NONCE_STALE",
        mayRetry(state, event.replayable) ? "retry" : "fail",
      );
    case "failed":
      return sealError(state, "peer", event.reason);
    case "unopened":
      return sealError(state, "gateway", event.reason);
    case "broken":
      return sealError(state, "gateway", "INTERNAL");
    case "link-lost":
      return sealClosed(
        state,
        "no-answer",
        "NO_ANSWER",
        mayRetry(state, event.replayable && !state.writes) ? "retry" : "fail",
      );
    default:
      return stay(state);
  }
}

function checking(state: ConsumerState, event: ConsumerEvent): Step {
  switch (event.kind) {
    case "checked":
      return checked(state, event.result, event.final);
    case "refused":
      return sealClosed(state, "refused", undefined, "fail");
    case "proof-invalid":
      return sealClosed(state, "proof-invalid", "RECEIPT_PROOF_INVALID", "fail");
    case "ledger-behind":
      return sealError(state, "gateway", "LEDGER_BEHIND");
    case "broken":
      return sealError(state, "gateway", "INTERNAL");
    default:
      return stay(state);
  }
}

function checked(state: ConsumerState, result: CheckResult, final: boolean): Step {
  const matches = result === "match";
  const then = matches ? (final ? "hand-over-last" : "hand-over") : "fail";
  // The provider still sends: what does not match is answered by the end of the attempt.
  const before: readonly ConsumerEffect[] = matches || final ? [] : [{ kind: "send-cancel" }];
  return {
    state: { ...state, phase: "sealing", then },
    effects: [...before, { kind: "seal-acknowledgement", result, final: final || !matches }],
  };
}

/** The caller has taken the segment: what waits behind it goes on. */
function handedOver(state: ConsumerState): Step {
  const taken: ConsumerState = { ...state, handing: false };
  return state.phase === "behind" ? sealed({ ...taken, phase: "sealing" }) : stay(taken);
}

function notHandedOver(state: ConsumerState, reason: ReasonCode): Step {
  const { phase } = state;
  const failed: ConsumerState = { ...state, handing: false };
  if (phase === "called" || phase === "checking") return sealError(failed, "gateway", reason);
  const marked: ConsumerState = { ...failed, undelivered: reason };
  return phase === "behind" ? sealed({ ...marked, phase: "sealing" }) : stay(marked);
}

/** One step. An event that the phase does not expect changes nothing: it comes from a race that was lost. */
export function stepConsumer(state: ConsumerState, event: ConsumerEvent): Step {
  if (event.kind === "interrupted") {
    const { by, reason = reasonOfInterruption[by] } = event;
    return interrupted(state, { by, reason });
  }
  if (event.kind === "taken") return interrupted(state, { by: "taken", reason: event.reason });
  if (state.handing && event.kind === "handed-over") return handedOver(state);
  if (state.handing && event.kind === "not-handed-over") return notHandedOver(state, event.reason);
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
      return checking(state, event);
    case "sealing":
      if (event.kind === "sealed") return sealed(state);
      return event.kind === "seal-failed" ? sealFailed(state, event.reason) : stay(state);
    case "behind":
    case "ended":
      return stay(state);
  }
}
