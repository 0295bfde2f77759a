import { Worker } from "node:worker_threads";
import type { Scheduler } from "../../base/clock.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import { heldBufferBytesMax, heldBufferMs, heldRecordsMax } from "../../base/limits.ts";
import type {
  FromHeldWorker,
  HeldAnswer,
  HeldRecord,
  HeldWorkerData,
  StoredLeaf,
  ToHeldWorker,
} from "./held-message.ts";

export type { HeldRecord, StoredLeaf } from "./held-message.ts";

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
  const { path, recordsMax = heldRecordsMax } = options;
  const data: HeldWorkerData = { path, recordsMax };
  const worker = new Worker(new URL("./held-worker.js", import.meta.url), { workerData: data });
  const held = new HeldClient(options, worker);
  await held.ready;
  return held;
}

interface Request {
  resolve(answer: HeldAnswer): void;
  reject(error: unknown): void;
}

class HeldClient implements HeldRecords {
  readonly #options: HeldOptions;
  readonly #worker: Worker;
  readonly #requests = new Map<number, Request>();
  readonly ready: Promise<void>;
  #settleReady: { resolve(): void; reject(error: unknown): void } | undefined;
  #buffer: HeldRecord[] = [];
  #bufferBytes = 0;
  #cancelWrite: (() => void) | undefined;
  #requestCount = 0;
  #ended: CausewayError | undefined;

  constructor(options: HeldOptions, worker: Worker) {
    this.#options = options;
    this.#worker = worker;
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    let cause: unknown;
    worker.on("message", (message: FromHeldWorker) => this.#onMessage(message));
    worker.on("error", (error) => {
      cause = error;
    });
    worker.on("exit", () =>
      this.#fail(
        new CausewayError("STORAGE_FAILED", "the worker of held records ended", { cause }),
      ),
    );
  }

  put(held: HeldRecord): void {
    if (this.#ended !== undefined) return;
    this.#buffer.push(held);
    this.#bufferBytes += held.record.length + held.leaf.length;
    if (this.#bufferBytes >= heldBufferBytesMax) this.#write();
    else this.#cancelWrite ??= this.#options.scheduler.after(heldBufferMs, () => this.#write());
  }

  remove(leafHashes: readonly Uint8Array[]): void {
    if (this.#ended !== undefined) return;
    this.#write();
    this.#post({ kind: "remove", leafHashes });
  }

  async get(leafHash: Uint8Array): Promise<readonly HeldRecord[]> {
    const answer = await this.#ask((request) => ({ kind: "get", request, leafHash }));
    assertInvariant(answer.kind === "got", "a get is answered with records");
    return answer.records;
  }

  async leaves(): Promise<readonly StoredLeaf[]> {
    const answer = await this.#ask((request) => ({ kind: "leaves", request }));
    assertInvariant(answer.kind === "listed", "a list is answered with leaves");
    return answer.leaves;
  }

  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    const closed = this.#ask((request) => ({ kind: "close", request }));
    this.#ended = new CausewayError("SHUTTING_DOWN", "the held records are closed");
    await closed;
  }

  // The worker works in order: what was put before is stored when the request is answered.
  #ask(message: (request: number) => ToHeldWorker): Promise<HeldAnswer> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.#write();
    const request = this.#requestCount++;
    return new Promise((resolve, reject) => {
      this.#requests.set(request, { resolve, reject });
      this.#post(message(request));
    });
  }

  #write(): void {
    this.#cancelWrite?.();
    this.#cancelWrite = undefined;
    if (this.#buffer.length === 0) return;
    this.#post({ kind: "put", records: this.#buffer });
    this.#buffer = [];
    this.#bufferBytes = 0;
  }

  #post(message: ToHeldWorker): void {
    this.#worker.postMessage(message);
  }

  #onMessage(message: FromHeldWorker): void {
    if (message.kind === "ready") {
      this.#settleReady?.resolve();
      this.#settleReady = undefined;
    } else if (message.kind === "failed") {
      this.#fail(new CausewayError(message.code, message.message));
    } else {
      this.#requests.get(message.request)?.resolve(message);
      this.#requests.delete(message.request);
    }
  }

  #fail(error: CausewayError): void {
    for (const request of this.#requests.values()) request.reject(error);
    this.#requests.clear();
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#cancelWrite?.();
    if (this.#settleReady === undefined) this.#options.onFailed(error);
    else this.#settleReady.reject(error);
  }
}
