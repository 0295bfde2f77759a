/**
 * The provider's side of one unary attempt as a step machine: what it does next, in pure form. The
 * driver executes the effects and feeds back what happened.
 *
 * Two rules are kept here. Nothing of an answer is released before the receipt that covers it is
 * durable; and an attempt with a record closes with exactly one: a final Receipt, a Refusal or Closed.
 * A crash between two steps means: before the first seal nothing is known of the attempt here; after
 * Opened is durable the restart closes it GATEWAY_RESTARTED; after the Receipt is durable it is closed.
 */
import type { ReasonCode } from "../base/reasons.ts";

export type Phase = "judging" | "opening" | "calling" | "sealing" | "ended";

/** Why an attempt ended from outside. */
export type Interruption = "cancelled" | "deadline" | "peer-lost" | "shutdown";

export interface ProviderState {
  readonly phase: Phase;
  /** Opened is durable. */
  readonly onRecord: boolean;
  /** Whether the upstream may have had an effect. */
  readonly upstreamCalled: boolean;
  readonly interruption: Interruption | undefined;
}

export type ProviderEvent =
  | { readonly kind: "permitted"; readonly writes: boolean }
  /** Token, statement, grant or policy says no. */
  | { readonly kind: "denied" }
  /** No answer that leaves a record: a stale nonce, or a replica that is behind. */
  | { readonly kind: "turned-away" }
  | { readonly kind: "opened" }
  | { readonly kind: "answered" }
  | { readonly kind: "answer-unusable"; readonly reason: ReasonCode }
  | { readonly kind: "upstream-failed"; readonly reason: ReasonCode }
  /** The record that closes the attempt is durable; `replaced` when its recheck put another in its place. */
  | { readonly kind: "sealed"; readonly replaced: boolean }
  | { readonly kind: "seal-failed"; readonly reason: ReasonCode }
  | { readonly kind: "interrupted"; readonly by: Interruption };

export type ProviderEffect =
  | { readonly kind: "seal-opened" }
  | { readonly kind: "call-upstream" }
  | { readonly kind: "cancel-upstream" }
  | { readonly kind: "seal-receipt" }
  /** Seal a Refusal: the attempt has no record yet. Without a reason it is the one judged. */
  | { readonly kind: "seal-refusal"; readonly reason: ReasonCode | undefined }
  | { readonly kind: "seal-closed"; readonly outcome: ClosedOutcome; readonly reason: ReasonCode }
  /** Send what was sealed, in-band: the answer with its receipt, or the refusal or closing. */
  | { readonly kind: "release" }
  | { readonly kind: "send-failed"; readonly reason: ReasonCode }
  | { readonly kind: "forget" };

export type ClosedOutcome =
  | "upstream-error"
  | "limit"
  | "cancelled"
  | "deadline"
  | "peer-lost"
  | "shutdown";

export const initialProviderState: ProviderState = {
  phase: "judging",
  onRecord: false,
  upstreamCalled: false,
  interruption: undefined,
};

interface Step {
  readonly state: ProviderState;
  readonly effects: readonly ProviderEffect[];
}

const reasonOfInterruption: Readonly<Record<Interruption, ReasonCode>> = {
  cancelled: "CANCELLED",
  deadline: "DEADLINE",
  "peer-lost": "PEER_LOST",
  shutdown: "SHUTTING_DOWN",
};

function ended(state: ProviderState, effects: readonly ProviderEffect[]): Step {
  return { state: { ...state, phase: "ended" }, effects: [...effects, { kind: "forget" }] };
}

function stay(state: ProviderState): Step {
  return { state, effects: [] };
}

/** Ends an attempt that will have no answer: with a record when it has one, silently when not. */
function abandon(
  state: ProviderState,
  outcome: ClosedOutcome,
  reason: ReasonCode,
  before: readonly ProviderEffect[] = [],
): Step {
  if (!state.onRecord) return ended(state, [...before, { kind: "send-failed", reason }]);
  return {
    state: { ...state, phase: "sealing" },
    effects: [...before, { kind: "seal-closed", outcome, reason }],
  };
}

function interrupted(state: ProviderState, by: Interruption): Step {
  const marked: ProviderState = { ...state, interruption: by };
  switch (state.phase) {
    case "judging":
      return ended(marked, [{ kind: "send-failed", reason: reasonOfInterruption[by] }]);
    case "opening":
      // Opened is queued: what closes it waits until it is durable.
      return stay(marked);
    case "calling":
      return abandon(marked, by, reasonOfInterruption[by], [{ kind: "cancel-upstream" }]);
    case "sealing":
    case "ended":
      // A closing counts from the moment that it is queued.
      return stay(state);
  }
}

function callUpstream(state: ProviderState): Step {
  return {
    state: { ...state, phase: "calling", upstreamCalled: true },
    effects: [{ kind: "call-upstream" }],
  };
}

function opened(state: ProviderState): Step {
  const recorded: ProviderState = { ...state, onRecord: true };
  const by = state.interruption;
  return by === undefined
    ? callUpstream(recorded)
    : abandon(recorded, by, reasonOfInterruption[by]);
}

function seal(state: ProviderState, effect: ProviderEffect): Step {
  return { state: { ...state, phase: "sealing" }, effects: [effect] };
}

/** One step. An event that the phase does not expect changes nothing: it comes from a race that was lost. */
export function stepProvider(state: ProviderState, event: ProviderEvent): Step {
  if (event.kind === "interrupted") return interrupted(state, event.by);
  switch (state.phase) {
    case "judging":
      if (event.kind === "denied") return seal(state, { kind: "seal-refusal", reason: undefined });
      if (event.kind === "turned-away") return ended(state, []);
      if (event.kind !== "permitted") return stay(state);
      return event.writes
        ? { state: { ...state, phase: "opening" }, effects: [{ kind: "seal-opened" }] }
        : callUpstream(state);
    case "opening":
      if (event.kind === "opened") return opened(state);
      // The recheck refused it: that refusal is durable and closes the attempt.
      if (event.kind === "sealed") return ended(state, [{ kind: "release" }]);
      if (event.kind === "seal-failed")
        return ended(state, [{ kind: "send-failed", reason: event.reason }]);
      return stay(state);
    case "calling":
      if (event.kind === "answered") return seal(state, { kind: "seal-receipt" });
      if (event.kind === "upstream-failed") return abandon(state, "upstream-error", event.reason);
      if (event.kind === "answer-unusable") {
        return state.onRecord
          ? abandon(state, "limit", event.reason)
          : seal(state, { kind: "seal-refusal", reason: event.reason });
      }
      return stay(state);
    case "sealing":
      if (event.kind === "sealed") return ended(state, [{ kind: "release" }]);
      if (event.kind === "seal-failed")
        return ended(state, [{ kind: "send-failed", reason: event.reason }]);
      return stay(state);
    case "ended":
      return stay(state);
  }
}
