/** What main thread and openings worker say to each other. */
import type { ReasonCode } from "../../base/reasons.ts";

export interface OpeningsWorkerData {
  readonly path: string;
  readonly key: Uint8Array;
}

export type ToOpeningsWorker =
  /** Framed: id, part, id, part and so on. */
  | { readonly kind: "put"; readonly parts: Uint8Array }
  | { readonly kind: "get"; readonly request: number; readonly id: Uint8Array }
  | { readonly kind: "erase"; readonly request: number; readonly ids: readonly Uint8Array[] }
  | { readonly kind: "flush"; readonly request: number }
  | { readonly kind: "close"; readonly request: number };

export type FromOpeningsWorker =
  | { readonly kind: "ready" }
  | { readonly kind: "got"; readonly request: number; readonly parts: readonly Uint8Array[] }
  /** `count` ids were erased; 0 for other requests. */
  | { readonly kind: "done"; readonly request: number; readonly count: number }
  /** Nothing after this. */
  | { readonly kind: "failed"; readonly code: ReasonCode; readonly message: string };
