import Database from "better-sqlite3";
import { emptyBytes, utf8 } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { assertPragma } from "../journal/sqlite-open.ts";
import { storing } from "../store/sqlite-errors.ts";
import { frame } from "../journal/framing.ts";
import { type Erasure, erasureRoot } from "./erasure.ts";
import {
  createOpeningsCipher,
  createRowKey,
  type OpeningsCipher,
  rowKeyBytes,
} from "./openings-cipher.ts";

type Statement = Database.Statement<unknown[]>;

// Parts of one id are kept apart: an attempt learns its salts one after another.
const schema = `
CREATE TABLE IF NOT EXISTS openings (
  number INTEGER PRIMARY KEY,
  id BLOB NOT NULL,
  part BLOB NOT NULL -- encrypted
) STRICT;
CREATE INDEX IF NOT EXISTS openings_by_id ON openings (id);
-- What each part is encrypted under beside the key file. No row is ever deleted, so that none is moved: where
-- SQLite moves rows between pages it leaves copies in their gaps, and secure_delete does not find those. An
-- erasure writes zeros over the key where it stands.
CREATE TABLE IF NOT EXISTS part_keys (
  number INTEGER PRIMARY KEY,
  part_key BLOB NOT NULL
) STRICT;
-- Parts of a store from before the keys have none: numbers go on behind theirs.
INSERT INTO part_keys SELECT MAX(number), x'' FROM openings
  WHERE NOT EXISTS (SELECT 1 FROM part_keys) HAVING MAX(number) IS NOT NULL;
-- What was erased and is recorded on the ledger. Ids are those of exchanges, and open nothing; with the
-- secret it can be shown that one of them is among the hashes under the root.
CREATE TABLE IF NOT EXISTS erasures (
  number INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  secret BLOB NOT NULL,
  ids BLOB NOT NULL, -- u32be length and id, for each id
  count INTEGER NOT NULL,
  root BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS key_check (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  part BLOB NOT NULL
) STRICT;
`;

const checkRow = { id: utf8("key check"), rowKey: emptyBytes };

/** Ids from `from` on and below `to`, by their bytes: at most `countMax`, the lowest first. */
export interface IdRange {
  readonly from: Uint8Array;
  readonly to: Uint8Array;
  readonly countMax: number;
}

/** One part of an opening, in the clear. */
export interface OpeningPart {
  readonly id: Uint8Array;
  readonly part: Uint8Array;
}

interface PartRow {
  readonly part: Uint8Array;
  /** `null` for a part of a store from before the keys. */
  readonly part_key: Uint8Array | null;
}

/** The database of the openings; one process has it open. */
export class SqliteOpenings {
  readonly #db: Database.Database;
  readonly #cipher: OpeningsCipher;
  readonly #insertKey: Statement;
  readonly #insert: Statement;
  readonly #select: Statement;
  readonly #deleteKeys: Statement;
  readonly #delete: Statement;
  readonly #find: Statement;
  readonly #insertErasure: Statement;
  readonly #selectErasures: Statement;

