/**
 * A city's witness: what it answers to `add-checkpoint`, and when it may cosign. It promises one growing
 * tree per origin and no lower term than one that it has promised, and only what its own replica has
 * stored and verified. It holds batches and cosigns nothing that leaves one out for too long. Pure; the
 * driver asks the replica, stores each promise before anything is answered, and signs. FORMATS.md section
 * 6, DESIGN.md section 7.
 */
import { CausewayError } from "../../base/errors.ts";
import { witnessWaitingMax } from "../../base/limits.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import { type AddCheckpointRequest, parseAddCheckpoint } from "../../note/add-checkpoint.ts";
import {
  beginTerm,
  dropFinal,
  forwardInMs,
  holdBatch,
  noteDropped,
  noteIncluded,
  overdueBatches,
  takeForwards,
} from "./held-batches.ts";
import type { WitnessAnswer } from "./ports.ts";
import { conflictAnswer, endedAnswer, witnessAnswer } from "./witness-answers.ts";
import { judge, judgeByReplica, judgeTerm, refusalEffects } from "./witness-judgement.ts";
import {
  askForTerm,
  hearKeyReplaced,
  hearOwnCosignature,
  isSilenced,
  keepTerm,
} from "./witness-terms.ts";
import type {
  OpenedCheckpoint,
  StoredWitness,
  Waiting,
  WitnessConfig,
  WitnessEffect,
  WitnessEvent,
  WitnessState,
  WitnessStep,
} from "./witness-types.ts";

/** Nothing is held and nobody waits; the rest is what the store says. */
export function initialWitness(config: WitnessConfig, stored: StoredWitness): WitnessState {
  const { promises, promisedTerm, promisedChoice, lost } = stored;
  return {
    config,
    promises,
    promisedTerm,
    promisedChoice,
    lost,
    waiting: new Map(),
    held: new Map(),
  };
}

/** After them what is held may have to be passed on, of which nothing was to be before. */
const wakingKinds: ReadonlySet<WitnessEvent["kind"]> = new Set(["tick", "dropped", "term began"]);

export function stepWitness(
  state: WitnessState,
  event: WitnessEvent,
  monotonicMs: number,
): WitnessStep {
  const step = accept(state, event, monotonicMs);
  const { waiting, held } = step.state;
  const hasMore = waiting.size > state.waiting.size || held.size > state.held.size;
  const isSooner = hasMore || wakingKinds.has(event.kind);
  const delayMs = isSooner ? wakeInMs(step.state, monotonicMs) : undefined;
  if (delayMs === undefined) return step;
  return { state: step.state, effects: [...step.effects, { kind: "wake", delayMs }] };
}

function accept(state: WitnessState, event: WitnessEvent, monotonicMs: number): WitnessStep {
  const when = { nowMs: monotonicMs, boundMs: state.config.inclusionBoundMs };
  switch (event.kind) {
    case "request":
      return receive(state, event, monotonicMs);
    case "replica":
      return hearReplica(state, event);
    case "changed":
      return {
        state,
        effects: [...state.waiting].map(([id, { checkpoint }]) =>
          askReplica(state, { id, checkpoint, monotonicMs }),
        ),
      };
    case "promised":
      return keepPromise(state, event);
    case "show":
      return show(state, event);
    case "promise term":
      return askForTerm(state, event);
    case "term stored":
      return keepTerm(state, event);
    case "key replaced":
      return hearKeyReplaced(state, event);
    case "own cosignature":
      return hearOwnCosignature(state, event);
    case "hold":
      return hold(state, event, monotonicMs);
    case "included":
      return quietly(state, { held: noteIncluded(state.held, event.leafHash, event.index) });
    case "dropped":
      return quietly(state, { held: noteDropped(state.held, event.size) });
    case "final":
      return quietly(state, { held: dropFinal(state.held, event.size, event.tips) });
    case "term began":
      return endTermsBelow({ ...state, held: beginTerm(state.held, event.size, when) }, event.term);
    case "tick":
      return expire(state, monotonicMs);
  }
}

function quietly(state: WitnessState, change: Partial<WitnessState>): WitnessStep {
  return { state: { ...state, ...change }, effects: [] };
}

