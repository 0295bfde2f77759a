/** What passes between a gateway and the process that holds a SQLite database for it. One answer to each request. */
import type { SqlRow, SqlValue } from "./sql-database.ts";

export type ToSqlite =
  | { readonly kind: "describe"; readonly text: string }
  | { readonly kind: "read"; readonly text: string; readonly parameters: readonly SqlValue[] }
  /** The next rows of what is read. */
  | { readonly kind: "next" }
  | { readonly kind: "stop" };

export type FromSqlite =
  | { readonly kind: "columns"; readonly columns: readonly string[] }
  | { readonly kind: "refused"; readonly what: string }
  | {
      readonly kind: "rows";
      readonly columns: readonly string[];
      readonly rows: readonly SqlRow[];
      readonly done: boolean;
    }
  /** The database did not run it: the code of the driver's error, none of its text. */
  | { readonly kind: "failed"; readonly code: string }
  /** The database cannot be opened. */
  | { readonly kind: "closed"; readonly code: string }
  | { readonly kind: "stopped" };
