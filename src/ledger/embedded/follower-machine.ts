/**
 * How a replica follows a sequencer: it connects from its own size, takes items strictly in order,
 * applies batches in groups, and after a lost stream comes back with a growing delay. Pure; the driver
 * verifies and stores. Once the ledger is distrusted nothing is connected any more.
 */
import { appendBatchesMax, followInboxMax } from "../../base/limits.ts";
import type { SealedBatch } from "../ports.ts";
import type { FollowItem } from "./ports.ts";

const retryMsMin = 250;
const retryMsMax = 10_000;

export interface FollowerState {
  readonly phase: "idle" | "open" | "waiting" | "stopped";
  /** Number of the stream; events of earlier ones mean nothing. */
  readonly stream: number;
  /** Batches applied here. */
  readonly size: bigint;
  readonly finalSize: bigint;
  readonly inbox: readonly FollowItem[];
  /** The driver works on something and will answer with `done`, `failed` or `distrusted`. */
  readonly isBusy: boolean;
  readonly isPaused: boolean;
  /** Streams in a row that ended before anything was taken from them. */
  readonly failures: number;
}

export type FollowerEvent =
  | { readonly kind: "start" }
  | { readonly kind: "item"; readonly stream: number; readonly item: FollowItem }
  | { readonly kind: "ended"; readonly stream: number }
  /** What was handed to the driver is verified and stored. */
  | { readonly kind: "done"; readonly size: bigint; readonly finalSize: bigint }
  /** It could not be judged now, as when a blob could not be fetched. */
  | { readonly kind: "failed" }
  | { readonly kind: "distrusted" }
  | { readonly kind: "retry" }
  | { readonly kind: "stop" };

export type FollowerEffect =
  | {
      readonly kind: "connect";
      readonly stream: number;
      readonly fromIndex: bigint;
      readonly fromFinalSize: bigint;
    }
  | { readonly kind: "disconnect" }
  | { readonly kind: "pause" }
  | { readonly kind: "resume" }
  | { readonly kind: "apply"; readonly from: bigint; readonly batches: readonly SealedBatch[] }
  | { readonly kind: "head"; readonly note: Uint8Array; readonly registryDigest: Uint8Array }
  | { readonly kind: "final"; readonly note: Uint8Array }
  | { readonly kind: "wait"; readonly delayMs: number };

export interface FollowerStep {
  readonly state: FollowerState;
  readonly effects: readonly FollowerEffect[];
}

export function initialFollower(stored: {
  readonly size: bigint;
  readonly finalSize: bigint;
}): FollowerState {
  return {
    ...stored,
    phase: "idle",
    stream: 0,
    inbox: [],
    isBusy: false,
    isPaused: false,
    failures: 0,
  };
}

export function stepFollower(state: FollowerState, event: FollowerEvent): FollowerStep {
  if (state.phase === "stopped") return { state, effects: [] };
  switch (event.kind) {
    case "start":
      return state.phase === "idle" ? connect(state) : { state, effects: [] };
    case "retry":
      // While the driver still works on the last stream's items, `done` or `failed` comes first.
      return state.phase === "waiting" && !state.isBusy ? connect(state) : { state, effects: [] };
    case "item":
      if (state.phase !== "open" || event.stream !== state.stream) return { state, effects: [] };
      return work({ ...state, inbox: [...state.inbox, event.item] }, []);
    case "ended":
      if (state.phase !== "open" || event.stream !== state.stream) return { state, effects: [] };
      return wait(state, []);
    case "done":
      return afterWork({ ...state, size: event.size, finalSize: event.finalSize, failures: 0 });
    case "failed":
      return state.phase === "open"
        ? wait({ ...state, isBusy: false }, [{ kind: "disconnect" }])
        : afterWork(state);
    case "distrusted":
    case "stop":
      return {
        state: { ...state, phase: "stopped", inbox: [], isBusy: false },
        effects: state.phase === "open" ? [{ kind: "disconnect" }] : [],
      };
  }
}

function connect(state: FollowerState): FollowerStep {
  const stream = state.stream + 1;
  return {
    state: { ...state, phase: "open", stream, inbox: [], isPaused: false },
    effects: [{ kind: "connect", stream, fromIndex: state.size, fromFinalSize: state.finalSize }],
  };
}

/** Items of the ended stream that are not begun are dropped: the next stream brings them again. */
function wait(state: FollowerState, effects: readonly FollowerEffect[]): FollowerStep {
  const delayMs = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(state.failures, 10));
  return {
    state: { ...state, phase: "waiting", inbox: [], failures: state.failures + 1 },
    effects: [...effects, { kind: "wait", delayMs }],
  };
}

function afterWork(state: FollowerState): FollowerStep {
  const idle = { ...state, isBusy: false };
  if (idle.phase === "open") return work(idle, []);
  // The delay may have passed while the driver was at work: it is asked for again.
  return { state: idle, effects: [{ kind: "wait", delayMs: retryMsMin }] };
}

function work(state: FollowerState, before: readonly FollowerEffect[]): FollowerStep {
  const taken = state.isBusy ? undefined : take(state);
  if (taken === "out of order") return wait(state, [...before, { kind: "disconnect" }]);
  const next = taken === undefined ? state : { ...state, inbox: taken.rest, isBusy: true };
  const effects = taken === undefined ? [...before] : [...before, taken.effect];
  const isFull = next.inbox.length >= followInboxMax;
  const isLow = next.inbox.length <= followInboxMax / 2;
  if (isFull && !next.isPaused) {
    return { state: { ...next, isPaused: true }, effects: [...effects, { kind: "pause" }] };
  }
  if (isLow && next.isPaused) {
    return { state: { ...next, isPaused: false }, effects: [...effects, { kind: "resume" }] };
  }
  return { state: next, effects };
}

/** The next thing to do: a run of batches, or one note. */
function take(
  state: FollowerState,
):
  | { readonly effect: FollowerEffect; readonly rest: readonly FollowItem[] }
  | "out of order"
  | undefined {
  const [first] = state.inbox;
  if (first === undefined) return undefined;
  if (first.kind !== "batch") return { effect: first, rest: state.inbox.slice(1) };
  const batches: SealedBatch[] = [];
  for (const item of state.inbox) {
    if (item.kind !== "batch" || batches.length === appendBatchesMax) break;
    if (item.index !== state.size + BigInt(batches.length)) return "out of order";
    batches.push(item.batch);
  }
  return {
    effect: { kind: "apply", from: state.size, batches },
    rest: state.inbox.slice(batches.length),
  };
}
