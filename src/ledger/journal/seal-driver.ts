import { CausewayError } from "../../base/errors.ts";
import { batchBytesMax, batchRecordsMax, journalDeferMs, sealGatherMs } from "../../base/limits.ts";
import type { QueuedRecord, SealedRecord, Sealer, StateChange } from "../ports.ts";
import {
  type CloseEffect,
  type CloseEvent,
  type CloseState,
  type ClosedBatch,
  type ClosedRecord,
  createCloseState,
  gainsByWaiting,
  stepClose,
  wantsTurn,
} from "./close-machine.ts";
import { ExpectedRecords } from "./expected-records.ts";
import type { Journal, NewBatch, SealerOptions, SealWorker } from "./journal.ts";
import { packedPath } from "./packed-tree.ts";
import { encodeSealJob, type FromSealWorker, type SealResult } from "./seal-message.ts";
import { openSqliteJournalReader } from "./sqlite-reader.ts";
import type { Deferred, JournalReader, Mark } from "./store.ts";

interface Ticket {
  resolve(sealed: SealedRecord | undefined): void;
  reject(error: unknown): void;
}

type ReadyJournal = Extract<FromSealWorker, { kind: "ready" }>;

/** Drives the close machine with a worker, a clock and the callers' promises. */
export class SealDriver implements Sealer {
  readonly #options: SealerOptions;
  readonly #worker: SealWorker;
  readonly #listeners = new Set<(batch: NewBatch) => void>();
  readonly #events: CloseEvent<Ticket, SealResult>[] = [];
  readonly ready: Promise<ReadyJournal>;
  #settleReady: { resolve(journal: ReadyJournal): void; reject(error: unknown): void };
  #state: CloseState<Ticket> | undefined;
  #stepping = false;
  #turnAsked = false;
  readonly #expected: ExpectedRecords;
  /** Records wait for others that are on their way, since the first of them was queued. */
  #gathering: "none" | "waits" | "ended" = "none";
  #cancelGathering: (() => void) | undefined;
  #deferred: { marks: Mark[]; states: StateChange[] } | undefined;
  #cancelFlush: (() => void) | undefined;
  #closing: { promise: Promise<void>; resolve(): void; reject(error: unknown): void } | undefined;
  /** The worker takes no message any more. */
  #ended = false;
  #closed = false;

  constructor(options: SealerOptions, worker: SealWorker) {
    this.#options = options;
    this.#worker = worker;
    this.#expected = new ExpectedRecords(options.clock);
    this.#expected.whenNone(() => this.#askTurn());
    const { promise, ...settle } = withResolvers<ReadyJournal>();
    this.ready = promise;
    this.#settleReady = settle;
    worker.listen(
      (message) => this.#onMessage(message),
      (cause) => this.#onEnd(cause),
    );
  }

