/**
 * When a batch closes and what goes into it (RECORDS.md, "Order of a seal and of an exchange").
 *
 * A step machine: `stepClose` changes the state in place and returns what the driver has to do, in
 * order. It holds no clock, worker or promise. At most one batch is outstanding at the worker.
 */
import { equalBytes } from "../../base/bytes.ts";
import { AssertionError, assertInvariant, CausewayError } from "../../base/errors.ts";
import { clockStepBackMaxMs, sealTogetherMin } from "../../base/limits.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import type { QueuedRecord, Recheck, Seen, StateChange } from "../ports.ts";
import { Fifo } from "../../base/fifo.ts";

export type RecordKind = QueuedRecord["kind"];

export interface CloseLimits {
  /** Records of one batch. */
  readonly recordsMax: number;
  /** Bytes of the records of one batch; also the most that one record may have. */
  readonly bytesMax: number;
  /** Bytes of the records and states that wait for a batch. */
  readonly queueBytesMax: number;
}

/** A record of a closed batch, with the caller who waits for it. */
export interface ClosedRecord<Ticket> {
  readonly record: Uint8Array;
  readonly states: readonly StateChange[];
  readonly replaced: boolean;
  readonly ticket: Ticket;
}

/** What the header of a batch will say of its closing, and its records. */
export interface ClosedBatch<Ticket> {
  readonly kind: RecordKind;
  readonly seen: Seen;
  readonly firstAtMs: number;
  readonly sealedAtMs: number;
  readonly records: readonly ClosedRecord<Ticket>[];
}

export type CloseEvent<Ticket, Result> =
  | {
      readonly kind: "queued";
      readonly record: QueuedRecord;
      readonly ticket: Ticket;
      readonly nowMs: number;
    }
  /** The turn in which a batch may close: what clock and replica say in it. */
  | { readonly kind: "turn"; readonly nowMs: number; readonly seen: Seen }
  /** The outstanding batch is durable. */
  | { readonly kind: "sealed"; readonly result: Result }
  /** Whether the outstanding batch is durable is not known, or the worker is gone. */
  | { readonly kind: "failed"; readonly cause: unknown }
  /** Nothing is sealed for this reason until it is lifted. */
  | { readonly kind: "halted"; readonly code: ReasonCode }
  | { readonly kind: "lifted"; readonly code: ReasonCode }
  /** What waits is sealed; nothing new is taken. */
  | { readonly kind: "stop" };

export type CloseEffect<Ticket, Result> =
  | { readonly kind: "post"; readonly batch: ClosedBatch<Ticket> }
  /** The records of the batch are durable: their callers may be answered. */
  | { readonly kind: "release"; readonly batch: ClosedBatch<Ticket>; readonly result: Result }
  /** The recheck dropped the record. */
  | { readonly kind: "drop"; readonly ticket: Ticket }
  | { readonly kind: "reject"; readonly ticket: Ticket; readonly error: unknown }
  /** The process has to end: the outstanding header must leave for nowhere. */
  | { readonly kind: "exit"; readonly cause: unknown }
  /** Everything that waited is sealed or rejected after a stop. */
  | { readonly kind: "stopped" };

interface Waiting<Ticket> {
  readonly queued: QueuedRecord;
  readonly ticket: Ticket;
  readonly replaced: boolean;
}

/** Changed in place by `stepClose`. */
export interface CloseState<Ticket> {
  readonly limits: CloseLimits;
  readonly waiting: Readonly<Record<RecordKind, Fifo<Waiting<Ticket>>>>;
  readonly halts: Set<ReasonCode>;
  waitingBytes: number;
  outstanding: ClosedBatch<Ticket> | undefined;
  /** The greatest reading of the clock that anything here rests on. */
  clockMs: number;
  /** What the newest header of the chain names. */
  seen: Seen | undefined;
  phase: "open" | "stopping" | "stopped" | "failed";
}

/** The state of a chain whose newest header says `sealedAtMs` and `seen`; of an empty one without them. */
export function createCloseState<Ticket>(options: {
  limits: CloseLimits;
  sealedAtMs?: number;
  seen?: Seen;
}): CloseState<Ticket> {
  return {
    limits: options.limits,
    waiting: { governance: new Fifo(), evidence: new Fifo() },
    halts: new Set(),
    waitingBytes: 0,
    outstanding: undefined,
    clockMs: options.sealedAtMs ?? 0,
    seen: options.seen,
    phase: "open",
  };
}

/** Whether a `turn` would close a batch now. */
export function wantsTurn<Ticket>(state: CloseState<Ticket>): boolean {
  const open = state.phase === "open" || state.phase === "stopping";
  return open && state.outstanding === undefined && waitingCount(state) > 0;
}

