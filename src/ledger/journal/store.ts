/** What the journal's disk offers. One writer, which lives in the seal worker; readers are another type. */
import type { SealedBatch, StateChange } from "../ports.ts";

/** Whose chain a journal holds. */
export interface JournalIdentity {
  /** Gateway id. */
  readonly gateway: string;
  /** 32 bytes. */
  readonly network: Uint8Array;
  /** Raw 32-byte batch key. */
  readonly batchKey: Uint8Array;
  /** Raw keys that the ledger binds to the gateway too: a journal made with one of them goes on under `batchKey`. */
  readonly otherBatchKeys?: readonly Uint8Array[];
}

/** What a chain's next header rests on. */
export interface ChainTip {
  /** Number in the journal, from 0 and across epochs. */
  readonly number: number;
  readonly epoch: bigint;
  readonly seq: bigint;
  readonly leafHash: Uint8Array;
  readonly seenSize: bigint;
  readonly seenRoot: Uint8Array;
  readonly sealedAtMs: number;
}

/** A batch as it is stored: never changed once written. */
export interface BatchRow {
  readonly number: number;
  readonly epoch: bigint;
  readonly seq: bigint;
  readonly leafHash: Uint8Array;
  readonly leaf: Uint8Array;
  /** u32be length ‖ record for each record in order. */
  readonly body: Uint8Array;
}

export type Stage = "sealed" | "submitted" | "included" | "final";

/** What has become of a batch on its way to the ledger. */
export interface Place {
  readonly stage: Stage;
  /** Of an included or final batch. */
  readonly index?: bigint;
  readonly term?: bigint;
  /** Size of the first final checkpoint that holds it. */
  readonly finalSize?: bigint;
}

/** A new place of a batch. It may be lost with the process: the ledger says it again. */
export interface Mark extends Place {
  readonly number: number;
}

/** A batch of the own chain, with its place. */
export interface JournalBatch extends SealedBatch, Omit<BatchRow, "body"> {
  readonly place: Place;
}

/** What may wait for the next seal: it is learnt again after a crash. */
export interface Deferred {
  readonly marks: readonly Mark[];
  readonly states: readonly StateChange[];
}

/** The one writer of a journal. Every function that writes is durable when it returns, and throws STORAGE_FAILED. */
export interface JournalWriter {
  /** The newest batch, checked against the identity when the journal was opened. */
  tip(): ChainTip | undefined;
  /** Set in a journal that was written again from the ledger: nothing is appended in an earlier epoch. */
  awaitedEpoch(): bigint | undefined;
  /**
   * Notes a start of the process. A boot that another has followed does not come back.
   * Throws JOURNAL_MISMATCH.
   */
  beginBoot(boot: Uint8Array, startedAtMs: number): void;
  /** One transaction: what was deferred, the batch, then the states that its records change. */
  append(row: BatchRow, states: readonly StateChange[], deferred: Deferred): void;
  /** One transaction for what was deferred when no batch came. */
  save(deferred: Deferred): void;
  close(): void;
}

/** Reads of the main thread; each is one short query of committed rows. */
export interface JournalReader {
  /** Batches in the journal, over all epochs. */
  batchCount(): number;
  /** Batches that are final: those before this number. */
  finalCount(): number;
  tip(): JournalBatch | undefined;
  batch(number: number): JournalBatch | undefined;
  /** The leaf hash of a batch, without its body. */
  leafHash(number: number): Uint8Array | undefined;
  batchAt(place: { epoch: bigint; seq: bigint }): JournalBatch | undefined;
  batchByLeafHash(leafHash: Uint8Array): JournalBatch | undefined;
  /** Newest first: at most `countMax` batches before number `before`. */
  newest(range: { countMax: number; before?: number }): readonly JournalBatch[];
  /** Places of batches from number `from` on that are not final, in order. */
  unfinished(): readonly Mark[];
  state(key: string): Uint8Array | undefined;
  /** States whose keys begin with `prefix`, ascending by the bytes of the key. */
  states(prefix: string): readonly { readonly key: string; readonly value: Uint8Array }[];
  /** Copies everything, as of one moment, to a new file while the writer goes on. Rejects with STORAGE_FAILED. */
  copyTo(path: string): Promise<void>;
  close(): void;
}
