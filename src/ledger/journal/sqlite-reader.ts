import type Database from "better-sqlite3";
import { copyDatabase } from "../store/sqlite-copy.ts";
import { storing } from "../store/sqlite-errors.ts";
import { unframe } from "./framing.ts";
import { openJournalReadOnly } from "./sqlite-open.ts";
import type { JournalBatch, JournalReader, Mark, Place, Stage } from "./store.ts";

type Statement = Database.Statement<unknown[]>;

/** How a stage stands in the table; a sealed batch has no row. */
export const stageNumbers: Readonly<Record<Stage, number>> = {
  sealed: 0,
  submitted: 1,
  included: 2,
  final: 3,
};
const stages: readonly Stage[] = ["sealed", "submitted", "included", "final"];

interface PlaceColumns {
  readonly number: bigint;
  readonly stage: bigint | null;
  readonly ledger_index: bigint | null;
  readonly term: bigint | null;
  readonly final_size: bigint | null;
}

interface BatchColumns extends PlaceColumns {
  readonly epoch: bigint;
  readonly seq: bigint;
  readonly leaf_hash: Uint8Array;
  readonly leaf: Uint8Array;
  readonly body: Uint8Array;
}

const batchQuery = `SELECT b.number, b.epoch, b.seq, b.leaf_hash, b.leaf, b.body,
  p.stage, p.ledger_index, p.term, p.final_size
  FROM batches b LEFT JOIN places p ON p.number = b.number`;

/** Opens a journal for reads, beside the writer of this process. Throws STORAGE_FAILED. */
export function openSqliteJournalReader(path: string): JournalReader {
  return new SqliteJournalReader(openJournalReadOnly(path));
}

/** Reads a journal's tables. Statements are prepared once and kept for the life of the process. */
export class SqliteJournalReader implements JournalReader {
  readonly #db: Database.Database;
  readonly #batchCount: Statement;
  readonly #finalCount: Statement;
  readonly #batch: Statement;
  readonly #leafHash: Statement;
  readonly #byPlace: Statement;
  readonly #finalByHash: Statement;
  readonly #openByHash: Statement;
  readonly #newest: Statement;
  readonly #unfinished: Statement;
  readonly #state: Statement;
  readonly #states: Statement;

  constructor(db: Database.Database) {
    this.#db = db;
    const prepare = (sql: string): Statement =>
      storing(() => db.prepare<unknown[]>(sql)).safeIntegers(true);
    const finalCount = "(SELECT final_count FROM progress)";
    this.#batchCount = prepare("SELECT COALESCE(MAX(number) + 1, 0) FROM batches").pluck();
    this.#finalCount = prepare("SELECT final_count FROM progress").pluck();
    this.#batch = prepare(`${batchQuery} WHERE b.number = ?`);
    this.#leafHash = prepare("SELECT leaf_hash FROM batches WHERE number = ?").pluck();
    this.#byPlace = prepare(
      `${batchQuery} WHERE b.number = (SELECT first_number FROM epochs WHERE epoch = @epoch) + @seq
       AND b.epoch = @epoch`,
    );
    this.#finalByHash = prepare(
      `${batchQuery} WHERE b.number = (SELECT number FROM final_leaves WHERE leaf_hash = ?)`,
    );
    // Batches that are not final have no index by hash: they are few, and an index would cost every seal.
    this.#openByHash = prepare(
      `${batchQuery} WHERE b.number >= ${finalCount} AND b.leaf_hash = ? ORDER BY b.number LIMIT 1`,
    );
    this.#newest = prepare(`${batchQuery} WHERE b.number < ? ORDER BY b.number DESC LIMIT ?`);
    this.#unfinished = prepare(
      `SELECT b.number, p.stage, p.ledger_index, p.term, p.final_size
       FROM batches b LEFT JOIN places p ON p.number = b.number
       WHERE b.number >= ${finalCount} ORDER BY b.number`,
    );
    this.#state = prepare("SELECT value FROM states WHERE key = ?").pluck();
    this.#states = prepare("SELECT key, value FROM states WHERE key >= ? AND key < ? ORDER BY key");
  }

  batchCount(): number {
    return Number(storing(() => this.#batchCount.get()));
  }

  finalCount(): number {
    return Number(storing(() => this.#finalCount.get()));
  }

  tip(): JournalBatch | undefined {
    return this.newest({ countMax: 1 })[0];
  }

  batch(number: number): JournalBatch | undefined {
    return this.#one(this.#batch, number);
  }

  leafHash(number: number): Uint8Array | undefined {
    return storing(() => this.#leafHash.get(number)) as Uint8Array | undefined;
  }

  batchAt(place: { epoch: bigint; seq: bigint }): JournalBatch | undefined {
    return this.#one(this.#byPlace, { epoch: place.epoch, seq: place.seq });
  }

  batchByLeafHash(leafHash: Uint8Array): JournalBatch | undefined {
    return this.#one(this.#finalByHash, leafHash) ?? this.#one(this.#openByHash, leafHash);
  }

  newest(range: { countMax: number; before?: number }): readonly JournalBatch[] {
    const before = range.before ?? Number.MAX_SAFE_INTEGER;
    const rows = storing(() => this.#newest.all(before, range.countMax));
    return (rows as BatchColumns[]).map(toBatch);
  }

  unfinished(): readonly Mark[] {
    const rows = storing(() => this.#unfinished.all()) as PlaceColumns[];
    return rows.map((row) => ({ number: Number(row.number), ...toPlace(row) }));
  }

  state(key: string): Uint8Array | undefined {
    return storing(() => this.#state.get(key)) as Uint8Array | undefined;
  }

  states(prefix: string): readonly { readonly key: string; readonly value: Uint8Array }[] {
    // U+10FFFF is the last code point in the order of the bytes.
    const rows = storing(() => this.#states.all(prefix, `${prefix}\u{10FFFF}`));
    return rows as { key: string; value: Uint8Array }[];
  }

  async copyTo(path: string): Promise<void> {
    // In a read transaction the copy is of one moment, and does not begin anew with each seal.
    storing(() => this.#db.exec("BEGIN; SELECT final_count FROM progress;"));
    try {
      await copyDatabase(this.#db, path);
    } finally {
      storing(() => this.#db.exec("ROLLBACK"));
    }
  }

  close(): void {
    storing(() => this.#db.close());
  }

  #one(statement: Statement, ...parameters: readonly unknown[]): JournalBatch | undefined {
    const row = storing(() => statement.get(...parameters)) as BatchColumns | undefined;
    return row === undefined ? undefined : toBatch(row);
  }
}

function toBatch(row: BatchColumns): JournalBatch {
  return {
    number: Number(row.number),
    epoch: row.epoch,
    seq: row.seq,
    leafHash: row.leaf_hash,
    leaf: row.leaf,
    records: unframe(row.body),
    place: toPlace(row),
  };
}

function toPlace(row: PlaceColumns): Place {
  return {
    stage: stages[Number(row.stage ?? 0n)] as Stage,
    ...(row.ledger_index === null ? {} : { index: row.ledger_index }),
    ...(row.term === null ? {} : { term: row.term }),
    ...(row.final_size === null ? {} : { finalSize: row.final_size }),
  };
}
