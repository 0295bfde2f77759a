import type { Scheduler } from "../../base/clock.ts";
import type { CausewayError } from "../../base/errors.ts";
import { openingsBufferBytesMax, openingsBufferMs } from "../../base/limits.ts";
import { frame } from "../journal/framing.ts";
import { StoreThread } from "../thread/store-thread.ts";
import { startThread } from "../thread/thread.ts";
import type { Erasure } from "./erasure.ts";
import {
  decodeOpening,
  emptyOpening,
  encodeOpening,
  mergeOpenings,
  type Opening,
} from "./opening.ts";
import type { OpeningsWorkerData, ServedOpenings } from "./openings-worker.ts";
import type { IdRange } from "./sqlite-openings.ts";

export type { Erasure } from "./erasure.ts";
export type { IdRange } from "./sqlite-openings.ts";

/**
 * The openings of this side's commitments, encrypted in a database of their own that is no part of
 * a ledger's backup.
 *
 * Durability: openings are written in groups by a worker, at most `openingsBufferMs` after `put`, and
 * are not synced to the disk each time. A killed process may lose the last group, a loss of power
 * what came since the last checkpoint. That is the safe side: without its opening a commitment stays
 * sealed for ever and every proof still verifies, as after an erasure; the reverse, an opening that
 * outlives its erasure, is what must not happen, and an erasure is synced before it is answered.
 */
export interface Openings {
  /** Keeps an opening under `id`, beside what is there already; a seed, salt or value given again replaces. */
  put(id: Uint8Array, opening: Opening): void;
  /** Everything put under `id`, what is still buffered too. */
  get(id: Uint8Array): Promise<Opening | undefined>;
  /** Deletes for good, and resolves with the number of ids that had an opening once nothing is left of it on disk. */
  erase(ids: readonly Uint8Array[]): Promise<number>;
  /** The ids of a range, what is still buffered too. */
  find(range: IdRange): Promise<readonly Uint8Array[]>;
  /**
   * Erases as `erase` does what a range finds, and keeps what the ledger is to say of it; `undefined` when it
   * finds nothing. `atMs` is the Unix time, `secret` 32 random bytes that the salts of the hashes follow from.
   */
  eraseRecorded(
    range: IdRange,
    by: { readonly atMs: number; readonly secret: Uint8Array },
  ): Promise<Erasure | undefined>;
  /** Recorded erasures above this number, in their order. */
  erasures(after: number): Promise<readonly Erasure[]>;
  /** Resolves when everything put before outlives this process. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface OpeningsOptions {
  /** Path of the database. */
  readonly path: string;
  /** The 32 bytes of the key file. */
  readonly key: Uint8Array;
  readonly scheduler: Scheduler;
  /** The database failed while it was open; requests under way are rejected with the same error. */
  onFailed(error: CausewayError): void;
}

/** Rejects with KEY_LOCKED for another key than the database was made with, STORAGE_FAILED. */
export async function openOpenings(options: OpeningsOptions): Promise<Openings> {
  const { path, key, scheduler } = options;
  const data: OpeningsWorkerData = { path, key };
  const store = new StoreThread<ServedOpenings, readonly [id: Uint8Array, part: Uint8Array]>({
    thread: startThread(new URL("./openings-worker.js", import.meta.url), data),
    name: "openings",
    scheduler,
    group: { waitMs: openingsBufferMs, bytesMax: openingsBufferBytesMax },
    pack: (items) => frame(items.flat()),
    onFailed: (error) => options.onFailed(error),
  });
  await store.ready;
  return {
    put: (id, opening) => {
      if (id.length === 0) throw new RangeError("the id of an opening is not empty");
      const part = encodeOpening(opening);
      store.put([id, part], id.length + part.length);
    },
    get: async (id) => {
      const parts = await store.ask("get", id);
      if (parts.length === 0) return undefined;
      return parts.map(decodeOpening).reduce(mergeOpenings, emptyOpening);
    },
    erase: (ids) => store.ask("erase", ids),
    find: (range) => store.ask("find", range),
    eraseRecorded: (range, by) => store.ask("eraseRecorded", range, by),
    erasures: (after) => store.ask("erasures", after),
    flush: () => store.ask("flush"),
    close: () => store.close(),
  };
}
