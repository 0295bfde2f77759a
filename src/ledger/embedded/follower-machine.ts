/**
 * How a replica follows the ledger: it connects to one source after another from its own size, takes
 * items strictly in order, applies batches in groups, and after a lost stream comes back with a growing
 * delay. Pure; the driver chooses the source, verifies and stores. While the log of a term is distrusted
 * nothing is taken but a later term.
 */
import { appendBatchesMax, followInboxMax } from "../../base/limits.ts";
import type { SealedBatch } from "../ports.ts";
import type { FollowItem } from "./ports.ts";

const retryMsMin = 250;
const retryMsMax = 10_000;
const waryMs = 1000;

export interface FollowerState {
  readonly phase: "idle" | "open" | "waiting" | "stopped";
  /** Number of the stream; events of earlier ones mean nothing. */
  readonly stream: number;
  /** Batches applied here, those of a term that is not open yet among them. */
  readonly size: bigint;
  /** Batches stored here: from there the next stream begins. */
  readonly storedSize: bigint;
  readonly finalSize: bigint;
  /** A term that is not open yet was begun on this stream. */
  readonly isPending: boolean;
  /** The log of the newest term that is known is distrusted. */
  readonly isWary: boolean;
  /** A term that was begun did not open: leaves here that are not final may not be the ledger's. */
  readonly isDoubtful: boolean;
  readonly inbox: readonly FollowItem[];
  /** The driver works on something and will answer with `done`, `failed` or `distrusted`. */
  readonly isBusy: boolean;
  readonly isPaused: boolean;
  /** Streams in a row that ended before anything was taken from them. */
  readonly failures: number;
}

export type FollowerEvent =
  | { readonly kind: "start" }
  | {
      readonly kind: "item";
      readonly stream: number;
      readonly item: FollowItem;
      /** The next item is at hand, so that nothing is begun without it. */
      readonly hasMore?: boolean;
    }
  | { readonly kind: "ended"; readonly stream: number }
  /** What was handed to the driver is verified, and stored up to `storedSize`. */
  | {
      readonly kind: "done";
      readonly size: bigint;
      readonly storedSize: bigint;
      readonly finalSize: bigint;
      /** What is verified belongs to a term that is not open yet. */
      readonly isPending: boolean;
    }
  /** The stream has brought nothing new for long, or a better source is to be tried. */
  | { readonly kind: "stale"; readonly stream: number }
  /** It could not be judged now, as when a blob could not be fetched. */
  | {
      readonly kind: "failed";
      /** Batches stored here, when some were dropped. */
      readonly storedSize?: bigint;
      /** A batch had no place behind the leaves here: they may be the ones that are wrong. */
      readonly isUnfit?: boolean;
    }
  | { readonly kind: "distrusted" }
  /** A later term has begun: its log is trusted again. */
  | { readonly kind: "trusted" }
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
  | { readonly kind: "term opened"; readonly term: bigint; readonly start: bigint }
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
    storedSize: stored.size,
    isPending: false,
    isWary: false,
    isDoubtful: false,
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
      return takeIn({ ...state, inbox: [...state.inbox, event.item] }, event.hasMore === true);
    case "ended":
      if (state.phase !== "open" || event.stream !== state.stream) return { state, effects: [] };
      return wait(state, []);
    case "stale":
      if (state.phase !== "open" || event.stream !== state.stream) return { state, effects: [] };
      return wait(state, [{ kind: "disconnect" }]);
    case "done": {
      const { kind: _, ...done } = event;
      // Anyone can begin a term that never opens.
      if (done.isPending) return afterWork({ ...state, ...done });
      return afterWork({ ...state, ...done, isDoubtful: false, failures: 0 });
    }
    case "failed": {
      const { storedSize = state.storedSize, isUnfit = false } = event;
      const after = { ...state, storedSize, isPending: state.isPending || isUnfit };
      return state.phase === "open"
        ? wait({ ...after, isBusy: false }, [{ kind: "disconnect" }])
        : afterWork(after);
    }
    case "distrusted":
      return distrust({ ...state, isWary: true });
    case "trusted":
      return { state: { ...state, isWary: false }, effects: [] };
    case "stop":
      return {
        state: { ...state, phase: "stopped", inbox: [], isBusy: false },
        effects: state.phase === "open" ? [{ kind: "disconnect" }] : [],
      };
  }
}

/** Only a later term is looked for, and seldom: it needs the votes of the cities. */
function distrust(state: FollowerState): FollowerStep {
  const disconnect: readonly FollowerEffect[] =
    state.phase === "open" ? [{ kind: "disconnect" }] : [];
  return wait(state, disconnect);
}

function connect(state: FollowerState): FollowerStep {
  const stream = state.stream + 1;
  const { finalSize: fromFinalSize } = state;
  // What is final stands in every term: from there a later one is followed up, in memory until it opens.
  const isPending = state.isWary || state.isDoubtful;
  const size = isPending ? fromFinalSize : state.storedSize;
  return {
    state: { ...state, phase: "open", stream, size, isPending, inbox: [], isPaused: false },
    effects: [{ kind: "connect", stream, fromIndex: size, fromFinalSize }],
  };
}

/** Items of the ended stream that are not begun are dropped: the next stream brings them again. */
function wait(state: FollowerState, effects: readonly FollowerEffect[]): FollowerStep {
  const growing = Math.min(retryMsMax, retryMsMin * 2 ** Math.min(state.failures, 10));
  const delayMs = state.isWary ? Math.max(waryMs, growing) : growing;
  // A later source may open nothing: then the leaves at hand are as good as any, and are tried again. Who is
  // wary has asked from what is final on already, and goes to the next source.
  const isDoubtful = state.isPending && !state.isDoubtful && !state.isWary;
  return {
    state: { ...state, phase: "waiting", isDoubtful, inbox: [], failures: state.failures + 1 },
    effects: [...effects, { kind: "wait", delayMs }],
  };
}

function afterWork(state: FollowerState): FollowerStep {
  const idle = { ...state, isBusy: false };
  if (idle.phase === "open") return work(idle, []);
  // The delay may have passed while the driver was at work: it is asked for again.
  return { state: idle, effects: [{ kind: "wait", delayMs: retryMsMin }] };
}

/** What comes together is applied together. */
function takeIn(state: FollowerState, hasMore: boolean): FollowerStep {
  return hasMore ? { state, effects: [] } : work(state, []);
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
  // What a distrusted log shows is not looked at; only a later term opens another way on.
  const isOpening = first.kind === "term opened" || state.isPending;
  if (state.isWary && !isOpening) return "out of order";
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
