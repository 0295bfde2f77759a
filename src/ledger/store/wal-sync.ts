import { close, closeSync, fdatasync, fdatasyncSync, openSync } from "node:fs";
import { assertInvariant, CausewayError } from "../../base/errors.ts";

/**
 * Brings what a database has committed to its write-ahead log onto the disk, for a database whose own
 * commits do not wait for that (`synchronous = NORMAL`). What is committed survives the end of the
 * process at once, and a loss of power from the next sync on.
 *
 * The thread that commits does not wait for the disk: a sync runs beside it, one at a time, and all that
 * is committed meanwhile shares the next one.
 */
export class WalSync {
  readonly #fd: number;
  /**
   * Of `now`, which may be called while a sync runs: the system tells each description of a file once that what
   * was written to it is lost, so that neither takes that from the other.
   */
  readonly #fdNow: number;
  #isRunning = false;
  /** Callers that a sync which has not begun yet will answer. */
  #waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #failure: CausewayError | undefined;
  #isClosed = false;

  /** Of the database file at `path`, which this process has locked. Throws STORAGE_FAILED. */
  constructor(path: string) {
    this.#fd = openLog(`${path}-wal`);
    this.#fdNow = openLog(`${path}-wal`);
  }

  /** Throws STORAGE_FAILED once a sync has failed: what the page cache shows since then may not be on the disk. */
  assertWell(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** What was committed is on the disk when it returns. Throws STORAGE_FAILED. */
  now(): void {
    this.assertWell();
    try {
      fdatasyncSync(this.#fdNow);
    } catch (cause) {
      throw this.#fail(cause);
    }
  }

  /** What was committed is on the disk when it resolves. Rejects with STORAGE_FAILED. */
  soon(): Promise<void> {
    assertInvariant(!this.#isClosed, "a store is written before it is closed");
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (!this.#isRunning) this.#run();
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    closeSync(this.#fdNow);
    if (!this.#isRunning) closeSync(this.#fd);
  }

  #run(): void {
    this.#isRunning = true;
    const callers = this.#waiting.splice(0);
    fdatasync(this.#fd, (cause) => {
      this.#isRunning = false;
      if (cause !== null) this.#fail(cause);
      // Also what another sync found meanwhile: nothing more is said then.
      const failure = this.#failure;
      if (failure === undefined) for (const { resolve } of callers) resolve();
      else {
        for (const { reject } of [...callers, ...this.#waiting.splice(0)]) reject(failure);
      }
      if (this.#waiting.length > 0) this.#run();
      else if (this.#isClosed) close(this.#fd);
    });
  }

  #fail(cause: unknown): CausewayError {
    this.#failure ??= storageFailed(cause);
    return this.#failure;
  }
}

function openLog(path: string): number {
  try {
    // SQLite takes an empty log for none; it holds no locks on this file, which a second descriptor would end.
    return openSync(path, "a", 0o600);
  } catch (cause) {
    throw storageFailed(cause);
  }
}

function storageFailed(cause: unknown): CausewayError {
  const code = (cause as { readonly code?: unknown }).code;
  return new CausewayError("STORAGE_FAILED", `the ledger's store failed: ${String(code)}`, {
    cause,
    fields: { code: String(code) },
  });
}
