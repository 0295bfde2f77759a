/** What the embedded engine asks of the network; adapters stand in `gateway/ledger`. */
import type { SealedBatch, SubmitResult } from "../ports.ts";

/** One item of the follow stream (`causeway.ledger.v1.FollowResponse`). */
export type FollowItem =
  | { readonly kind: "batch"; readonly index: bigint; readonly batch: SealedBatch }
  | { readonly kind: "head"; readonly note: Uint8Array; readonly registryDigest: Uint8Array }
  | { readonly kind: "final"; readonly note: Uint8Array };

/** From where a follower wants the stream: what it holds already. */
export interface FollowStart {
  readonly fromIndex: bigint;
  /** Frozen notes of greater sizes are wanted. */
  readonly fromFinalSize: bigint;
}

export interface FollowListener {
  onItem(item: FollowItem): void;
  /** Once, whatever ended the stream. */
  onEnd(): void;
}

export interface FollowStream {
  pause(): void;
  resume(): void;
  cancel(): void;
}

/** A sequencer as a member sees it. Functions reject with LEDGER_UNAVAILABLE when it cannot be reached. */
export interface LedgerClient {
  submit(batch: SealedBatch): Promise<SubmitResult>;
  follow(start: FollowStart, listener: FollowListener): FollowStream;
  putBlob(sha256: Uint8Array, content: Uint8Array): Promise<void>;
  /** Rejects with BLOB_MISSING when the sequencer has none. The content is not verified yet. */
  getBlob(sha256: Uint8Array): Promise<Uint8Array>;
  close(): void;
}

/** An answer of a witness (C2SP tlog-witness). */
export interface WitnessAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** A city's witness, in this process or behind HTTPS. */
export interface WitnessPort {
  /** Rejects when no answer came. */
  addCheckpoint(request: Uint8Array): Promise<WitnessAnswer>;
}

/** What a sequencer offers to the other members. */
export interface LedgerHost {
  submit(batch: SealedBatch): Promise<SubmitResult>;
  /** Rejects with BLOB_MISMATCH or TOO_LARGE. */
  putBlob(sha256: Uint8Array, content: Uint8Array): Promise<void>;
  blob(sha256: Uint8Array): Uint8Array | undefined;
  /** Everything from `start` on, then what comes, until the signal. */
  follow(start: FollowStart, signal: AbortSignal): AsyncIterable<FollowItem>;
}
