import { Worker } from "node:worker_threads";
import type { Scheduler } from "../../base/clock.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import { openingsBufferBytesMax, openingsBufferMs } from "../../base/limits.ts";
import { frame } from "../journal/framing.ts";
import {
  decodeOpening,
  emptyOpening,
  encodeOpening,
  mergeOpenings,
  type Opening,
} from "./opening.ts";
import type {
  Erasure,
  FromOpeningsWorker,
  IdRange,
  OpeningsWorkerData,
  ToOpeningsWorker,
} from "./openings-message.ts";

export type { Erasure, IdRange } from "./openings-message.ts";

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
  const { path, key } = options;
  const data: OpeningsWorkerData = { path, key };
  const worker = new Worker(new URL("./openings-worker.js", import.meta.url), { workerData: data });
  const openings = new OpeningsClient(options, worker);
  await openings.ready;
  return openings;
}

interface Request {
  resolve(answer: Exclude<FromOpeningsWorker, { kind: "ready" | "failed" }>): void;
  reject(error: unknown): void;
}

class OpeningsClient implements Openings {
  readonly #options: OpeningsOptions;
  readonly #worker: Worker;
  readonly #requests = new Map<number, Request>();
  readonly ready: Promise<void>;
  #settleReady: { resolve(): void; reject(error: unknown): void } | undefined;
  #buffer: Uint8Array[] = [];
  #bufferBytes = 0;
  #cancelWrite: (() => void) | undefined;
  #requestCount = 0;
  #ended: CausewayError | undefined;

  constructor(options: OpeningsOptions, worker: Worker) {
    this.#options = options;
    this.#worker = worker;
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    let cause: unknown;
    worker.on("message", (message: FromOpeningsWorker) => this.#onMessage(message));
    worker.on("error", (error) => {
      cause = error;
    });
    worker.on("exit", () =>
      this.#fail(new CausewayError("STORAGE_FAILED", "the openings worker ended", { cause })),
    );
  }

  put(id: Uint8Array, opening: Opening): void {
    if (id.length === 0) throw new RangeError("the id of an opening is not empty");
    if (this.#ended !== undefined) throw this.#ended;
    const part = encodeOpening(opening);
    this.#buffer.push(id, part);
    this.#bufferBytes += id.length + part.length;
    if (this.#bufferBytes >= openingsBufferBytesMax) this.#write();
    else {
      this.#cancelWrite ??= this.#options.scheduler.after(openingsBufferMs, () => this.#write());
    }
  }

  async get(id: Uint8Array): Promise<Opening | undefined> {
    const answer = await this.#ask((request) => ({ kind: "get", request, id }));
    assertInvariant(answer.kind === "got", "a get is answered with parts");
    if (answer.parts.length === 0) return undefined;
    return answer.parts.map(decodeOpening).reduce(mergeOpenings, emptyOpening);
  }

  async erase(ids: readonly Uint8Array[]): Promise<number> {
    const answer = await this.#ask((request) => ({ kind: "erase", request, ids }));
    assertInvariant(answer.kind === "done", "an erasure is answered with a count");
    return answer.count;
  }

  async find(range: IdRange): Promise<readonly Uint8Array[]> {
    const answer = await this.#ask((request) => ({ kind: "find", request, range }));
    assertInvariant(answer.kind === "found", "a search is answered with ids");
    return answer.ids;
  }

  async eraseRecorded(
    range: IdRange,
    { atMs, secret }: Parameters<Openings["eraseRecorded"]>[1],
  ): Promise<Erasure | undefined> {
    const answer = await this.#ask((request) => ({
      kind: "erase-recorded",
      request,
      range,
      atMs,
      secret,
    }));
    assertInvariant(answer.kind === "erased", "a recorded erasure is answered with itself");
    return answer.erasures[0];
  }

  async erasures(after: number): Promise<readonly Erasure[]> {
    const answer = await this.#ask((request) => ({ kind: "erasures", request, after }));
    assertInvariant(answer.kind === "erased", "erasures are answered with themselves");
    return answer.erasures;
  }

  async flush(): Promise<void> {
    await this.#ask((request) => ({ kind: "flush", request }));
  }

  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    const closed = this.#ask((request) => ({ kind: "close", request }));
    this.#ended = new CausewayError("SHUTTING_DOWN", "the openings are closed");
    await closed;
  }

  // The worker works in order: what was put before is stored when the request is answered.
  #ask(
    message: (request: number) => ToOpeningsWorker,
  ): Promise<Exclude<FromOpeningsWorker, { kind: "ready" | "failed" }>> {
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
    this.#post({ kind: "put", parts: frame(this.#buffer) });
    this.#buffer = [];
    this.#bufferBytes = 0;
  }

  #post(message: ToOpeningsWorker): void {
    this.#worker.postMessage(message);
  }

  #onMessage(message: FromOpeningsWorker): void {
    switch (message.kind) {
      case "ready":
        this.#settleReady?.resolve();
        this.#settleReady = undefined;
        return;
      case "got":
      case "found":
      case "erased":
      case "done":
        this.#requests.get(message.request)?.resolve(message);
        this.#requests.delete(message.request);
        return;
      case "failed":
        this.#fail(new CausewayError(message.code, message.message));
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
