/**
 * A city's witness: what it answers to `add-checkpoint`, and when it may cosign. It promises one growing
 * tree per origin, and only what its own replica has stored and verified. Pure; the driver asks the
 * replica, stores the promise before anything is answered, and signs. FORMATS.md section 6.
 */
import { equalBytes } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { witnessWaitingMax } from "../../base/limits.ts";
import { emptyRoot } from "../../merkle/hash.ts";
import { verifyConsistency } from "../../merkle/verify.ts";
import { type AddCheckpointRequest, parseAddCheckpoint } from "../../note/add-checkpoint.ts";
import type { WitnessedHead } from "../store/store.ts";
import type { WitnessAnswer } from "./ports.ts";
import { conflictAnswer, witnessAnswer } from "./witness-answers.ts";

/** A checkpoint whose log signature verified. */
export interface OpenedCheckpoint {
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly note: Uint8Array;
}

export type CheckpointReading =
  | { readonly kind: "signed"; readonly checkpoint: OpenedCheckpoint }
  | { readonly kind: "malformed" | "origin unknown" | "not signed" };

export interface WitnessConfig {
  /** Reads a note against the keys of the logs that this witness follows. */
  readCheckpoint(note: Uint8Array): CheckpointReading;
  /** How long a request waits for the replica. */
  readonly waitMs: number;
}

/** What the replica says of the tree at a size. */
export type ReplicaVerdict =
  /** Every body is stored and verified, and the registry digest is that of the sequencer. */
  | { readonly kind: "stands"; readonly root: Uint8Array }
  | { readonly kind: "behind" }
  | { readonly kind: "distrusted" };

interface Waiting {
  readonly request: AddCheckpointRequest;
  readonly checkpoint: OpenedCheckpoint;
  readonly deadlineMs: number;
}

export interface WitnessState {
  readonly config: WitnessConfig;
  /** Promises by origin, as stored. */
  readonly promises: ReadonlyMap<string, WitnessedHead>;
  readonly waiting: ReadonlyMap<number, Waiting>;
}

export type WitnessEvent =
  | { readonly kind: "request"; readonly id: number; readonly body: Uint8Array }
  | { readonly kind: "replica"; readonly id: number; readonly verdict: ReplicaVerdict }
  /** The replica may say something else now. */
  | { readonly kind: "changed" }
  /** The promise is durable; or it was not written because the stored one is `latest`. */
  | {
      readonly kind: "promised";
      readonly id: number;
      readonly latest: WitnessedHead;
      readonly isNew: boolean;
    }
  | { readonly kind: "tick" };

export type WitnessEffect =
  | { readonly kind: "answer"; readonly id: number; readonly answer: WitnessAnswer }
  | { readonly kind: "ask replica"; readonly id: number; readonly size: bigint }
  | {
      readonly kind: "promise";
      readonly id: number;
      readonly origin: string;
      readonly before: WitnessedHead | undefined;
      readonly after: WitnessedHead;
    }
  | { readonly kind: "cosign"; readonly id: number; readonly checkpoint: OpenedCheckpoint }
  /** The log signed a tree that is not the one held: both heads are evidence. */
  | { readonly kind: "fork"; readonly held: Uint8Array | undefined; readonly shown: Uint8Array }
  | { readonly kind: "wake"; readonly delayMs: number };

export interface WitnessStep {
  readonly state: WitnessState;
  readonly effects: readonly WitnessEffect[];
}

export function initialWitness(
  config: WitnessConfig,
  promises: ReadonlyMap<string, WitnessedHead>,
): WitnessState {
  return { config, promises, waiting: new Map() };
}

export function stepWitness(
  state: WitnessState,
  event: WitnessEvent,
  monotonicMs: number,
): WitnessStep {
  switch (event.kind) {
    case "request":
      return receive(state, event, monotonicMs);
    case "replica":
      return hearReplica(state, event);
    case "changed":
      return {
        state,
        effects: [...state.waiting].map(([id, { checkpoint }]) => ({
          kind: "ask replica",
          id,
          size: checkpoint.size,
        })),
      };
    case "promised":
      return keepPromise(state, event);
    case "tick":
      return expire(state, monotonicMs);
  }
}

function receive(
  state: WitnessState,
  event: { readonly id: number; readonly body: Uint8Array },
  monotonicMs: number,
): WitnessStep {
  const { id } = event;
  const refuse = (answer: WitnessAnswer): WitnessStep => ({
    state,
    effects: [{ kind: "answer", id, answer }],
  });
  const request = readRequest(event.body);
  if (request === undefined) return refuse(witnessAnswer(400, "malformed request\n"));
  const reading = state.config.readCheckpoint(request.checkpoint);
  switch (reading.kind) {
    case "malformed":
      return refuse(witnessAnswer(400, "malformed checkpoint\n"));
    case "origin unknown":
      return refuse(witnessAnswer(404, "unknown origin\n"));
    case "not signed":
      return refuse(witnessAnswer(403, "no valid signature of the log\n"));
    case "signed":
      break;
  }
  const { checkpoint } = reading;
  const refusal = judge(state, request, checkpoint);
  if (refusal !== undefined) return { state, effects: refusalEffects(id, refusal) };
  if (state.waiting.size >= witnessWaitingMax) return refuse(witnessAnswer(503, "busy\n"));
  const { waitMs } = state.config;
  const waiting = new Map(state.waiting);
  waiting.set(id, { request, checkpoint, deadlineMs: monotonicMs + waitMs });
  return {
    state: { ...state, waiting },
    effects: [
      { kind: "ask replica", id, size: checkpoint.size },
      { kind: "wake", delayMs: waitMs },
    ],
  };
}

