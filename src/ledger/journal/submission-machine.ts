/**
 * How the own chain reaches the ledger (RECORDS.md, states of a batch).
 *
 * A step machine: `stepSubmission` changes the state in place and returns what the driver has to do.
 * Batches go to the engine in the order of the chain, several at a time, and again until they are
 * final: a submit is idempotent, so an answer that was lost costs nothing but another one. What is
 * final only the own replica says; what is included is the engine's word.
 */
import { assertInvariant } from "../../base/errors.ts";
import {
  submissionsInFlightMax,
  submitAgainMs,
  submitBackoffMaxMs,
  submitBackoffMinMs,
} from "../../base/limits.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import type { Mark } from "./store.ts";

export type SubmissionEvent =
  /** Batches up to this number, exclusive, are durable in the journal. */
  | { readonly kind: "sealed"; readonly count: number }
  | {
      readonly kind: "included";
      readonly number: number;
      readonly index: bigint;
      readonly term: bigint;
    }
  | { readonly kind: "rejected"; readonly number: number; readonly reason: ReasonCode }
  /** The engine could not be reached, or gave no answer. */
  | { readonly kind: "unavailable"; readonly number: number }
  /** The replica has the batch below a final checkpoint; told in the order of the chain. */
  | {
      readonly kind: "final";
      readonly number: number;
      readonly index: bigint;
      readonly term: bigint;
      readonly size: bigint;
    }
  /** The ledger goes on from an earlier size: what is not final may have to come again. */
  | { readonly kind: "term-changed" }
  /** The timer that was asked for last. */
  | { readonly kind: "timer" }
  | { readonly kind: "stop" };

export type SubmissionEffect =
  | { readonly kind: "submit"; readonly number: number }
  | { readonly kind: "mark"; readonly mark: Mark }
  /** Replaces the timer that was asked for before. */
  | { readonly kind: "timer"; readonly afterMs: number }
  /** The ledger refuses the chain's next batch for good: nothing more is to be sealed. */
  | { readonly kind: "refused"; readonly number: number; readonly reason: ReasonCode };

/** A call of the engine that has not been answered. */
interface Call {
  /** Every batch before it was included when it was made: a rejection stands. */
  readonly conclusive: boolean;
  /** It was made before a change of term: its answer says nothing any more. */
  stale: boolean;
}

/** Changed in place by `stepSubmission`; final ≤ included ≤ sealed. */
export interface SubmissionState {
  /** Batches before this number are durable in the journal. */
  sealedCount: number;
  /** Batches before this number are included, as far as the engine's word goes. */
  includedCount: number;
  finalCount: number;
  /** Included batches from `includedCount` on: an answer of one before them is missing. */
  readonly ahead: Set<number>;
  readonly calls: Map<number, Call>;
  /** Calls at one time: 1 after a failure, until a batch is included. */
  window: number;
  /** Failures since a batch was included. */
  failures: number;
  timer: "none" | "backoff" | "again";
  /** `finalCount` when the timer for another submit was asked for. */
  finalAtTimer: number;
  phase: "running" | "refused" | "stopped";
}

/** The state of a journal of `sealedCount` batches of which the first `finalCount` are final. */
export function createSubmissionState(journal: {
  sealedCount: number;
  finalCount: number;
}): SubmissionState {
  return {
    sealedCount: journal.sealedCount,
    includedCount: journal.finalCount,
    finalCount: journal.finalCount,
    ahead: new Set(),
    calls: new Map(),
    window: submissionsInFlightMax,
    failures: 0,
    timer: "none",
    finalAtTimer: 0,
    phase: "running",
  };
}

export function stepSubmission(state: SubmissionState, event: SubmissionEvent): SubmissionEffect[] {
  if (state.phase === "stopped") return [];
  const effects: SubmissionEffect[] = [];
  apply(state, event, effects);
  if (state.phase === "running") submitNext(state, effects);
  return effects;
}

function apply(state: SubmissionState, event: SubmissionEvent, effects: SubmissionEffect[]): void {
  switch (event.kind) {
    case "sealed":
      state.sealedCount = Math.max(state.sealedCount, event.count);
      return;
    case "included":
      if (answered(state, event.number) !== undefined) include(state, event, effects);
      return;
    case "rejected": {
      const call = answered(state, event.number);
      if (call !== undefined) reject(state, { ...event, call }, effects);
      return;
    }
    case "unavailable":
      if (answered(state, event.number) !== undefined) backOff(state, effects);
      return;
    case "final":
      finalise(state, event, effects);
      return;
    case "term-changed":
      takeBackIncluded(state, effects);
      return;
    case "timer":
      onTimer(state, effects);
      return;
    case "stop":
      state.phase = "stopped";
  }
}

