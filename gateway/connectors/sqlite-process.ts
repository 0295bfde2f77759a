/**
 * The process that reads a SQLite database for a gateway. SQLite cannot be interrupted in the middle of a
 * step from JavaScript: a query that takes too long ends with its process.
 */
import { Worker } from "node:worker_threads";
import Database from "better-sqlite3";
import { sqlBatchBytesMax, sqlBatchRowsMax } from "../../src/base/limits.ts";
import type { SqlRow, SqlValue } from "./sql-database.ts";
import type { FromSqlite, ToSqlite } from "./sqlite-message.ts";

const busyMs = 5_000;
const statementsMax = 256;

let database: Database.Database | undefined;
const statements = new Map<string, Database.Statement>();
let reading:
  | { readonly statement: Database.Statement; readonly rows: Iterator<unknown> }
  | undefined;

function openDatabase(file: string): Database.Database {
  const opened = new Database(file, { readonly: true, fileMustExist: true, timeout: busyMs });
  opened.pragma("query_only = 1");
  opened.pragma("trusted_schema = 0");
  opened.defaultSafeIntegers(true);
  return opened;
}

function prepare(text: string): Database.Statement {
  database ??= openDatabase(process.argv[2] as string);
  const known = statements.get(text);
  if (known !== undefined) return known;
  const statement = database.prepare(text);
  if (statements.size >= statementsMax) statements.clear();
  statements.set(text, statement);
  return statement;
}

function describe(text: string): FromSqlite {
  // One that was prepared before the database changed would tell the columns of then.
  statements.delete(text);
  const statement = prepare(text);
  if (!statement.reader || !statement.readonly) {
    return { kind: "refused", what: "it does not only read" };
  }
  return { kind: "columns", columns: statement.columns().map(({ name }) => name) };
}

function read(text: string, parameters: readonly SqlValue[]): FromSqlite {
  const statement = prepare(text);
  if (!statement.reader || !statement.readonly) return { kind: "failed", code: "SQLITE_READONLY" };
  const named = Object.fromEntries(parameters.map((value, i) => [`p${i + 1}`, bound(value)]));
  statement.raw(true);
  const rows = parameters.length === 0 ? statement.iterate() : statement.iterate(named);
  reading = { statement, rows };
  return next();
}

function next(): FromSqlite {
  const rows: SqlRow[] = [];
  // A step prepares a statement anew when the database has changed: only then are these its columns.
  const columns = (): string[] => reading?.statement.columns().map(({ name }) => name) ?? [];
  let bytes = 0;
  while (rows.length < sqlBatchRowsMax && bytes < sqlBatchBytesMax) {
    const step = reading?.rows.next();
    if (step === undefined || step.done === true) {
      const answer: FromSqlite = { kind: "rows", columns: columns(), rows, done: true };
      reading = undefined;
      return answer;
    }
    const row = step.value as SqlRow;
    rows.push(row);
    for (const value of row) {
      if (typeof value === "string" || value instanceof Uint8Array) bytes += value.length;
    }
  }
  return { kind: "rows", columns: columns(), rows, done: false };
}

function stop(): FromSqlite {
  reading?.rows.return?.();
  reading = undefined;
  return { kind: "stopped" };
}

/** SQLite has no truth values and no arrays: those are 0 and 1, and JSON. */
function bound(value: SqlValue): unknown {
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (value instanceof Uint8Array) return Buffer.from(value);
  return Array.isArray(value) ? `[${value.map(jsonText).join(",")}]` : value;
}

function jsonText(value: SqlValue): string {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return JSON.stringify(Buffer.from(value).toString("base64"));
  return JSON.stringify(value);
}

function handle(message: ToSqlite): FromSqlite {
  switch (message.kind) {
    case "describe":
      return describe(message.text);
    case "read":
      return read(message.text, message.parameters);
    case "next":
      return next();
    case "stop":
      return stop();
  }
}

function answer(message: ToSqlite): FromSqlite {
  try {
    return handle(message);
  } catch (error) {
    reading = undefined;
    const code = error instanceof Database.SqliteError ? error.code : "SQLITE_ERROR";
    if (database === undefined) return { kind: "closed", code };
    if (message.kind !== "describe") return { kind: "failed", code };
    // The operator's own query: its text may be shown to its operator.
    return { kind: "refused", what: error instanceof Error ? error.message : code };
  }
}

process.on("message", (message: ToSqlite) => process.send?.(answer(message)));
process.on("disconnect", () => process.exit(0));
new Worker(new URL("./sqlite-watch.js", import.meta.url));
