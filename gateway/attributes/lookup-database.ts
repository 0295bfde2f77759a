/** A database that attributes are looked up in: one row for each question, and none that outlasts it. */
import type { Scheduler } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { attributeLookupMs } from "../../src/base/limits.ts";
import type { SqlCursor, SqlDatabase, SqlRow, SqlValue } from "../connectors/sql-database.ts";
import type { SqlDialect } from "../connectors/sql-query.ts";
import { untilAborted } from "../connectors/until-aborted.ts";

export interface FoundRow {
  readonly columns: readonly string[];
  readonly row: SqlRow;
}

export class LookupDatabase {
  readonly #database: SqlDatabase;
  readonly #scheduler: Scheduler;
  #asking = 0;
  #isRetired = false;
  #closed: Promise<void> | undefined;

  constructor(database: SqlDatabase, scheduler: Scheduler) {
    this.#database = database;
    this.#scheduler = scheduler;
  }

  get dialect(): SqlDialect {
    return this.#database.dialect;
  }

  elementsOf(text: string): readonly SqlValue[] | undefined {
    return this.#database.elementsOf(text);
  }

  /** As `SqlDatabase.describe`. */
  async describe(text: string, parameterCount: number): Promise<readonly string[]> {
    return this.#database.describe(text, parameterCount);
  }

  /**
   * The only row; `undefined` for none. Rejects with UPSTREAM_UNAVAILABLE or BUSY when the database cannot be
   * asked, DEADLINE when it takes too long or `signal` is aborted, CONFIG_INVALID when the query fails or
   * gives more than one row.
   */
  async find(
    text: string,
    parameters: readonly SqlValue[],
    signal: AbortSignal,
  ): Promise<FoundRow | undefined> {
    const ending = new AbortController();
    const end = (): void => ending.abort(new CausewayError("DEADLINE", "the lookup was ended"));
    const cancel = this.#scheduler.after(attributeLookupMs, end);
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
    this.#asking += 1;
    try {
      return await this.#read(text, parameters, ending.signal);
    } finally {
      cancel();
      signal.removeEventListener("abort", end);
      this.#asking -= 1;
      this.#closeUnused();
    }
  }

  async #read(
    text: string,
    parameters: readonly SqlValue[],
    signal: AbortSignal,
  ): Promise<FoundRow | undefined> {
    const read = { text, parameters, timeoutMs: attributeLookupMs, signal };
    const cursor = await this.#database.read(read);
    try {
      // A database that has become silent says neither what it found nor that it was told to stop.
      return await untilAborted(onlyRow(cursor, signal), signal);
    } finally {
      const closed = cursor.close();
      if (!signal.aborted) await closed;
      else closed.catch(() => undefined);
    }
  }

  /** Closes it once nothing is looked up in it any more. */
  retire(): void {
    this.#isRetired = true;
    this.#closeUnused();
  }

  close(): Promise<void> {
    this.#closed ??= this.#database.close();
    return this.#closed;
  }

  #closeUnused(): void {
    if (this.#isRetired && this.#asking === 0) void this.close();
  }
}

async function onlyRow(cursor: SqlCursor, signal: AbortSignal): Promise<FoundRow | undefined> {
  let found: FoundRow | undefined;
  for (;;) {
    const batch = await cursor.next();
    signal.throwIfAborted();
    if (batch.kind === "failed") throw failed(batch.cause);
    for (const row of batch.rows) {
      if (found !== undefined) throw failed("it gives more than one row");
      found = { columns: batch.columns, row };
    }
    if (batch.done) return found;
  }
}

function failed(what: string): CausewayError {
  return new CausewayError("CONFIG_INVALID", what);
}