  open({ tip, awaitedEpoch }: ReadyJournal): Journal {
    const { queueBytesMax } = this.#options;
    const epoch = this.#options.epoch ?? tip?.epoch ?? 0n;
    this.#state = createCloseState<Ticket>({
      limits: { recordsMax: batchRecordsMax, bytesMax: batchBytesMax, queueBytesMax },
      ...(tip === undefined
        ? {}
        : { sealedAtMs: tip.sealedAtMs, seen: { size: tip.seenSize, root: tip.seenRoot } }),
    });
    if (awaitedEpoch !== undefined && epoch < awaitedEpoch) {
      this.#dispatch({ kind: "halted", code: "JOURNAL_ROLLED_BACK" });
    }
    const reader = this.#openReader();
    return {
      sealer: this,
      expected: this.#expected,
      reader,
      tipAtStart: tip,
      epoch,
      awaitedEpoch,
      onSealed: (listener) => {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
      mark: (mark) => this.#defer({ marks: [mark], states: [] }),
      saveStates: (states) => this.#defer({ marks: [], states }),
      halt: (code) => this.#dispatch({ kind: "halted", code }),
      lift: (code) => this.#dispatch({ kind: "lifted", code }),
      close: async () => {
        await this.#close();
        reader.close();
      },
    };
  }

  #openReader(): JournalReader {
    try {
      return openSqliteJournalReader(this.#options.path);
    } catch (error) {
      this.#dispatch({ kind: "stop" });
      throw error;
    }
  }

  seal(record: QueuedRecord): Promise<SealedRecord | undefined> {
    return new Promise((resolve, reject) => {
      assertQueueable(record);
      const nowMs = this.#options.clock.nowMs();
      this.#dispatch({ kind: "queued", record, ticket: { resolve, reject }, nowMs });
    });
  }

  // What an effect or a recheck asks for while a step runs is stepped after it, in order.
  #dispatch(event: CloseEvent<Ticket, SealResult>): void {
    this.#events.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        for (const effect of stepClose(this.#machine(), next)) this.#perform(effect);
      }
    } finally {
      this.#stepping = false;
    }
    this.#askTurn();
  }

  #machine(): CloseState<Ticket> {
    if (this.#state === undefined) throw new TypeError("the journal is not open yet");
    return this.#state;
  }

  // The batch closes when the running callbacks are done, so that all they queue goes into it.
  #askTurn(): void {
    if (this.#turnAsked || this.#gathers() || !wantsTurn(this.#machine())) return;
    this.#turnAsked = true;
    queueMicrotask(() => {
      this.#turnAsked = false;
      this.#turn();
    });
  }

  /** Whether what waits is to wait on, for records that are on their way. */
  #gathers(): boolean {
    if (this.#gathering === "ended") return false;
    if (!gainsByWaiting(this.#machine(), this.#expected.count())) return false;
    if (this.#gathering === "none") {
      this.#gathering = "waits";
      this.#cancelGathering = this.#options.scheduler.after(sealGatherMs, () => {
        this.#gathering = "ended";
        this.#turn();
      });
    }
    return true;
  }

  #turn(): void {
    if (this.#gathers() || !wantsTurn(this.#machine())) return;
    this.#cancelGathering?.();
    this.#gathering = "none";
    this.#dispatch({
      kind: "turn",
      nowMs: this.#options.clock.nowMs(),
      seen: this.#options.seen(),
    });
  }

  #perform(effect: CloseEffect<Ticket, SealResult>): void {
    switch (effect.kind) {
      case "post":
        this.#postDeferred();
        this.#worker.post({ kind: "seal", batch: encodeSealJob(effect.batch) });
        return;
      case "release":
        this.#release(effect.batch, effect.result);
        return;
      case "drop":
        effect.ticket.resolve(undefined);
        return;
      case "reject":
        effect.ticket.reject(effect.error);
        return;
      case "exit":
        this.#options.onFatal(asFatal(effect.cause));
        return;
      case "stopped":
        this.#postDeferred();
        this.#worker.post({ kind: "close" });
        this.#ended = true;
    }
  }

  #release(batch: ClosedBatch<Ticket>, result: SealResult): void {
    const { number, epoch, seq, leaf, leafHash } = result;
    const count = batch.records.length;
    for (const [position, entry] of batch.records.entries()) {
      entry.ticket.resolve(sealedRecord(entry, result, { position, count }));
    }
    if (this.#listeners.size === 0) return;
    const records = batch.records.map((entry) => entry.record);
    const sealed: NewBatch = { number, epoch, seq, leaf, leafHash, records };
    for (const listener of this.#listeners) listener(sealed);
  }

  #onMessage(message: FromSealWorker): void {
    switch (message.kind) {
      case "ready":
        this.#settleReady.resolve(message);
        return;
      case "sealed":
        this.#dispatch({ kind: "sealed", result: message.result });
        // What came meanwhile is closed in this same turn: the worker does not wait for the callers.
        this.#turn();
        return;
      case "flushed":
        return;
      case "closed":
        this.#closed = true;
        this.#closing?.resolve();
        return;
      case "failed":
        this.#fail(new CausewayError(message.code, message.message));
    }
  }

  #onEnd(cause: unknown): void {
    if (this.#closed) return;
    this.#fail(new CausewayError("STORAGE_FAILED", "the seal worker ended", { cause }));
  }

  #fail(error: CausewayError): void {
    // The thread's end follows its own message of why.
    this.#closed = true;
    this.#ended = true;
    this.#cancelFlush?.();
    this.#closing?.reject(error);
    if (this.#state === undefined) this.#settleReady.reject(error);
    else this.#dispatch({ kind: "failed", cause: error });
  }

  #defer(deferred: Deferred): void {
    if (this.#ended) return;
    this.#deferred ??= { marks: [], states: [] };
    this.#deferred.marks.push(...deferred.marks);
    this.#deferred.states.push(...deferred.states);
    this.#cancelFlush ??= this.#options.scheduler.after(journalDeferMs, () => {
      this.#postDeferred();
      this.#worker.post({ kind: "flush" });
    });
  }

  /** Sends what waits ahead of the message that commits it. */
  #postDeferred(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    if (this.#deferred === undefined) return;
    this.#worker.post({ kind: "defer", deferred: this.#deferred });
    this.#deferred = undefined;
  }

  #close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = withResolvers<void>();
      if (this.#ended) this.#closing.resolve();
      else this.#dispatch({ kind: "stop" });
    }
    return this.#closing.promise;
  }
}

function assertQueueable(queued: QueuedRecord): void {
  const { record, decidedAtMs } = queued;
  if (record.length === 0) throw new RangeError("an encoded record is not empty");
  if (Number.isSafeInteger(decidedAtMs) && decidedAtMs >= 0) return;
  throw new RangeError(`not a time in milliseconds: ${decidedAtMs}`);
}

function sealedRecord(
  entry: ClosedRecord<Ticket>,
  result: SealResult,
  at: { position: number; count: number },
): SealedRecord {
  const { record, replaced } = entry;
  const { leaf, leafHash, tree } = result;
  return { record, replaced, position: at.position, path: packedPath(tree, at), leaf, leafHash };
}

function asFatal(cause: unknown): CausewayError {
  if (cause instanceof CausewayError) return cause;
  return new CausewayError("STORAGE_FAILED", "the journal failed", { cause });
}

function withResolvers<T>(): {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
} {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
