import Database from "better-sqlite3";
import { equalBytes, utf8 } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { storing } from "../store/sqlite-errors.ts";
import { journalSchema, journalVersion } from "./sqlite-schema.ts";
import type { JournalIdentity } from "./store.ts";

/**
 * Locks the journal at `path` for this process, for as long as the result is open. The lock is an
 * exclusive transaction on a file of its own, which the system ends with the process however it dies.
 * Throws JOURNAL_LOCKED.
 */
export function lockJournal(path: string): Database.Database {
  return storing(() => {
    const lock = new Database(`${path}.lock`, { timeout: 0 });
    try {
      lock.exec("BEGIN EXCLUSIVE");
      return lock;
    } catch (cause) {
      lock.close();
      if (!isBusy(cause)) throw cause;
      throw new CausewayError("JOURNAL_LOCKED", `another process holds ${path}`, { cause });
    }
  });
}

function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith("SQLITE_BUSY");
}

/**
 * Opens the database of a locked journal so that commits survive a loss of power. The WAL is first
 * written back whole: after a failed fsync the page cache may show rows that the disk does not have,
 * so nothing is read before that succeeded.
 */
export function openJournalDatabase(path: string, identity: JournalIdentity): Database.Database {
  return storing(() => {
    const db = new Database(path, { timeout: 0 });
    try {
      db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF;");
      assertPragma(db, { name: "journal_mode", expected: "wal" });
      assertPragma(db, { name: "synchronous", expected: 2 });
      const [row] = db.pragma("wal_checkpoint(TRUNCATE)") as { busy: number }[];
      if (row?.busy !== 0)
        throw new CausewayError("STORAGE_FAILED", "the WAL was not written back");
      db.exec(`BEGIN IMMEDIATE; ${journalSchema} COMMIT;`);
      bindIdentity(db, identity);
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  });
}

/** A second connection for reads, beside the writer of the same process. */
export function openJournalReadOnly(path: string): Database.Database {
  return storing(() => new Database(path, { readonly: true, fileMustExist: true, timeout: 1000 }));
}

export function assertPragma(
  db: Database.Database,
  pragma: { name: string; expected: string | number },
): void {
  const value = db.pragma(pragma.name, { simple: true });
  if (value === pragma.expected) return;
  throw new CausewayError(
    "STORAGE_FAILED",
    `${pragma.name} is ${String(value)}, not ${pragma.expected}`,
  );
}

/** Writes whose journal a new one is; an old one must say the same. */
function bindIdentity(db: Database.Database, identity: JournalIdentity): void {
  const insert = db.prepare("INSERT OR IGNORE INTO meta (name, value) VALUES (?, ?)");
  const select = db.prepare("SELECT value FROM meta WHERE name = ?").pluck();
  const expected: readonly (readonly [string, Uint8Array])[] = [
    ["version", utf8(String(journalVersion))],
    ["gateway", utf8(identity.gateway)],
    ["network", identity.network],
  ];
  db.transaction(() => {
    for (const [name, value] of expected) {
      insert.run(name, value);
      if (equalBytes(select.get(name) as Uint8Array, value)) continue;
      throw new CausewayError("JOURNAL_MISMATCH", `the journal was made with another ${name}`, {
        fields: { name },
      });
    }
    bindBatchKey(db, identity);
  }).immediate();
}

/** A key follows one that the ledger binds to the gateway as well; one that was followed never comes back. */
function bindBatchKey(db: Database.Database, identity: JournalIdentity): void {
  const { batchKey, otherBatchKeys = [] } = identity;
  const current = db.prepare("SELECT value FROM meta WHERE name = 'batch_key'").pluck().get() as
    | Uint8Array
    | undefined;
  const note = db.prepare("INSERT OR IGNORE INTO batch_keys (batch_key) VALUES (?)");
  if (current !== undefined) {
    note.run(current);
    if (equalBytes(current, batchKey)) return;
    const isBound = otherBatchKeys.some((key) => equalBytes(key, current));
    if (!isBound || note.run(batchKey).changes === 0) {
      throw new CausewayError("JOURNAL_MISMATCH", "the journal was made with another batch_key", {
        fields: { name: "batch_key" },
      });
    }
  }
  note.run(batchKey);
  db.prepare(
    `INSERT INTO meta (name, value) VALUES ('batch_key', ?)
     ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
  ).run(batchKey);
}

/** The batch keys that sealed, or may have sealed, what the journal holds. */
export function batchKeysOf(db: Database.Database): readonly Uint8Array[] {
  return storing(() =>
    db.prepare("SELECT batch_key FROM batch_keys ORDER BY number").pluck().all(),
  ) as Uint8Array[];
}
