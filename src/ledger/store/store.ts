/** What a ledger's disk offers: readers and writers are different types, so that write access is visible. */
import type { ReasonCode } from "../../base/reasons.ts";
import type { TreeNode } from "../../merkle/compact-range.ts";
import type { HashReader } from "../../merkle/reader.ts";

/** One included batch as it is stored. */
export interface StoredBatch {
  readonly index: bigint;
  readonly leaf: Uint8Array;
  readonly leafHash: Uint8Array;
  /** u32be length ‖ record for each record in order, as `/records/<index>` serves it. */
  readonly body: Uint8Array;
}

/** A place in a gateway's chain: the key under which a submit is idempotent. */
export interface ChainPlace {
  readonly gateway: string;
  readonly epoch: bigint;
  readonly seq: bigint;
}

/** Why a record of a batch had no effect. */
export interface VoidRecord {
  readonly position: number;
  readonly reason: ReasonCode;
}

/** What one batch adds to the store. */
export interface BatchRow extends StoredBatch {
  readonly place: ChainPlace;
  /** Registry digest after this batch. */
  readonly registryDigest: Uint8Array;
  readonly nodes: readonly TreeNode[];
  readonly voids: readonly VoidRecord[];
  /** SHA-256 of each blob that its statements name. */
  readonly blobs: readonly Uint8Array[];
}

export interface StoredNote {
  readonly size: bigint;
  readonly note: Uint8Array;
}

/** A stored registry: everything folded up to `size`. */
export interface Snapshot {
  readonly size: bigint;
  readonly state: Uint8Array;
}

/** Evidence that the ledger shown to this process cannot be trusted. */
export interface Fault {
  readonly reason: ReasonCode;
  /** The signed head held, and the one that contradicts it; absent when the fault is in a batch. */
  readonly held?: Uint8Array;
  readonly shown?: Uint8Array;
  /** Index of the first batch that is wrong, when one is. */
  readonly index?: bigint;
  /** The term whose log is at fault: a later one may go on from below it. Absent when nothing can. */
  readonly term?: bigint;
  /** Unix milliseconds. */
  readonly atMs: number;
}

/** A leaf that had an index until the ledger went on from a smaller size. */
export interface DroppedLeaf {
  /** The term in which it was dropped. */
  readonly term: bigint;
  readonly index: bigint;
  readonly leaf: Uint8Array;
}

/** A leaf that contradicts the included one at its place of a chain. */
export interface ForkedLeaf {
  readonly place: ChainPlace;
  readonly leaf: Uint8Array;
}

/** A witness's promise for one origin. */
export interface WitnessedHead {
  readonly size: bigint;
  readonly root: Uint8Array;
  /** The checkpoint note as the log signed it. */
  readonly note: Uint8Array;
}

export interface LedgerReader extends HashReader {
  /** Batches stored. */
  size(): bigint;
  batch(index: bigint): StoredBatch | undefined;
  /** Batches from `from` on in order, at most `countMax`, ending after `bytesMax` bytes but never empty. */
  batches(range: { from: bigint; countMax: number; bytesMax: number }): readonly StoredBatch[];
  /** Leaves from `from` on, at most `count`. */
  leaves(range: { from: bigint; count: number }): readonly Uint8Array[];
  indexOfLeaf(leafHash: Uint8Array): bigint | undefined;
  atPlace(place: ChainPlace): { readonly index: bigint; readonly leafHash: Uint8Array } | undefined;
  registryDigest(index: bigint): Uint8Array | undefined;
  voidReason(index: bigint, position: number): ReasonCode | undefined;
  blob(sha256: Uint8Array): Uint8Array | undefined;
  blobSize(sha256: Uint8Array): number | undefined;
  /** First index whose statements name the blob. */
  blobNamedAt(sha256: Uint8Array): bigint | undefined;
  /** First frozen note of a size greater than `size`. */
  frozenAfter(size: bigint): StoredNote | undefined;
  /** Frozen note of the greatest size below `size`. */
  frozenBefore(size: bigint): StoredNote | undefined;
  newestFrozen(): StoredNote | undefined;
  /** Newest quorum note of the newest final size. */
  heartbeat(): Uint8Array | undefined;
  /** Newest head signed by the log that was checked against the own tree. */
  head(): StoredNote | undefined;
  /** The newest snapshot of at most `size`; one of a final size is always kept. */
  snapshot(size?: bigint): Snapshot | undefined;
  forkedLeaves(): readonly ForkedLeaf[];
  droppedLeaves(): readonly DroppedLeaf[];
  /** Heads that covered leaves which were dropped, in the order in which they were. */
  droppedHeads(): readonly StoredNote[];
  faults(): readonly Fault[];
  /** The first leaf kept, at or after this place of a chain, that contradicts the one that stands at its place. */
  forkedLeaf(from: ChainPlace): Uint8Array | undefined;
  /** Id of the network whose ledger this is. */
  network(): Uint8Array | undefined;
  /** Copies everything, as of one moment, to a new file while others go on writing. Rejects with STORAGE_FAILED. */
  copyTo(path: string): Promise<void>;
}

