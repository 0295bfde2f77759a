import Database from "better-sqlite3";
import { existsSync } from "node:fs";
import { CausewayError } from "../../base/errors.ts";
import type { Sqlite } from "./sqlite-open.ts";

/** Pages that are copied between two turns of the event loop. */
const pagesATurn = 256;

/**
 * Copies an open database to a new file. What its own connection writes meanwhile comes along; another
 * connection's writes do not disturb it when this one holds a read transaction.
 * Rejects with FOLDER_NOT_EMPTY when something stands there, and with STORAGE_FAILED.
 */
export async function copyDatabase(db: Sqlite, path: string): Promise<void> {
  if (existsSync(path)) throw new CausewayError("FOLDER_NOT_EMPTY", `${path} exists already`);
  try {
    await db.backup(path, { progress: () => pagesATurn });
    // One file: a copy that says WAL would leave a log beside it with each look into it.
    const copy = new Database(path);
    copy.exec("PRAGMA journal_mode = DELETE");
    copy.close();
  } catch (cause) {
    throw new CausewayError("STORAGE_FAILED", `the database cannot be copied to ${path}`, {
      cause,
    });
  }
}
