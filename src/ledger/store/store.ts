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
  /** Unix milliseconds. */
  readonly atMs: number;
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
  snapshot(): Snapshot | undefined;
  faults(): readonly Fault[];
  /** Id of the network whose ledger this is. */
  network(): Uint8Array | undefined;
}

export interface LedgerWriter {
  readonly reader: LedgerReader;
  /** All of them in one transaction, durable when it returns. Throws STORAGE_FAILED. */
  append(rows: readonly BatchRow[]): void;
  /** Throws BLOB_MISMATCH and TOO_LARGE. Returns whether it was new. */
  putBlob(sha256: Uint8Array, content: Uint8Array): boolean;
  /** The first note of a final size: one that is there is never replaced. */
  freeze(final: StoredNote): void;
  setHeartbeat(note: Uint8Array): void;
  setHead(head: StoredNote): void;
  setSnapshot(snapshot: Snapshot): void;
  addFault(fault: Fault): void;
  /** Keeps the first leaf that contradicts the one at its place of the chain: it proves all that more would. */
  addForkedLeaf(place: ChainPlace, leaf: Uint8Array): void;
  setNetwork(id: Uint8Array): void;
  close(): void;
}

/** A witness's own state, apart from the ledger: compare and replace in one durable step. */
export interface WitnessStore {
  latest(origin: string): WitnessedHead | undefined;
  /** `false` when the latest is not `before` any more; otherwise durable when it returns. */
  advance(origin: string, before: WitnessedHead | undefined, after: WitnessedHead): boolean;
  close(): void;
}
