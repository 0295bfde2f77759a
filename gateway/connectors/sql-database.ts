/** What the SQL connector asks of a database: one read-only query at a time, row by row. */
import type { SqlDialect } from "./sql-query.ts";

/** A value as a database gives or takes it. Whole numbers are `bigint`. */
export type SqlValue = null | boolean | bigint | number | string | Uint8Array | readonly SqlValue[];

export type SqlRow = readonly SqlValue[];

export interface SqlRead {
  /** With the placeholders of the dialect. */
  readonly text: string;
  readonly parameters: readonly SqlValue[];
  /** For the database's own bound; `undefined` for none. */
  readonly timeoutMs: number | undefined;
  /** Ends the query in the database, whatever it is doing. */
  readonly signal: AbortSignal;
}

/** What a cursor gives: rows, and whether there may be more; or why the database did not run the query. */
export type SqlBatch =
  | {
      readonly kind: "rows";
      /** Names of the columns, as they are when these rows are read. */
      readonly columns: readonly string[];
      readonly rows: readonly SqlRow[];
      readonly done: boolean;
    }
  | { readonly kind: "failed"; readonly grpcCode: number; readonly cause: string };

export interface SqlCursor {
  next(): Promise<SqlBatch>;
  /** Lets the connection go; at any time, more than once. */
  close(): Promise<void>;
}

export interface SqlDatabase {
  readonly dialect: SqlDialect;
  /**
   * The columns of a query, which is not run. Rejects with CONFIG_INVALID when the database does not
   * take it as one statement that only reads, UPSTREAM_UNAVAILABLE when it cannot be asked.
   */
  describe(text: string, parameterCount: number): Promise<readonly string[]>;
  /**
   * Begins a query. Rejects with UPSTREAM_UNAVAILABLE, BUSY, or the reason of the signal.
   */
  read(read: SqlRead): Promise<SqlCursor>;
  /** The elements of an array that the database gave as text; `undefined` when it is none. */
  elementsOf(text: string): readonly SqlValue[] | undefined;
  close(): Promise<void>;
}