/**
 * Every change is one transaction, which survives the end of the process when the function returns. What
 * the ledger can give again need not survive a loss of power at once; all else does when it returns.
 * Everything throws STORAGE_FAILED, and does so for good once the disk refused a sync.
 */
export interface LedgerWriter {
  readonly reader: LedgerReader;
  /** On the disk once `synced` has resolved, which is to be awaited before anybody is told of them. */
  append(rows: readonly BatchRow[]): void;
  /** Resolves when all that was written before is on the disk; the thread does not wait. */
  synced(): Promise<void>;
  /**
   * Drops everything from the index `start` on, which `term` does not keep, and appends rows in its place,
   * all in one transaction. Leaves and the newest head are kept as evidence; blobs stay.
   */
  truncateAndAppend(
    change: { readonly start: bigint; readonly term: bigint },
    rows: readonly BatchRow[],
  ): void;
  /** Throws BLOB_MISMATCH and TOO_LARGE. Returns whether it was new. */
  putBlob(sha256: Uint8Array, content: Uint8Array): boolean;
  /**
   * The first note of a final size: one that is there is never replaced. On the disk soon after: what it
   * makes final is there already, and the members cosign it again.
   */
  freeze(final: StoredNote): void;
  /** On the disk soon after. */
  setHeartbeat(note: Uint8Array): void;
  /** On the disk soon after: its leaves are there already, and the log signs the same again. */
  setHead(head: StoredNote): void;
  /**
   * Replaces the newest one, which is kept as that of a final size when its size is at most `finalSize`.
   * On the disk soon after.
   */
  setSnapshot(snapshot: Snapshot, finalSize: bigint): void;
  addFault(fault: Fault): void;
  /** Keeps the first leaf that contradicts the one at its place of the chain: it proves all that more would. */
  addForkedLeaf(place: ChainPlace, leaf: Uint8Array): void;
  setNetwork(id: Uint8Array): void;
  close(): void;
}

/** A witness that found what it promised missing, and the key and term of that time. */
export interface LostState {
  /** The cosigning key, raw, hex. */
  readonly key: string;
  readonly term: bigint;
}

/** A witness's own state, apart from the ledger: compare and replace in one durable step. */
export interface WitnessStore {
  latest(origin: string): WitnessedHead | undefined;
  /** The promise of every origin. */
  promises(): ReadonlyMap<string, WitnessedHead>;
  /** Nothing of a lower term is cosigned; 0 from the beginning. */
  promisedTerm(): bigint;
  /** Log key, hex, of the appointment that the highest promised term was promised for. */
  promisedChoice(): string | undefined;
  /**
   * Replaces the promise of an origin and promises its term, both or neither. `false` when the latest is
   * not `before` any more, or a later term is promised; otherwise on the disk once `synced` has resolved,
   * before which nobody is told.
   */
  advance(promise: {
    readonly origin: string;
    readonly term: bigint;
    readonly before: WitnessedHead | undefined;
    readonly after: WitnessedHead;
  }): boolean;
  /** Resolves when all that was written before is on the disk; the thread does not wait. */
  synced(): Promise<void>;
  /** `false` when this or a later term is promised already; otherwise durable when it returns. */
  promiseTerm(promise: { readonly term: bigint; readonly choice: string }): boolean;
  lost(): LostState | undefined;
  /** Durable when it returns. */
  setLost(lost: LostState): void;
  close(): void;
}
