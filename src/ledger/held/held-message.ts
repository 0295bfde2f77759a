/** What main thread and the worker of the held records say to each other. */
import type { ReasonCode } from "../../base/reasons.ts";

/** A record of another gateway, with what binds it to a signed leaf. */
export interface HeldRecord {
  readonly leafHash: Uint8Array;
  readonly leaf: Uint8Array;
  readonly record: Uint8Array;
  readonly position: number;
  readonly path: readonly Uint8Array[];
}

export interface StoredLeaf {
  readonly leafHash: Uint8Array;
  readonly leaf: Uint8Array;
}

export interface HeldWorkerData {
  readonly path: string;
  readonly recordsMax: number;
}

export type ToHeldWorker =
  | { readonly kind: "put"; readonly records: readonly HeldRecord[] }
  | { readonly kind: "remove"; readonly leafHashes: readonly Uint8Array[] }
  | { readonly kind: "get"; readonly request: number; readonly leafHash: Uint8Array }
  | { readonly kind: "leaves"; readonly request: number }
  | { readonly kind: "close"; readonly request: number };

export type HeldAnswer =
  | { readonly kind: "got"; readonly request: number; readonly records: readonly HeldRecord[] }
  | { readonly kind: "listed"; readonly request: number; readonly leaves: readonly StoredLeaf[] }
  | { readonly kind: "closed"; readonly request: number };

export type FromHeldWorker =
  | { readonly kind: "ready" }
  | HeldAnswer
  /** Nothing after this. */
  | { readonly kind: "failed"; readonly code: ReasonCode; readonly message: string };
