import { storing } from "./sqlite-errors.ts";
import { openSqlite, type Sqlite, type Statement } from "./sqlite-open.ts";
import { witnessSchema } from "./sqlite-schema.ts";
import { plainBytes } from "./sqlite-reader.ts";
import type { WitnessedHead, WitnessStore } from "./store.ts";

/** The promises of one city's witness. The comparison with what was promised stands in the statement itself. */
export class SqliteWitnessStore implements WitnessStore {
  readonly #db: Sqlite;
  readonly #latest: Statement;
  readonly #first: Statement;
  readonly #advance: Statement;

  constructor(path: string) {
    const db = openSqlite(path, witnessSchema);
    this.#db = db;
    const prepare = (sql: string): Statement => storing(() => db.prepare<unknown[]>(sql));
    this.#latest = prepare("SELECT size, root, note FROM promises WHERE origin = ?").safeIntegers(
      true,
    );
    this.#first = prepare(
      "INSERT OR IGNORE INTO promises (origin, size, root, note) VALUES (?, ?, ?, ?)",
    );
    this.#advance = prepare(
      `UPDATE promises SET size = @size, root = @root, note = @note
       WHERE origin = @origin AND size = @sizeBefore AND root = @rootBefore AND @size >= size`,
    );
  }

  latest(origin: string): WitnessedHead | undefined {
    const row = storing(() => this.#latest.get(origin)) as WitnessedHead | undefined;
    return row === undefined
      ? undefined
      : { size: row.size, root: plainBytes(row.root), note: plainBytes(row.note) };
  }

  advance(origin: string, before: WitnessedHead | undefined, after: WitnessedHead): boolean {
    const { size, root, note } = after;
    if (before === undefined) {
      return storing(() => this.#first.run(origin, size, root, note)).changes === 1;
    }
    const parameters = {
      origin,
      size,
      root,
      note,
      sizeBefore: before.size,
      rootBefore: before.root,
    };
    return storing(() => this.#advance.run(parameters)).changes === 1;
  }

  close(): void {
    this.#db.close();
  }
}
