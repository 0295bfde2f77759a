/** The journal of a running gateway, as the rest of the process sees it. */
import type { Clock, Scheduler } from "../../base/clock.ts";
import type { CausewayError } from "../../base/errors.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import type { SealedBatch, Sealer, Seen, StateChange } from "../ports.ts";
import type { Thread } from "../thread/thread.ts";
import type { ExpectedRecords } from "./expected-records.ts";
import type { FromSealWorker, SealWorkerData, ToSealWorker } from "./seal-message.ts";
import type { ChainTip, JournalReader, Mark } from "./store.ts";

/** A batch that has just become durable. */
export interface NewBatch extends SealedBatch {
  /** Number in the journal. */
  readonly number: number;
  readonly epoch: bigint;
  readonly seq: bigint;
  readonly leafHash: Uint8Array;
}

/** The main thread's end of a seal worker. */
export type SealWorker = Thread<ToSealWorker, FromSealWorker>;

export interface SealerOptions {
  /** Path of the journal's database; its lock stands beside it. */
  readonly path: string;
  readonly gateway: string;
  /** 32 bytes. */
  readonly network: Uint8Array;
  /** Seed of the batch key, 32 bytes. */
  readonly batchKeySeed: Uint8Array;
  /** Raw keys that the ledger binds to the gateway beside its own one: a journal may have been made with them. */
  readonly otherBatchKeys?: readonly Uint8Array[];
  /** Epoch to seal in; the journal's newest, or 0 of an empty one, unless given. */
  readonly epoch?: bigint;
  /** 16 random bytes of this process start. */
  readonly boot: Uint8Array;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  /** The newest final checkpoint that the replica has applied. */
  seen(): Seen;
  /** Bytes that wait to be sealed, as the founding document bounds them. */
  readonly queueBytesMax: number;
  /**
   * The disk failed, or it is not known what it holds. The process has to end at once: a record
   * whose seal was under way is neither resolved nor rejected, because nothing true can be said of it.
   */
  onFatal(error: CausewayError): void;
  /** Starts the worker; the product's own unless given. */
  readonly createWorker?: (data: SealWorkerData) => SealWorker;
}

/** The journal of a running gateway. */
export interface Journal {
  readonly sealer: Sealer;
  /** What a batch waits for a moment, so that it goes into it. */
  readonly expected: ExpectedRecords;
  /** What is durable. */
  readonly reader: JournalReader;
  /** The chain's newest batch when the journal was opened. */
  readonly tipAtStart: ChainTip | undefined;
  /** Epoch that this process seals in. */
  readonly epoch: bigint;
  /** The epoch that has to begin before anything is sealed; until then sealing halts with JOURNAL_ROLLED_BACK. */
  readonly awaitedEpoch: bigint | undefined;
  /** Called with each durable batch in the order of the chain, after its callers. Returns how to stop. */
  onSealed(listener: (batch: NewBatch) => void): () => void;
  /** Notes what became of a batch. Durable soon, not at once: after a crash the ledger says it again. */
  mark(mark: Mark): void;
  /** Changes states that no record causes. Durable soon, not at once. */
  saveStates(changes: readonly StateChange[]): void;
  /** Seals nothing for this reason, and rejects what waits, until it is lifted. */
  halt(code: ReasonCode): void;
  lift(code: ReasonCode): void;
  /** Seals what waits, writes back and closes. What is queued from now on is rejected with SHUTTING_DOWN. */
  close(): Promise<void>;
}
