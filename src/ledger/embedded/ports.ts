/** What the embedded engine asks of the network; adapters stand in `gateway/ledger`. */
import type { SealedBatch, SubmitResult } from "../ports.ts";

/** One item of the follow stream (`causeway.ledger.v1.FollowResponse`). */
export type FollowItem =
  | { readonly kind: "batch"; readonly index: bigint; readonly batch: SealedBatch }
  | { readonly kind: "head"; readonly note: Uint8Array; readonly registryDigest: Uint8Array }
  | { readonly kind: "final"; readonly note: Uint8Array }
  /** The batches that follow stand in the place of those from `start` on, and open the term by its votes. */
  | { readonly kind: "term opened"; readonly term: bigint; readonly start: bigint };

/** From where a follower wants the stream: what it holds already. */
export interface FollowStart {
  readonly fromIndex: bigint;
  /** Frozen notes of greater sizes are wanted. */
  readonly fromFinalSize: bigint;
  /** Newest term that the follower knows. */
  readonly term: bigint;
}

/** Where a member of the network answers. */
export interface LedgerPeer {
  /** Peer listener, `host:port`. */
  readonly address: string;
  /** SHA-256 of the SPKI DER of each TLS key that it may show, lower-case hex. */
  readonly tls: readonly string[];
}

export interface FollowListener {
  /** @param hasMore another item came with this one, and is told of next. */
  onItem(item: FollowItem, hasMore?: boolean): void;
  /** Once, whatever ended the stream. */
  onEnd(): void;
}

export interface FollowStream {
  pause(): void;
  resume(): void;
  cancel(): void;
}

/** A gateway as another member sees it. Functions reject with LEDGER_UNAVAILABLE when it cannot be reached. */
export interface LedgerClient {
  submit(batch: SealedBatch): Promise<SubmitResult>;
  follow(start: FollowStart, listener: FollowListener): FollowStream;
  putBlob(sha256: Uint8Array, content: Uint8Array): Promise<void>;
  /** Rejects with BLOB_MISSING when the gateway has none. The content is not verified yet. */
  getBlob(sha256: Uint8Array): Promise<Uint8Array>;
  close(): void;
}

/** An answer of a witness (C2SP tlog-witness). */
export interface WitnessAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** What a log asks of any witness of C2SP. Functions reject when no answer came. */
export interface CheckpointWitness {
  addCheckpoint(request: Uint8Array): Promise<WitnessAnswer>;
}

/** A city's witness, in this process or behind HTTPS. */
export interface WitnessPort extends CheckpointWitness {
  /** The newest cosigned note of the origin with this SHA-256, lower-case hex (C2SP monitoring). */
  latest(originHash: string): Promise<WitnessAnswer>;
  /** Hands in a batch, to be held until it is final. */
  holdBatch(batch: SealedBatch): Promise<WitnessAnswer>;
  /** Hands in, as `formatStartEvidence` writes it, why a term begins below the highest checkpoint of its votes. */
  takeEvidence(term: bigint, evidence: Uint8Array): Promise<WitnessAnswer>;
}

/** What a gateway offers to the other members; only a sequencer takes batches. */
export interface LedgerHost {
  submit(batch: SealedBatch): Promise<SubmitResult>;
  /** Rejects with BLOB_MISMATCH or TOO_LARGE. */
  putBlob(sha256: Uint8Array, content: Uint8Array): Promise<void>;
  blob(sha256: Uint8Array): Uint8Array | undefined;
  /** Everything from `start` on, then what comes, until the signal. */
  follow(start: FollowStart, signal: AbortSignal): AsyncIterable<FollowItem>;
}