/**
 * Whether what waits would gain from waiting for what is expected: it is all evidence, fills no batch
 * yet, and would be many together. A few exchanges at a time are not held up for the sake of others.
 */
export function gainsByWaiting<Ticket>(state: CloseState<Ticket>, expected: number): boolean {
  const { waiting, limits, phase, waitingBytes } = state;
  if (phase !== "open" || expected === 0 || waiting.governance.count > 0) return false;
  const { count } = waiting.evidence;
  if (count === 0 || count + expected < sealTogetherMin) return false;
  return count < limits.recordsMax && waitingBytes < limits.bytesMax;
}

export function stepClose<Ticket, Result>(
  state: CloseState<Ticket>,
  event: CloseEvent<Ticket, Result>,
): CloseEffect<Ticket, Result>[] {
  // After a failure nothing is said any more: the process is about to end.
  if (state.phase === "failed") return [];
  switch (event.kind) {
    case "queued":
      return enqueue(state, event);
    case "turn":
      return wantsTurn(state) ? withEnd(state, closeBatch(state, event)) : [];
    case "sealed": {
      const batch = state.outstanding;
      assertInvariant(batch !== undefined, "a batch was sealed that nobody closed");
      state.outstanding = undefined;
      return withEnd(state, [{ kind: "release", batch, result: event.result }]);
    }
    case "failed":
      state.phase = "failed";
      return [{ kind: "exit", cause: event.cause }];
    case "halted":
      state.halts.add(event.code);
      return withEnd(state, rejectWaiting(state, event.code));
    case "lifted":
      state.halts.delete(event.code);
      return [];
    case "stop":
      if (state.phase === "open") state.phase = "stopping";
      return withEnd(state, []);
  }
}

function enqueue<Ticket>(
  state: CloseState<Ticket>,
  event: { record: QueuedRecord; ticket: Ticket; nowMs: number },
): CloseEffect<Ticket, never>[] {
  const { record, ticket, nowMs } = event;
  const refuse = (code: ReasonCode): CloseEffect<Ticket, never>[] => [
    { kind: "reject", ticket, error: refusal(code) },
  ];
  const [halt] = state.halts;
  if (halt !== undefined) return refuse(halt);
  if (state.phase !== "open") return refuse("SHUTTING_DOWN");
  if (record.record.length > state.limits.bytesMax) return refuse("TOO_LARGE");
  if (isClockBack(nowMs, Math.max(record.decidedAtMs, state.clockMs))) return refuse("CLOCK_OFF");
  const bytes = waitingBytesOf(record);
  if (state.waitingBytes + bytes > state.limits.queueBytesMax) return refuse("BUSY");
  state.clockMs = Math.max(state.clockMs, nowMs, record.decidedAtMs);
  state.waitingBytes += bytes;
  state.waiting[record.kind].push({ queued: record, ticket, replaced: false });
  return [];
}

/** The linearisation point: seen size, time and every recheck of the batch are fixed in this call. */
function closeBatch<Ticket>(
  state: CloseState<Ticket>,
  now: { nowMs: number; seen: Seen },
): CloseEffect<Ticket, never>[] {
  if (isClockBack(now.nowMs, state.clockMs)) return rejectWaiting(state, "CLOCK_OFF");
  const behind = seenFault(state.seen, now.seen);
  if (behind !== undefined) return rejectWaiting(state, behind);
  state.clockMs = Math.max(state.clockMs, now.nowMs);
  const effects: CloseEffect<Ticket, never>[] = [];
  while (waitingCount(state) > 0) {
    const batch = takeBatch(state, now.seen, effects);
    if (batch === undefined) continue;
    state.outstanding = batch;
    state.seen = batch.seen;
    effects.push({ kind: "post", batch });
    break;
  }
  return effects;
}

/** Takes records of one kind. `undefined` when none of them is left to seal. */
function takeBatch<Ticket>(
  state: CloseState<Ticket>,
  seen: Seen,
  effects: CloseEffect<Ticket, never>[],
): ClosedBatch<Ticket> | undefined {
  const kind = nextKind(state);
  const queue = state.waiting[kind];
  const { recordsMax, bytesMax } = state.limits;
  const sealedAtMs = state.clockMs;
  const records: ClosedRecord<Ticket>[] = [];
  let bodyBytes = 0;
  let firstAtMs = sealedAtMs;
  for (let next = queue.peek(); next !== undefined; next = queue.peek()) {
    if (records.length === recordsMax) break;
    if (bodyBytes + next.queued.record.length > bytesMax) break;
    queue.shift();
    state.waitingBytes -= waitingBytesOf(next.queued);
    const entry = recheck(next, { seen, sealedAtMs, bytesMax, effects });
    if (entry === undefined) continue;
    const { record, states, decidedAtMs } = entry.queued;
    if (bodyBytes + record.length > bytesMax) {
      // What a replacement says is true under this `seen` alone: the record opens the next batch, and is checked there.
      queue.unshift(next);
      state.waitingBytes += waitingBytesOf(next.queued);
      break;
    }
    records.push({ record, states, replaced: entry.replaced, ticket: entry.ticket });
    bodyBytes += record.length;
    firstAtMs = Math.min(firstAtMs, decidedAtMs);
  }
  return records.length === 0 ? undefined : { kind, seen, firstAtMs, sealedAtMs, records };
}

