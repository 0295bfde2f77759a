/** What the parts of the ledger, and those above it, ask of each other. Adapters hold sockets and disks. */
import type { ReasonCode } from "../base/reasons.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type { RegistryState, RegistryView } from "../registry/state.ts";

/** A sealed batch as it stands in the journal, goes in-band and enters the ledger. */
export interface SealedBatch {
  /** 64-byte signature ‖ encoded header. */
  readonly leaf: Uint8Array;
  /** Encoded records in order. */
  readonly records: readonly Uint8Array[];
}

/** What a chain knows of the ledger when it closes a batch. */
export interface Seen {
  readonly size: bigint;
  readonly root: Uint8Array;
}

/** A change of the journal's own state that commits with the record that causes it. */
export interface StateChange {
  readonly key: string;
  /** Absent deletes the key. */
  readonly value?: Uint8Array;
}

/** What the check in the turn that closes a batch says of one queued record. */
export type Recheck =
  | { readonly kind: "stands" }
  /** Seal this in its place; `states` replace the record's own. */
  | {
      readonly kind: "replaced";
      readonly record: Uint8Array;
      readonly states: readonly StateChange[];
    }
  | { readonly kind: "dropped" };

export interface QueuedRecord {
  readonly kind: "governance" | "evidence";
  /** Canonical encoding of the Record envelope. */
  readonly record: Uint8Array;
  /** Unix milliseconds of the decision inside. */
  readonly decidedAtMs: number;
  readonly states: readonly StateChange[];
  /**
   * Called synchronously in the turn that closes the batch, with what its header will say; again in the
   * next one when its replacement did not fit.
   */
  recheck?(seen: Seen, closedAtMs: number): Recheck;
}

/** A durable record with its proof. */
export interface SealedRecord {
  /** What was sealed: the queued bytes, or those that replaced them. */
  readonly record: Uint8Array;
  readonly replaced: boolean;
  readonly position: number;
  /** RFC 6962 path of the record in the batch tree. */
  readonly path: readonly Uint8Array[];
  readonly leaf: Uint8Array;
  /** RFC 6962 leaf hash of `leaf`: with the position, the record's handle. */
  readonly leafHash: Uint8Array;
}

export interface Sealer {
  /**
   * Resolves once the record is durable, with `undefined` when its recheck dropped it.
   * Rejects with BUSY when the queue is full, TOO_LARGE for a record that fits no batch, LEDGER_BEHIND
   * or LEDGER_FORK while the replica does not bear out what the own chain has seen, and with
   * SHUTTING_DOWN, CLOCK_OFF, JOURNAL_ROLLED_BACK or the ledger's reason for refusing an own batch
   * when nothing is sealed any more. Never settles when the disk failed: the process ends.
   */
  seal(record: QueuedRecord): Promise<SealedRecord | undefined>;
}

/** A checkpoint that a quorum of cities has cosigned. */
export interface FinalCheckpoint {
  readonly size: bigint;
  readonly root: Uint8Array;
  /** The note with its cosignatures. */
  readonly note: Uint8Array;
  /** Unix milliseconds: the lower median of the cosignature times of the quorum. */
  readonly timeMs: number;
}

/** A batch with its place. */
export interface IncludedBatch extends SealedBatch {
  readonly index: bigint;
  readonly header: Header;
  readonly leafHash: Uint8Array;
}

/** This process's verified copy of the ledger. */
export interface Replica {
  /** The registry after everything included here; its `size` may exceed the final one. */
  state(): RegistryState;
  /** The registry as a record under the newest final checkpoint sees it. */
  view(): RegistryView;
  /** Newest final checkpoint whose leaves are all applied here; its time is that of the newest heartbeat. */
  final(): FinalCheckpoint | undefined;
  /** Root of the first `size` leaves, for any size up to the included one. */
  rootAt(size: bigint): Uint8Array | undefined;
  batch(index: bigint): IncludedBatch | undefined;
  indexOfLeaf(leafHash: Uint8Array): bigint | undefined;
  /** Inclusion proof of a leaf in the tree of `size`. */
  inclusionProof(index: bigint, size: bigint): readonly Uint8Array[];
  /** The frozen note of the first final checkpoint whose size exceeds `index`. */
  frozenNote(index: bigint): FinalCheckpoint | undefined;
  blob(sha256: Uint8Array): Uint8Array | undefined;
  /** Why a governance record had no effect; `undefined` when it was applied. */
  voidReason(index: bigint, position: number): ReasonCode | undefined;
  /** Called after each newer final checkpoint, heartbeats included. Returns how to stop. */
  onFinal(listener: (checkpoint: FinalCheckpoint) => void): () => void;
  /** Called after each included batch, before it is final. Returns how to stop. */
  onIncluded(listener: (batch: IncludedBatch) => void): () => void;
}

export type SubmitResult =
  | { readonly kind: "included"; readonly index: bigint }
  | { readonly kind: "rejected"; readonly reason: ReasonCode; readonly atSize: bigint };

/** What puts the batches of all gateways in one order. Nothing above knows which one runs. */
export interface Engine {
  /** Idempotent by (gateway, epoch, seq). Rejects with LEDGER_UNAVAILABLE when it cannot be reached. */
  submit(batch: SealedBatch): Promise<SubmitResult>;
  putBlob(content: Uint8Array): Promise<void>;
}
