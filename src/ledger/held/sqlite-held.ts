import Database from "better-sqlite3";
import { concatBytes } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { assertPragma } from "../journal/sqlite-open.ts";
import { storing } from "../store/sqlite-errors.ts";
import type { HeldRecord, StoredLeaf } from "./held-record.ts";

type Statement = Database.Statement<unknown[]>;

const hashBytes = 32;

// Records of one batch share its leaf.
const schema = `
CREATE TABLE IF NOT EXISTS leaves (
  leaf_hash BLOB PRIMARY KEY,
  leaf BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (
  number INTEGER PRIMARY KEY,
  leaf_hash BLOB NOT NULL,
  position INTEGER NOT NULL,
  record BLOB NOT NULL,
  path BLOB NOT NULL, -- the hashes one after another
  UNIQUE (leaf_hash, position)
) STRICT;
`;

interface RecordColumns {
  readonly leaf_hash: Uint8Array;
  readonly leaf: Uint8Array;
  readonly position: number;
  readonly record: Uint8Array;
  readonly path: Uint8Array;
}

/** The database of the records that are held until they are final; one process has it open. */
export class SqliteHeld {
  readonly #db: Database.Database;
  readonly #recordsMax: number;
  readonly #insertLeaf: Statement;
  readonly #insertRecord: Statement;
  readonly #deleteLeaf: Statement;
  readonly #deleteRecords: Statement;
  readonly #deleteOldest: Statement;
  readonly #deleteBare: Statement;
  readonly #select: Statement;
  readonly #selectLeaves: Statement;
  #count: number;

  /** Above `recordsMax` records the oldest are let go. Throws STORAGE_FAILED. */
  constructor(path: string, recordsMax: number) {
    this.#recordsMax = recordsMax;
    this.#db = openDatabase(path);
    const prepare = (sql: string): Statement => storing(() => this.#db.prepare<unknown[]>(sql));
    this.#insertLeaf = prepare("INSERT OR IGNORE INTO leaves (leaf_hash, leaf) VALUES (?, ?)");
    this.#insertRecord = prepare(
      "INSERT OR IGNORE INTO records (leaf_hash, position, record, path) VALUES (?, ?, ?, ?)",
    );
    this.#deleteLeaf = prepare("DELETE FROM leaves WHERE leaf_hash = ?");
    this.#deleteRecords = prepare("DELETE FROM records WHERE leaf_hash = ?");
    this.#deleteOldest = prepare(
      "DELETE FROM records WHERE number IN (SELECT number FROM records ORDER BY number LIMIT ?)",
    );
    this.#deleteBare = prepare(
      "DELETE FROM leaves WHERE leaf_hash NOT IN (SELECT leaf_hash FROM records)",
    );
    this.#select = prepare(
      `SELECT leaf_hash, leaf, position, record, path FROM records JOIN leaves USING (leaf_hash)
       WHERE leaf_hash = ? ORDER BY position`,
    );
    this.#selectLeaves = prepare("SELECT leaf_hash, leaf FROM leaves");
    this.#count = storing(() =>
      this.#db.prepare("SELECT COUNT(*) FROM records").pluck().get(),
    ) as number;
  }

  /** One transaction. It outlives the process at once, and a loss of power from the next checkpoint on. */
  put(records: readonly HeldRecord[]): void {
    this.#transaction(() => {
      for (const { leafHash, leaf, position, record, path } of records) {
        this.#insertLeaf.run(leafHash, leaf);
        const inserted = this.#insertRecord.run(leafHash, position, record, concatBytes(...path));
        this.#count += inserted.changes;
      }
      if (this.#count > this.#recordsMax) this.#letGo();
    });
  }

  remove(leafHashes: readonly Uint8Array[]): void {
    this.#transaction(() => {
      for (const leafHash of leafHashes) {
        this.#count -= this.#deleteRecords.run(leafHash).changes;
        this.#deleteLeaf.run(leafHash);
      }
    });
  }

  /** The records of one leaf by their position. */
  get(leafHash: Uint8Array): readonly HeldRecord[] {
    const rows = storing(() => this.#select.all(leafHash)) as RecordColumns[];
    return rows.map(({ leaf_hash, leaf, position, record, path }) => ({
      leafHash: leaf_hash,
      leaf,
      position,
      record,
      path: hashesOf(path),
    }));
  }

  leaves(): readonly StoredLeaf[] {
    const rows = storing(() => this.#selectLeaves.all()) as RecordColumns[];
    return rows.map(({ leaf_hash: leafHash, leaf }) => ({ leafHash, leaf }));
  }

  close(): void {
    storing(() => this.#db.close());
  }

  /** A sixteenth at once: each time costs a look at all leaves. */
  #letGo(): void {
    const over = this.#count - this.#recordsMax + Math.floor(this.#recordsMax / 16);
    this.#count -= this.#deleteOldest.run(over).changes;
    this.#deleteBare.run();
  }

  #transaction(work: () => void): void {
    storing(() => this.#db.transaction(work).immediate());
  }
}

function hashesOf(path: Uint8Array): readonly Uint8Array[] {
  const hashes: Uint8Array[] = [];
  for (let at = 0; at < path.length; at += hashBytes) hashes.push(path.slice(at, at + hashBytes));
  return hashes;
}

function openDatabase(path: string): Database.Database {
  return storing(() => {
    const db = new Database(path, { timeout: 0 });
    try {
      db.exec("PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL;");
      db.exec("PRAGMA synchronous = NORMAL;");
      assertPragma(db, { name: "journal_mode", expected: "wal" });
      assertPragma(db, { name: "synchronous", expected: 1 });
      const [row] = db.pragma("wal_checkpoint(TRUNCATE)") as { busy: number }[];
      if (row?.busy !== 0) {
        throw new CausewayError("STORAGE_FAILED", "the WAL was not written back");
      }
      db.exec(`BEGIN IMMEDIATE; ${schema} COMMIT;`);
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  });
}
