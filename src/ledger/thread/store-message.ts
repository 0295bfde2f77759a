/** What the main thread and the thread of a store say to each other. */
import type { ThreadFailure } from "./thread.ts";

/** The methods of a store that a thread has open; they are called there, in the order of the calls. */
export type StoreMethods<Store> = { [Name in keyof Store]: (...args: never) => unknown } & {
  /** Stores a group of what is put one by one. */
  put(group: never): void;
  close(): void;
};

export interface StoreCall {
  readonly method: string;
  readonly args: readonly unknown[];
  /** Given when the call is to be answered. */
  readonly request?: number;
}

export type FromStore =
  | { readonly kind: "ready" }
  | { readonly kind: "answer"; readonly request: number; readonly value: unknown }
  /** Nothing after this. */
  | ThreadFailure;