/** The record as it is to be sealed, or `undefined` when its caller has been answered in `effects`. */
function recheck<Ticket>(
  waiting: Waiting<Ticket>,
  at: { seen: Seen; sealedAtMs: number; bytesMax: number; effects: CloseEffect<Ticket, never>[] },
): Waiting<Ticket> | undefined {
  const { queued, ticket } = waiting;
  let verdict: Recheck;
  try {
    verdict = queued.recheck?.(at.seen, at.sealedAtMs) ?? { kind: "stands" };
  } catch (error) {
    // A record that nobody could check is not sealed; the others of the batch are not its business.
    at.effects.push({ kind: "reject", ticket, error });
    return undefined;
  }
  switch (verdict.kind) {
    case "stands":
      return waiting;
    case "dropped":
      at.effects.push({ kind: "drop", ticket });
      return undefined;
    case "replaced": {
      const { record, states } = verdict;
      if (record.length === 0 || record.length > at.bytesMax) {
        const error = new AssertionError(`a replacement of ${record.length} bytes fits no batch`);
        at.effects.push({ kind: "reject", ticket, error });
        return undefined;
      }
      const { kind, decidedAtMs } = queued;
      return { ...waiting, queued: { kind, record, states, decidedAtMs }, replaced: true };
    }
  }
}

function rejectWaiting<Ticket>(
  state: CloseState<Ticket>,
  code: ReasonCode,
): CloseEffect<Ticket, never>[] {
  const effects: CloseEffect<Ticket, never>[] = [];
  while (waitingCount(state) > 0) {
    const next = state.waiting[nextKind(state)].shift();
    assertInvariant(next !== undefined, "a queue that holds records gave none");
    effects.push({ kind: "reject", ticket: next.ticket, error: refusal(code) });
  }
  state.waitingBytes = 0;
  return effects;
}

/** Adds the end of a stop once nothing is left to do. */
function withEnd<Ticket, Result>(
  state: CloseState<Ticket>,
  effects: CloseEffect<Ticket, Result>[],
): CloseEffect<Ticket, Result>[] {
  const idle = state.outstanding === undefined && waitingCount(state) === 0;
  if (state.phase !== "stopping" || !idle) return effects;
  state.phase = "stopped";
  return [...effects, { kind: "stopped" }];
}

function waitingCount<Ticket>(state: CloseState<Ticket>): number {
  return state.waiting.governance.count + state.waiting.evidence.count;
}

/**
 * Governance goes first. A revocation acts from before it is queued: what is refused for it stands behind it in
 * the chain, and no loss of this process leaves a refusal that names a revocation which the ledger never gets.
 */
function nextKind<Ticket>({ waiting }: CloseState<Ticket>): RecordKind {
  return waiting.governance.count > 0 ? "governance" : "evidence";
}

function waitingBytesOf(record: QueuedRecord): number {
  let bytes = record.record.length;
  for (const change of record.states) bytes += change.key.length + (change.value?.length ?? 0);
  return bytes;
}

function isClockBack(nowMs: number, knownMs: number): boolean {
  return nowMs < knownMs - clockStepBackMaxMs;
}

/** Why a chain that has named `before` cannot name `now`: its headers never go back. */
function seenFault(before: Seen | undefined, now: Seen): ReasonCode | undefined {
  if (before === undefined || now.size > before.size) return undefined;
  if (now.size < before.size) return "LEDGER_BEHIND";
  return equalBytes(now.root, before.root) ? undefined : "LEDGER_FORK";
}

const refusalTexts: Partial<Record<ReasonCode, string>> = {
  BUSY: "the sealing queue is full",
  CLOCK_OFF: "the clock went back by more than it may",
  LEDGER_BEHIND: "the replica has not reached the size that the own chain names",
  LEDGER_FORK: "the replica has another root at the size that the own chain names",
  SHUTTING_DOWN: "the journal is closing",
  TOO_LARGE: "the record fits no batch",
};

function refusal(code: ReasonCode): CausewayError {
  return new CausewayError(code, refusalTexts[code] ?? "nothing is sealed any more");
}
