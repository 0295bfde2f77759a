/**
 * The provider's side of one attempt as a step machine: what it does next, in pure form. The driver
 * executes the effects and feeds back what happened.
 *
 * Two rules are kept here. Nothing of an answer is released before the receipt that covers it is
 * durable; and an attempt with a record closes with exactly one: a final Receipt, a Refusal or Closed.
 * A segment is what the upstream gave since the last seal: one receipt is under way at a time, and none is
 * begun while `window` released ones are not acknowledged. The answer of a unary method is one segment.
 *
 * A crash between two steps means: before the first seal nothing is known of the attempt here; after
 * Opened, or a receipt that is not final, is durable the restart closes it GATEWAY_RESTARTED; after the
 * final receipt is durable it is closed.
 */
import type { ReasonCode } from "../base/reasons.ts";

export type Phase = "judging" | "opening" | "calling" | "closing" | "ended";

/** Why an attempt ended from outside. */
export type Interruption = "cancelled" | "deadline" | "peer-lost" | "shutdown";

/** How an attempt closes without a final receipt. */
interface Ending {
  readonly outcome: ClosedOutcome;
  readonly reason: ReasonCode;
}

export interface ProviderState {
  readonly phase: Phase;
  /** Opened or a receipt is durable. */
  readonly onRecord: boolean;
  /** Whether the upstream may have had an effect. */
  readonly upstreamCalled: boolean;
  readonly interruption: Interruption | undefined;
  /** The answer is released segment by segment; of a unary method it is one. */
  readonly streaming: boolean;
  /** The receipt that is being sealed. */
  readonly sealing: "segment" | "final" | undefined;
  /** The upstream gave something since the last receipt was begun. */
  readonly pending: boolean;
  /** The upstream's status is known: nothing more comes. */
  readonly answered: boolean;
  /** Segments released and not acknowledged, and how many there may be. */
  readonly unacknowledged: number;
  readonly window: number;
  /** How the attempt closes once what is under way is sealed. */
  readonly ending: Ending | undefined;
}

export type ProviderEvent =
  | {
      readonly kind: "permitted";
      readonly writes: boolean;
      readonly streaming: boolean;
      readonly window: number;
    }
  /** Token, statement, grant or policy says no. */
  | { readonly kind: "denied" }
  /** No answer that leaves a record: a stale nonce, or a replica that is behind. */
  | { readonly kind: "turned-away" }
  | { readonly kind: "opened" }
  /** Headers or a message of the upstream. */
  | { readonly kind: "progressed" }
  /** The upstream's status. */
  | { readonly kind: "answered" }
  | { readonly kind: "answer-unusable"; readonly reason: ReasonCode }
  /** What the attempt rests on is taken away, or its time is over. */
  | { readonly kind: "taken"; readonly reason: ReasonCode }
  | { readonly kind: "upstream-failed"; readonly reason: ReasonCode }
  /** The consumer has acknowledged a segment. */
  | { readonly kind: "acknowledged" }
  /** What was being sealed is durable; `replaced` when its recheck put a closing record in its place. */
  | { readonly kind: "sealed"; readonly replaced: boolean }
  | { readonly kind: "seal-failed"; readonly reason: ReasonCode }
  /** What was sealed is durable, and is not to be released: it did not become final. */
  | { readonly kind: "withheld"; readonly reason: ReasonCode }
  | { readonly kind: "interrupted"; readonly by: Interruption };

export type ProviderEffect =
  | { readonly kind: "seal-opened" }
  | { readonly kind: "call-upstream" }
  | { readonly kind: "cancel-upstream" }
  /** Seal a receipt for everything that is pending; a final one holds the status. */
  | { readonly kind: "seal-receipt"; readonly final: boolean }
  /** Seal a Refusal: the attempt has no record yet. Without a reason it is the one judged. */
  | { readonly kind: "seal-refusal"; readonly reason: ReasonCode | undefined }
  | {
      readonly kind: "seal-closed";
      readonly outcome: Exclude<ClosedOutcome, "revoked">;
      readonly reason: ReasonCode;
    }
  /** Seal what says that authority was taken away: a refusal when the attempt has no record yet, else its closing. */
  | { readonly kind: "seal-taken" }
  /** Send what was sealed, in-band: a segment with its receipt, or the refusal or closing. */
  | { readonly kind: "release" }
  | { readonly kind: "send-failed"; readonly reason: ReasonCode }
  | { readonly kind: "forget" };

