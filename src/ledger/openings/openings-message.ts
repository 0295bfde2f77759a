/** What main thread and openings worker say to each other. */
import type { ReasonCode } from "../../base/reasons.ts";

export interface OpeningsWorkerData {
  readonly path: string;
  readonly key: Uint8Array;
}

/** Ids from `from` on and below `to`, by their bytes: at most `countMax`, the lowest first. */
export interface IdRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  readonly countMax: number;
}

/** What was erased at one time, as the ledger says it. */
export interface Erasure {
  /** In the order of the erasures, from 1. */
  readonly number: number;
  readonly count: number;
  /** RFC 6962 root over the salted hashes of the ids. */
  readonly root: Uint8Array;
}

export type ToOpeningsWorker =
  /** Framed: id, part, id, part and so on. */
  | { readonly kind: "put"; readonly parts: Uint8Array }
  | { readonly kind: "get"; readonly request: number; readonly id: Uint8Array }
  | { readonly kind: "erase"; readonly request: number; readonly ids: readonly Uint8Array[] }
  | { readonly kind: "find"; readonly request: number; readonly range: IdRange }
  | {
      readonly kind: "erase-recorded";
      readonly request: number;
      readonly range: IdRange;
      readonly atMs: number;
      readonly secret: Uint8Array;
    }
  | { readonly kind: "erasures"; readonly request: number; readonly after: number }
  | { readonly kind: "flush"; readonly request: number }
  | { readonly kind: "close"; readonly request: number };

export type FromOpeningsWorker =
  | { readonly kind: "ready" }
  | { readonly kind: "got"; readonly request: number; readonly parts: readonly Uint8Array[] }
  | { readonly kind: "found"; readonly request: number; readonly ids: readonly Uint8Array[] }
  | {
      readonly kind: "erased";
      readonly request: number;
      readonly erasures: readonly Erasure[];
    }
  /** `count` ids were erased; 0 for other requests. */
  | { readonly kind: "done"; readonly request: number; readonly count: number }
  /** Nothing after this. */
  | { readonly kind: "failed"; readonly code: ReasonCode; readonly message: string };