function readRequest(body: Uint8Array): AddCheckpointRequest | undefined {
  try {
    return parseAddCheckpoint(body);
  } catch (error) {
    if (error instanceof CausewayError) return undefined;
    throw error;
  }
}

interface Refusal {
  readonly answer: WitnessAnswer;
  readonly fork?: { readonly held: Uint8Array | undefined; readonly shown: Uint8Array };
}

/** The rows of FORMATS.md section 6 from the sizes on, in their order; `undefined` when the promise may grow. */
function judge(
  state: WitnessState,
  request: AddCheckpointRequest,
  checkpoint: OpenedCheckpoint,
): Refusal | undefined {
  const { oldSize, proof } = request;
  const latest = state.promises.get(checkpoint.origin);
  if (oldSize > checkpoint.size) {
    return { answer: witnessAnswer(400, "old size above the checkpoint's\n") };
  }
  if (oldSize !== (latest?.size ?? 0n)) return { answer: conflictAnswer(latest?.size ?? 0n) };
  const unprocessable = witnessAnswer(422, "the checkpoint does not extend the cosigned one\n");
  if (checkpoint.size === 0n && !equalBytes(checkpoint.root, emptyRoot)) {
    return { answer: unprocessable };
  }
  if (oldSize === 0n) return proof.length === 0 ? undefined : { answer: unprocessable };
  const { size: size1, root: root1, note: held } = latest as WitnessedHead;
  if (checkpoint.size === size1 && !equalBytes(checkpoint.root, root1)) {
    return { answer: unprocessable, fork: { held, shown: checkpoint.note } };
  }
  const sizes = { size1, root1, size2: checkpoint.size, root2: checkpoint.root };
  return isConsistent({ ...sizes, proof }) ? undefined : { answer: unprocessable };
}

function isConsistent(options: Parameters<typeof verifyConsistency>[0]): boolean {
  try {
    return verifyConsistency(options);
  } catch (error) {
    if (error instanceof CausewayError && error.code === "PROOF_INVALID") return false;
    throw error;
  }
}

function refusalEffects(id: number, refusal: Refusal): readonly WitnessEffect[] {
  const answer: WitnessEffect = { kind: "answer", id, answer: refusal.answer };
  return refusal.fork === undefined ? [answer] : [answer, { kind: "fork", ...refusal.fork }];
}

function hearReplica(
  state: WitnessState,
  event: { readonly id: number; readonly verdict: ReplicaVerdict },
): WitnessStep {
  const { id, verdict } = event;
  const waiting = state.waiting.get(id);
  if (waiting === undefined || verdict.kind === "behind") return { state, effects: [] };
  if (verdict.kind === "distrusted") {
    return finish(state, id, {
      answer: witnessAnswer(503, "the replica trusts this log no more\n"),
    });
  }
  const { request, checkpoint } = waiting;
  const latest = state.promises.get(checkpoint.origin);
  if (!equalBytes(verdict.root, checkpoint.root)) {
    return finish(state, id, {
      answer: witnessAnswer(422, "the replica has another tree\n"),
      fork: { held: undefined, shown: checkpoint.note },
    });
  }
  // The promise may have grown while this request waited.
  const refusal = judge(state, request, checkpoint);
  if (refusal !== undefined) return finish(state, id, refusal);
  const { origin, size, root, note } = checkpoint;
  const after: WitnessedHead = { size, root, note };
  return { state, effects: [{ kind: "promise", id, origin, before: latest, after }] };
}

function finish(state: WitnessState, id: number, refusal: Refusal): WitnessStep {
  return { state: withoutWaiting(state, id), effects: refusalEffects(id, refusal) };
}

function keepPromise(
  state: WitnessState,
  event: { readonly id: number; readonly latest: WitnessedHead; readonly isNew: boolean },
): WitnessStep {
  const { id, latest, isNew } = event;
  const waiting = state.waiting.get(id);
  if (waiting === undefined) return { state, effects: [] };
  const { checkpoint } = waiting;
  const promises = new Map(state.promises).set(checkpoint.origin, latest);
  return {
    state: withoutWaiting({ ...state, promises }, id),
    effects: isNew
      ? [{ kind: "cosign", id, checkpoint }]
      : [{ kind: "answer", id, answer: conflictAnswer(latest.size) }],
  };
}

function expire(state: WitnessState, monotonicMs: number): WitnessStep {
  let next = state;
  const effects: WitnessEffect[] = [];
  for (const [id, { deadlineMs }] of state.waiting) {
    if (monotonicMs < deadlineMs) continue;
    next = withoutWaiting(next, id);
    const answer = witnessAnswer(503, "the replica has not reached this size\n");
    effects.push({ kind: "answer", id, answer });
  }
  const deadlines = [...next.waiting.values()].map(({ deadlineMs }) => deadlineMs - monotonicMs);
  if (deadlines.length > 0) effects.push({ kind: "wake", delayMs: Math.min(...deadlines) });
  return { state: next, effects };
}

function withoutWaiting(state: WitnessState, id: number): WitnessState {
  const waiting = new Map(state.waiting);
  waiting.delete(id);
  return { ...state, waiting };
}