export type ClosedOutcome =
  | "upstream-error"
  | "gateway-error"
  | "limit"
  | "cancelled"
  | "deadline"
  | "peer-lost"
  | "shutdown"
  | "revoked";

export const initialProviderState: ProviderState = {
  phase: "judging",
  onRecord: false,
  upstreamCalled: false,
  interruption: undefined,
  streaming: false,
  sealing: undefined,
  pending: false,
  answered: false,
  unacknowledged: 0,
  window: 1,
  ending: undefined,
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
  return {
    state: { ...state, phase: "ended", sealing: undefined },
    effects: [...effects, { kind: "forget" }],
  };
}

function stay(state: ProviderState): Step {
  return { state, effects: [] };
}

/** Ends an attempt that will have no answer: with a record when it has one, silently when not. */
function abandon(
  state: ProviderState,
  { outcome, reason }: Ending,
  before: readonly ProviderEffect[] = [],
): Step {
  const closing: ProviderState = { ...state, phase: "closing", sealing: undefined };
  if (outcome === "revoked") {
    return { state: closing, effects: [...before, { kind: "seal-taken" }] };
  }
  if (!state.onRecord) return ended(state, [...before, { kind: "send-failed", reason }]);
  return { state: closing, effects: [...before, { kind: "seal-closed", outcome, reason }] };
}

/** Begins the next receipt, or the closing, when nothing is under way. */
function proceed(state: ProviderState, before: readonly ProviderEffect[] = []): Step {
  const wait: Step = { state, effects: before };
  if (state.sealing !== undefined) return wait;
  const { ending, pending, streaming, answered } = state;
  const open = state.unacknowledged < state.window;
  // What came before the upstream failed is receipted and handed over first, however long the window is closed,
  // unless somebody has stopped waiting for it.
  const due = streaming && pending && state.interruption === undefined;
  if (ending !== undefined && !due) return abandon(state, ending, before);
  if (answered && open && ending === undefined) {
    return {
      state: { ...state, sealing: "final", pending: false },
      effects: [...before, { kind: "seal-receipt", final: true }],
    };
  }
  if (!due || !open) return wait;
  return {
    state: { ...state, sealing: "segment", pending: false },
    effects: [...before, { kind: "seal-receipt", final: false }],
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
    case "calling": {
      // A closing counts from the moment that it is queued.
      if (state.sealing === "final") return stay(state);
      const ending = { outcome: by, reason: reasonOfInterruption[by] };
      return proceed({ ...marked, ending }, [{ kind: "cancel-upstream" }]);
    }
    case "closing":
    case "ended":
      return stay(state);
  }
}

function callUpstream(state: ProviderState): Step {
  return {
    state: { ...state, phase: "calling", upstreamCalled: true },
    effects: [{ kind: "call-upstream" }],
  };
}

/** A request that cannot be carried, before the upstream is called: it is kept until the call can be closed. */
function unusableEarly(state: ProviderState, reason: ReasonCode): ProviderState {
  return { ...state, ending: state.ending ?? { outcome: "limit", reason } };
}

function opened(state: ProviderState): Step {
  const recorded: ProviderState = { ...state, onRecord: true };
  const by = state.interruption;
  if (by !== undefined) return abandon(recorded, { outcome: by, reason: reasonOfInterruption[by] });
  return state.ending === undefined ? callUpstream(recorded) : abandon(recorded, state.ending);
}

function sealedSegment(state: ProviderState, replaced: boolean): Step {
  if (replaced) return ended(state, [{ kind: "cancel-upstream" }, { kind: "release" }]);
  if (state.sealing === "final") return ended(state, [{ kind: "release" }]);
  const unacknowledged = state.unacknowledged + 1;
  const next: ProviderState = { ...state, onRecord: true, sealing: undefined, unacknowledged };
  return proceed(next, [{ kind: "release" }]);
}

function withheld(state: ProviderState, reason: ReasonCode): Step {
  const cancel: ProviderEffect = { kind: "cancel-upstream" };
  // The attempt is closed by the receipt itself.
  if (state.sealing === "final") return ended(state, [cancel, { kind: "send-failed", reason }]);
  const ending = state.ending ?? { outcome: "gateway-error", reason };
  return abandon({ ...state, onRecord: true }, ending, [cancel]);
}

