import Database from "better-sqlite3";
import { CausewayError } from "../../base/errors.ts";
import { storing } from "./sqlite-errors.ts";

export type Sqlite = Database.Database;
export type Statement = Database.Statement<unknown[]>;

/**
 * Opens a database that this process alone may use. Its commits survive the end of the process; a loss of
 * power they survive once a `WalSync` has synced. The WAL is first written back whole: after a failed fsync
 * the page cache may show rows that the disk does not have, so nothing is read before that succeeded.
 * Throws STORE_LOCKED, STORAGE_FAILED.
 */
export function openSqlite(path: string, schema: string): Sqlite {
  return storing(() => {
    const db = new Database(path, { timeout: 0 });
    try {
      lock(db, path);
      db.exec("PRAGMA synchronous = NORMAL;");
      assertPragma(db, "journal_mode", "wal");
      assertPragma(db, "synchronous", 1);
      const [row] = db.pragma("wal_checkpoint(TRUNCATE)") as { busy: number }[];
      if (row?.busy !== 0)
        throw new CausewayError("STORAGE_FAILED", "the WAL was not written back");
      db.exec(`BEGIN IMMEDIATE; ${schema}; COMMIT;`);
    } catch (error) {
      db.close();
      throw error;
    }
    return db;
  });
}

/** The first access takes the lock, which the process keeps until it ends. Throws STORE_LOCKED. */
function lock(db: Sqlite, path: string): void {
  try {
    db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;");
  } catch (cause) {
    if (!(cause instanceof Database.SqliteError) || !cause.code.startsWith("SQLITE_BUSY"))
      throw cause;
    throw new CausewayError("STORE_LOCKED", `another process holds ${path}`, { cause });
  }
}

function assertPragma(db: Sqlite, name: string, expected: string | number): void {
  const value = db.pragma(name, { simple: true });
  if (value !== expected) {
    throw new CausewayError("STORAGE_FAILED", `${name} is ${String(value)}, not ${expected}`);
  }
}
