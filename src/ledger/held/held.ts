import type { Scheduler } from "../../base/clock.ts";
import type { CausewayError } from "../../base/errors.ts";
import { heldBufferBytesMax, heldBufferMs, heldRecordsMax } from "../../base/limits.ts";
import { StoreThread } from "../thread/store-thread.ts";
import { startThread } from "../thread/thread.ts";
import type { HeldRecord, StoredLeaf } from "./held-record.ts";
import type { HeldWorkerData } from "./held-worker.ts";
import type { SqliteHeld } from "./sqlite-held.ts";

export type { HeldRecord, StoredLeaf } from "./held-record.ts";

/**
 * Records of other gateways that came in-band, each with its path and the signed leaf, in a database of
 * their own until they are final: what is overdue on the ledger is proven with them.
 *
 * Durability: they are written in groups by a worker, at most `heldBufferMs` after `put`, and not synced
 * each time. A killed process may lose the last group: what stays is the own acknowledgement, which names
 * the receipt. What was removed may come back after a loss of power; the ledger says again that it is final.
 */
export interface HeldRecords {
  put(held: HeldRecord): void;
  /** All records of one leaf, what waits to be written too. */
  get(leafHash: Uint8Array): Promise<readonly HeldRecord[]>;
  remove(leafHashes: readonly Uint8Array[]): void;
  leaves(): Promise<readonly StoredLeaf[]>;
  close(): Promise<void>;
}

export interface HeldOptions {
  /** Path of the database. */
  readonly path: string;
  readonly scheduler: Scheduler;
  /** Records kept at the most; the oldest go first. */
  readonly recordsMax?: number;
  /** The database failed while it was open; requests under way are rejected with the same error. */
  onFailed(error: CausewayError): void;
}

/** Rejects with STORAGE_FAILED. */
export async function openHeld(options: HeldOptions): Promise<HeldRecords> {
  const { path, scheduler, recordsMax = heldRecordsMax } = options;
  const data: HeldWorkerData = { path, recordsMax };
  const store = new StoreThread<SqliteHeld, HeldRecord>({
    thread: startThread(new URL("./held-worker.js", import.meta.url), data),
    name: "held records",
    scheduler,
    group: { waitMs: heldBufferMs, bytesMax: heldBufferBytesMax },
    pack: (records) => records,
    onFailed: (error) => options.onFailed(error),
  });
  await store.ready;
  return {
    put: (held) => {
      if (store.ended === undefined) store.put(held, held.record.length + held.leaf.length);
    },
    get: (leafHash) => store.ask("get", leafHash),
    remove: (leafHashes) => {
      if (store.ended === undefined) store.tell("remove", leafHashes);
    },
    leaves: () => store.ask("leaves"),
    close: () => store.close(),
  };
}