function calling(state: ProviderState, event: ProviderEvent): Step {
  switch (event.kind) {
    case "progressed":
      // Behind a failure nothing comes, and of what cannot be released nothing more is.
      if (state.answered || state.ending !== undefined) return stay(state);
      return proceed({ ...state, pending: true });
    case "answered":
      return state.ending === undefined ? proceed({ ...state, answered: true }) : stay(state);
    case "acknowledged":
      return proceed({ ...state, unacknowledged: Math.max(0, state.unacknowledged - 1) });
    case "upstream-failed": {
      if (state.answered || state.ending !== undefined) return stay(state);
      return proceed({ ...state, ending: { outcome: "upstream-error", reason: event.reason } });
    }
    case "answer-unusable": {
      if (state.sealing === "final" || state.ending !== undefined) return stay(state);
      const cancel: ProviderEffect = { kind: "cancel-upstream" };
      if (state.onRecord || state.sealing !== undefined) {
        const ending: Ending = { outcome: "limit", reason: event.reason };
        return proceed({ ...state, pending: false, ending }, [cancel]);
      }
      return {
        state: { ...state, phase: "closing" },
        effects: [cancel, { kind: "seal-refusal", reason: event.reason }],
      };
    }
    case "taken": {
      // The turn that closes the batch decides of what is in it.
      if (state.sealing === "final") return stay(state);
      const ending: Ending = { outcome: "revoked", reason: event.reason };
      return proceed({ ...state, pending: false, ending }, [{ kind: "cancel-upstream" }]);
    }
    case "sealed":
      return state.sealing === undefined ? stay(state) : sealedSegment(state, event.replaced);
    case "withheld":
      return state.sealing === undefined ? stay(state) : withheld(state, event.reason);
    case "seal-failed":
      if (state.sealing === undefined) return stay(state);
      return ended(state, [
        { kind: "cancel-upstream" },
        { kind: "send-failed", reason: event.reason },
      ]);
    default:
      return stay(state);
  }
}

function judged(state: ProviderState, event: ProviderEvent): Step {
  if (event.kind === "denied") {
    return {
      state: { ...state, phase: "closing" },
      effects: [{ kind: "seal-refusal", reason: undefined }],
    };
  }
  if (event.kind === "turned-away") return ended(state, []);
  if (event.kind === "answer-unusable") return stay(unusableEarly(state, event.reason));
  if (event.kind !== "permitted") return stay(state);
  const { streaming, window } = event;
  // Only a stream has a request that comes after its call.
  const ending = streaming ? state.ending : undefined;
  const permitted: ProviderState = { ...state, streaming, window, ending };
  if (ending !== undefined) {
    return {
      state: { ...permitted, phase: "closing" },
      effects: [{ kind: "seal-refusal", reason: ending.reason }],
    };
  }
  return event.writes
    ? { state: { ...permitted, phase: "opening" }, effects: [{ kind: "seal-opened" }] }
    : callUpstream(permitted);
}

/** One step. An event that the phase does not expect changes nothing: it comes from a race that was lost. */
export function stepProvider(state: ProviderState, event: ProviderEvent): Step {
  if (event.kind === "interrupted") return interrupted(state, event.by);
  switch (state.phase) {
    case "judging":
      return judged(state, event);
    case "opening":
      if (event.kind === "opened") return opened(state);
      if (event.kind === "answer-unusable") return stay(unusableEarly(state, event.reason));
      if (event.kind === "taken") {
        return stay({ ...state, ending: { outcome: "revoked", reason: event.reason } });
      }
      // The recheck refused it: that refusal is durable and closes the attempt.
      if (event.kind === "sealed") return ended(state, [{ kind: "release" }]);
      if (event.kind === "seal-failed")
        return ended(state, [{ kind: "send-failed", reason: event.reason }]);
      return stay(state);
    case "calling":
      return calling(state, event);
    case "closing":
      if (event.kind === "sealed") return ended(state, [{ kind: "release" }]);
      if (event.kind === "seal-failed")
        return ended(state, [{ kind: "send-failed", reason: event.reason }]);
      return stay(state);
    case "ended":
      return stay(state);
  }
}