/** Ends a call. `undefined` when its answer has nothing to say. */
function answered(state: SubmissionState, number: number): Call | undefined {
  const call = state.calls.get(number);
  state.calls.delete(number);
  return call === undefined || call.stale || number < state.finalCount ? undefined : call;
}

function include(
  state: SubmissionState,
  event: { number: number; index: bigint; term: bigint },
  effects: SubmissionEffect[],
): void {
  const { number, index, term } = event;
  state.failures = 0;
  state.window = submissionsInFlightMax;
  effects.push({ kind: "mark", mark: { number, stage: "included", index, term } });
  if (number >= state.includedCount) state.ahead.add(number);
  passIncluded(state);
}

/** What was included and not final may stand nowhere in the new term. */
function takeBackIncluded(state: SubmissionState, effects: SubmissionEffect[]): void {
  for (const call of state.calls.values()) call.stale = true;
  const before = Array.from({ length: state.includedCount - state.finalCount }, (_, i) => {
    return state.finalCount + i;
  });
  for (const number of [...before, ...state.ahead].toSorted((a, b) => a - b)) {
    effects.push({ kind: "mark", mark: { number, stage: "submitted" } });
  }
  state.ahead.clear();
  state.includedCount = state.finalCount;
}

function passIncluded(state: SubmissionState): void {
  while (state.ahead.delete(state.includedCount)) state.includedCount += 1;
}

function reject(
  state: SubmissionState,
  event: { number: number; reason: ReasonCode; call: Call },
  effects: SubmissionEffect[],
): void {
  const { number, reason, call } = event;
  // A blob that a statement names may still be under way to the engine.
  if (reason === "BLOB_MISSING") return backOff(state, effects);
  // The batch before it was included and is not final: a term that is not known here goes on without it.
  if (call.conclusive && reason === "CHAIN_GAP" && number > state.finalCount) {
    takeBackIncluded(state, effects);
    return backOff(state, effects);
  }
  if (call.conclusive) {
    state.phase = "refused";
    effects.push({ kind: "refused", number, reason });
    return;
  }
  // One before it did not arrive: the chain goes on in single file until one is included.
  state.window = 1;
}

function backOff(state: SubmissionState, effects: SubmissionEffect[]): void {
  state.window = 1;
  // Calls that fail together are one failure.
  if (state.timer === "backoff") return;
  const afterMs = Math.min(submitBackoffMinMs * 2 ** state.failures, submitBackoffMaxMs);
  state.failures += 1;
  state.timer = "backoff";
  effects.push({ kind: "timer", afterMs });
}

function finalise(
  state: SubmissionState,
  event: { number: number; index: bigint; term: bigint; size: bigint },
  effects: SubmissionEffect[],
): void {
  const { number, index, term, size } = event;
  assertInvariant(number === state.finalCount, `batch ${number} is final before those below it`);
  state.finalCount += 1;
  state.ahead.delete(number);
  state.includedCount = Math.max(state.includedCount, state.finalCount);
  state.sealedCount = Math.max(state.sealedCount, state.finalCount);
  passIncluded(state);
  effects.push({ kind: "mark", mark: { number, stage: "final", index, term, finalSize: size } });
}

function onTimer(state: SubmissionState, effects: SubmissionEffect[]): void {
  const { timer, finalCount } = state;
  state.timer = "none";
  const stands = timer === "again" && state.finalAtTimer === finalCount;
  if (!stands || state.phase !== "running" || finalCount === state.includedCount) return;
  // Nothing became final for long: the ledger may have lost the batch that all others wait for.
  if (!state.calls.has(finalCount)) call(state, finalCount, effects);
}

function submitNext(state: SubmissionState, effects: SubmissionEffect[]): void {
  if (state.timer === "backoff") return;
  for (let next = state.includedCount; next < state.sealedCount; next++) {
    if (state.calls.size >= state.window) break;
    if (state.window === 1 && next > state.includedCount) break;
    if (state.calls.has(next) || state.ahead.has(next)) continue;
    effects.push({ kind: "mark", mark: { number: next, stage: "submitted" } });
    call(state, next, effects);
  }
  if (state.timer !== "none" || state.includedCount === state.finalCount) return;
  state.timer = "again";
  state.finalAtTimer = state.finalCount;
  effects.push({ kind: "timer", afterMs: submitAgainMs });
}

function call(state: SubmissionState, number: number, effects: SubmissionEffect[]): void {
  state.calls.set(number, { conclusive: number <= state.includedCount, stale: false });
  effects.push({ kind: "submit", number });
}
