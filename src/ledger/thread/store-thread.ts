import type { Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import type { FromStore, StoreCall, StoreMethods } from "./store-message.ts";
import type { Thread } from "./thread.ts";

export interface StoreThreadOptions<Store extends StoreMethods<Store>, Item> {
  /** Runs a script that calls `serveStore`. */
  readonly thread: Thread<StoreCall, FromStore>;
  /** In messages of errors, such as "held records". */
  readonly name: string;
  readonly scheduler: Scheduler;
  /** What is put waits for more of it at most so long, and for no more bytes than these. */
  readonly group: { readonly waitMs: number; readonly bytesMax: number };
  /** A group as the store's own `put` takes it. */
  pack(items: readonly Item[]): Parameters<Store["put"]>[0];
  /** The store failed while it was open; requests under way are rejected with the same error. */
  onFailed(error: CausewayError): void;
}

interface Request {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/**
 * A store in a thread of its own: the main thread never waits for its disk. The thread works in order:
 * what was put before is stored when a call is answered.
 */
export class StoreThread<Store extends StoreMethods<Store>, Item> {
  readonly #options: StoreThreadOptions<Store, Item>;
  readonly #requests = new Map<number, Request>();
  /** Rejects with why the store could not be opened. */
  readonly ready: Promise<void>;
  #settleReady: { resolve(): void; reject(error: unknown): void } | undefined;
  #group: Item[] = [];
  #groupBytes = 0;
  #cancelWrite: (() => void) | undefined;
  #requestCount = 0;
  #ended: CausewayError | undefined;

  constructor(options: StoreThreadOptions<Store, Item>) {
    this.#options = options;
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    options.thread.listen(
      (message) => this.#onMessage(message),
      (cause) => {
        const message = `the thread of the ${options.name} ended`;
        this.#fail(new CausewayError("STORAGE_FAILED", message, { cause }));
      },
    );
  }

  /** Why nothing is taken any more, once it is closed or has failed. */
  get ended(): CausewayError | undefined {
    return this.#ended;
  }

  /** Puts an item of so many bytes soon, together with others. Throws `ended`. */
  put(item: Item, bytes: number): void {
    if (this.#ended !== undefined) throw this.#ended;
    const { group, scheduler } = this.#options;
    this.#group.push(item);
    this.#groupBytes += bytes;
    if (this.#groupBytes >= group.bytesMax) this.#write();
    else this.#cancelWrite ??= scheduler.after(group.waitMs, () => this.#write());
  }

  /** Calls a method whose answer nobody waits for. Throws `ended`. */
  tell<Name extends keyof Store & string>(method: Name, ...args: Parameters<Store[Name]>): void {
    if (this.#ended !== undefined) throw this.#ended;
    this.#write();
    this.#options.thread.post({ method, args });
  }

  /** Calls a method. Rejects with `ended`. */
  ask<Name extends keyof Store & string>(
    method: Name,
    ...args: Parameters<Store[Name]>
  ): Promise<ReturnType<Store[Name]>> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return this.#request(method, args) as Promise<ReturnType<Store[Name]>>;
  }

  async close(): Promise<void> {
    if (this.#ended !== undefined) return;
    const closed = this.#request("close", []);
    this.#ended = new CausewayError("SHUTTING_DOWN", `the ${this.#options.name} are closed`);
    await closed;
  }

  #request(method: string, args: readonly unknown[]): Promise<unknown> {
    this.#write();
    const request = this.#requestCount++;
    return new Promise((resolve, reject) => {
      this.#requests.set(request, { resolve, reject });
      this.#options.thread.post({ method, args, request });
    });
  }

  #write(): void {
    this.#cancelWrite?.();
    this.#cancelWrite = undefined;
    if (this.#group.length === 0) return;
    this.#options.thread.post({ method: "put", args: [this.#options.pack(this.#group)] });
    this.#group = [];
    this.#groupBytes = 0;
  }

  #onMessage(message: FromStore): void {
    switch (message.kind) {
      case "ready":
        this.#settleReady?.resolve();
        this.#settleReady = undefined;
        return;
      case "answer":
        this.#requests.get(message.request)?.resolve(message.value);
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