function answering(state: WitnessState, id: number, answer: WitnessAnswer): WitnessStep {
  return { state, effects: [{ kind: "answer", id, answer }] };
}

function receive(
  state: WitnessState,
  event: { readonly id: number; readonly body: Uint8Array },
  monotonicMs: number,
): WitnessStep {
  const { id } = event;
  const request = readRequest(event.body);
  if (request === undefined) {
    return answering(state, id, witnessAnswer(400, "malformed request\n"));
  }
  const checkpoint = readCheckpoint(state.config, request.checkpoint);
  if ("status" in checkpoint) return answering(state, id, checkpoint);
  const refusal = judge(state, request, checkpoint);
  if (refusal !== undefined) return { state, effects: refusalEffects(id, refusal) };
  if (state.waiting.size >= witnessWaitingMax) {
    return answering(state, id, witnessAnswer(503, "busy\n"));
  }
  const waiting = new Map(state.waiting);
  waiting.set(id, { request, checkpoint, deadlineMs: monotonicMs + state.config.waitMs });
  return {
    state: { ...state, waiting },
    effects: [askReplica(state, { id, checkpoint, monotonicMs })],
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

function readCheckpoint(config: WitnessConfig, note: Uint8Array): OpenedCheckpoint | WitnessAnswer {
  const reading = config.readCheckpoint(note);
  switch (reading.kind) {
    case "malformed":
      return witnessAnswer(400, "malformed checkpoint\n");
    case "origin unknown":
      return witnessAnswer(404, "unknown origin\n");
    case "not signed":
      return witnessAnswer(403, "no valid signature of the log\n");
    case "ended":
      return endedAnswer;
    case "signed":
      return reading.checkpoint;
  }
}

function askReplica(
  state: WitnessState,
  asked: {
    readonly id: number;
    readonly checkpoint: OpenedCheckpoint;
    readonly monotonicMs: number;
  },
): WitnessEffect {
  const { term, origin, size } = asked.checkpoint;
  const when = { nowMs: asked.monotonicMs, boundMs: state.config.inclusionBoundMs };
  // Term 0 was opened by the founding document.
  const isFirst = term > 0n && !state.promises.has(origin);
  const openingOf = isFirst ? term : undefined;
  const overdue = overdueBatches(state.held, when);
  return { kind: "ask replica", id: asked.id, size, openingOf, overdue };
}

function hearReplica(
  state: WitnessState,
  event: Extract<WitnessEvent, { kind: "replica" }>,
): WitnessStep {
  const { id, verdict } = event;
  const waiting = state.waiting.get(id);
  if (waiting === undefined || verdict.kind === "behind") return { state, effects: [] };
  const { request, checkpoint } = waiting;
  const refusal =
    verdict.kind === "distrusted"
      ? { answer: witnessAnswer(503, "the replica trusts this log no more\n") }
      : (judgeByReplica(checkpoint, { ...event, root: verdict.root }) ??
        // The promise may have grown while this request waited.
        judge(state, request, checkpoint) ??
        judgeTerm(state, checkpoint, event));
  if (refusal !== undefined) {
    const effects = refusalEffects(id, refusal, checkpoint.size);
    return { state: withoutWaiting(state, id), effects };
  }
  const { term, origin, size, root, note } = checkpoint;
  const before = state.promises.get(origin);
  // Durable since it was cosigned first: a heartbeat, or anyone who repeats a public checkpoint, costs no write.
  if (before?.size === size) {
    return { state: withoutWaiting(state, id), effects: [{ kind: "cosign", id, checkpoint }] };
  }
  const after = { size, root, note };
  return { state, effects: [{ kind: "promise", id, term, origin, before, after }] };
}

function keepPromise(
  state: WitnessState,
  event: Extract<WitnessEvent, { kind: "promised" }>,
): WitnessStep {
  const { id, latest, isNew } = event;
  const waiting = state.waiting.get(id);
  if (waiting === undefined) return { state, effects: [] };
  const { checkpoint } = waiting;
  const { term, origin } = checkpoint;
  const promises = new Map(state.promises);
  if (latest !== undefined) promises.set(origin, { term, ...latest });
  // Promised together with a cosignature, not for an appointment. A later one may have come meanwhile.
  const isRaised = event.promisedTerm > state.promisedTerm;
  const promisedTerm = isRaised ? event.promisedTerm : state.promisedTerm;
  const promisedChoice = isRaised ? undefined : state.promisedChoice;
  const next = withoutWaiting({ ...state, promises, promisedTerm, promisedChoice }, id);
  if (term < promisedTerm) return answering(next, id, endedAnswer);
  if (isNew) return { state: next, effects: [{ kind: "cosign", id, checkpoint }] };
  return answering(next, id, conflictAnswer(latest?.size ?? 0n));
}

function show(
  state: WitnessState,
  { id, origin }: { readonly id: number; readonly origin: string },
): WitnessStep {
  const promise = state.promises.get(origin);
  if (promise !== undefined && !isSilenced(state, promise.term)) {
    return { state, effects: [{ kind: "show", id, checkpoint: promise }] };
  }
  // A witness that does not know what it cosigned must not be taken for one that cosigned nothing.
  if (isSilenced(state, state.lost?.term ?? 0n)) {
    return answering(state, id, witnessAnswer(503, "this witness has lost its state\n"));
  }
  return answering(state, id, witnessAnswer(404, "nothing of this origin was cosigned\n"));
}

/** What a batch that cannot be held is answered, by the reason; 400 for every other one. */
const holdStatuses: Readonly<Partial<Record<ReasonCode, number>>> = {
  NETWORK_UNKNOWN: 403,
  GATEWAY_UNKNOWN: 403,
  KEY_UNKNOWN: 403,
  SIGNATURE_INVALID: 403,
  TOO_LARGE: 413,
};

function hold(
  state: WitnessState,
  event: Extract<WitnessEvent, { kind: "hold" }>,
  monotonicMs: number,
): WitnessStep {
  const { id, batch, verified, index } = event;
  if (verified.kind === "rejected") {
    const { reason } = verified;
    return answering(state, id, witnessAnswer(holdStatuses[reason] ?? 400, `${reason}\n`));
  }
  const when = { nowMs: monotonicMs, boundMs: state.config.inclusionBoundMs };
  const held = holdBatch(state.held, { batch, verified, index }, when);
  if (held === "full") return answering(state, id, witnessAnswer(429, "full\n"));
  return answering({ ...state, held }, id, witnessAnswer(202, "held\n"));
}

/** What waits for a tree that the replica has left is not evidence against anybody. */
function endTermsBelow(state: WitnessState, term: bigint): WitnessStep {
  const ended = [...state.waiting].filter(([, { checkpoint }]) => checkpoint.term < term);
  return {
    state: ended.reduce((next, [id]) => withoutWaiting(next, id), state),
    effects: ended.map(([id]) => ({ kind: "answer", id, answer: endedAnswer })),
  };
}

function expire(state: WitnessState, monotonicMs: number): WitnessStep {
  const when = { nowMs: monotonicMs, boundMs: state.config.inclusionBoundMs };
  const { held, forwards } = takeForwards(state.held, when);
  let next: WitnessState = { ...state, held };
  const effects: WitnessEffect[] = forwards.map((one) => ({ kind: "forward", held: one }));
  for (const [id, { deadlineMs }] of state.waiting) {
    if (monotonicMs < deadlineMs) continue;
    next = withoutWaiting(next, id);
    const answer = witnessAnswer(503, "the replica has not reached this size\n");
    effects.push({ kind: "answer", id, answer });
  }
  return { state: next, effects };
}

/** Milliseconds until a request has waited long enough, or a batch is to be passed on. */
function wakeInMs({ waiting, held }: WitnessState, monotonicMs: number): number | undefined {
  const deadlines = [...waiting.values()].map(
    ({ deadlineMs }: Waiting) => deadlineMs - monotonicMs,
  );
  const forwardMs = forwardInMs(held, monotonicMs);
  if (forwardMs !== undefined) deadlines.push(forwardMs);
  return deadlines.length === 0 ? undefined : Math.max(0, Math.min(...deadlines));
}

function withoutWaiting(state: WitnessState, id: number): WitnessState {
  const waiting = new Map(state.waiting);
  waiting.delete(id);
  return { ...state, waiting };
}