  /** Throws KEY_LOCKED for another key than the database was made with, STORAGE_FAILED. */
  constructor(path: string, key: Uint8Array) {
    this.#cipher = createOpeningsCipher(key);
    this.#db = openDatabase(path);
    const prepare = (sql: string): Statement => storing(() => this.#db.prepare<unknown[]>(sql));
    this.#insertKey = prepare("INSERT INTO part_keys (part_key) VALUES (?)");
    this.#insert = prepare("INSERT INTO openings (number, id, part) VALUES (?, ?, ?)");
    this.#select = prepare(
      `SELECT part, part_key FROM openings LEFT JOIN part_keys USING (number)
       WHERE id = ? ORDER BY openings.number`,
    );
    this.#deleteKeys = prepare(
      `UPDATE part_keys SET part_key = zeroblob(${rowKeyBytes})
       WHERE number IN (SELECT number FROM openings WHERE id = ?)`,
    );
    this.#delete = prepare("DELETE FROM openings WHERE id = ?");
    this.#find = prepare(
      "SELECT DISTINCT id FROM openings WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
    ).pluck();
    this.#insertErasure = prepare(
      "INSERT INTO erasures (at_ms, secret, ids, count, root) VALUES (?, ?, ?, ?, ?)",
    );
    this.#selectErasures = prepare(
      "SELECT number, count, root FROM erasures WHERE number > ? ORDER BY number",
    );
    try {
      this.#checkKey();
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  /** One transaction. It outlives the process at once, and a loss of power from the next checkpoint on. */
  put(parts: readonly OpeningPart[]): void {
    this.#transaction(() => {
      for (const { id, part } of parts) {
        const rowKey = createRowKey();
        const { lastInsertRowid: number } = this.#insertKey.run(rowKey);
        this.#insert.run(number, id, this.#cipher.encrypt({ id, rowKey }, part));
      }
    });
  }

  /** The parts of `id` in the order they were put. */
  get(id: Uint8Array): readonly Uint8Array[] {
    const rows = storing(() => this.#select.all(id)) as PartRow[];
    return rows.map(({ part, part_key: rowKey }) =>
      this.#cipher.decrypt({ id, rowKey: rowKey ?? emptyBytes }, part),
    );
  }

  /**
   * Deletes every part of each id, with its key, and returns how many ids had any. When it returns, the
   * pages are overwritten and durable, and the write-ahead log, which held them too, is empty.
   */
  erase(ids: readonly Uint8Array[]): number {
    let erased = 0;
    this.#transaction(() => {
      for (const id of ids) if (this.#deleteParts(id)) erased += 1;
    });
    this.#writeBack();
    return erased;
  }

  find({ from, to, countMax }: IdRange): readonly Uint8Array[] {
    return storing(() => this.#find.all(from, to, countMax)) as Uint8Array[];
  }

  /** Erases what the range finds, and keeps the erasure in the same transaction; `undefined` when there is nothing. */
  eraseRecorded(
    range: IdRange,
    { atMs, secret }: { readonly atMs: number; readonly secret: Uint8Array },
  ): Erasure | undefined {
    const ids = this.find(range);
    if (ids.length === 0) return undefined;
    const root = erasureRoot(secret, ids);
    let number = 0;
    this.#transaction(() => {
      for (const id of ids) this.#deleteParts(id);
      const row = [atMs, secret, frame(ids), ids.length, root];
      number = Number(this.#insertErasure.run(...row).lastInsertRowid);
    });
    this.#writeBack();
    return { number, count: ids.length, root };
  }

  erasures(after: number): readonly Erasure[] {
    return storing(() => this.#selectErasures.all(after)) as Erasure[];
  }

  close(): void {
    this.#writeBack();
    storing(() => this.#db.close());
  }

  #deleteParts(id: Uint8Array): boolean {
    this.#deleteKeys.run(id);
    return this.#delete.run(id).changes > 0;
  }

  #transaction(work: () => void): void {
    storing(() => this.#db.transaction(work).immediate());
  }

  #writeBack(): void {
    writeBack(this.#db);
  }

  #checkKey(): void {
    storing(() =>
      this.#db
        .prepare("INSERT OR IGNORE INTO key_check (id, part) VALUES (1, ?)")
        .run(this.#cipher.encrypt(checkRow, checkRow.id)),
    );
    const part = storing(() => this.#db.prepare("SELECT part FROM key_check").pluck().get());
    this.#cipher.decrypt(checkRow, part as Uint8Array);
  }
}

function openDatabase(path: string): Database.Database {
  return storing(() => {
    const db = new Database(path, { timeout: 0 });
    try {
      // Before the first table: a page that is freed is overwritten.
      db.exec("PRAGMA secure_delete = ON; PRAGMA locking_mode = EXCLUSIVE;");
      db.exec(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;",
      );
      assertPragma(db, { name: "secure_delete", expected: 1 });
      assertPragma(db, { name: "journal_mode", expected: "wal" });
      assertPragma(db, { name: "synchronous", expected: 1 });
      writeBack(db);
      db.exec(`BEGIN IMMEDIATE; ${schema} COMMIT;`);
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  });
}

function writeBack(db: Database.Database): void {
  const [row] = storing(() => db.pragma("wal_checkpoint(TRUNCATE)")) as { busy: number }[];
  if (row?.busy !== 0) throw new CausewayError("STORAGE_FAILED", "the WAL was not written back");
}
