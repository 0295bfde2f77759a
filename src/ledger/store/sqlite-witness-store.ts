import { storing } from "./sqlite-errors.ts";
import { openSqlite, type Sqlite, type Statement } from "./sqlite-open.ts";
import { plainBytes } from "./sqlite-reader.ts";
import { witnessSchema } from "./sqlite-schema.ts";
import type { LostState, WitnessedHead, WitnessStore } from "./store.ts";
import { WalSync } from "./wal-sync.ts";

interface PromisedTerm {
  readonly term: bigint;
  readonly choice: string | null;
}

/** A later term than `@term` is promised. */
const isAbove = "EXISTS (SELECT 1 FROM promised_term WHERE promised_term.term > @term)";

/**
 * The promises of one city's witness. The comparisons with what was promised stand in the statements
 * themselves.
 */
export class SqliteWitnessStore implements WitnessStore {
  readonly #db: Sqlite;
  readonly #sync: WalSync;
  readonly #latest: Statement;
  readonly #all: Statement;
  readonly #first: Statement;
  readonly #advance: Statement;
  readonly #term: Statement;
  readonly #raiseTerm: Statement;
  readonly #lost: Statement;
  readonly #setLost: Statement;

  constructor(path: string) {
    const db = openSqlite(path, witnessSchema);
    this.#db = db;
    this.#sync = new WalSync(path);
    const prepare = (sql: string): Statement =>
      storing(() => db.prepare<unknown[]>(sql)).safeIntegers(true);
    this.#latest = prepare("SELECT size, root, note FROM promises WHERE origin = ?");
    this.#all = prepare("SELECT origin, size, root, note FROM promises");
    this.#first = prepare(
      `INSERT OR IGNORE INTO promises (origin, size, root, note)
       SELECT @origin, @size, @root, @note WHERE NOT ${isAbove}`,
    );
    this.#advance = prepare(
      `UPDATE promises SET size = @size, root = @root, note = @note
       WHERE origin = @origin AND size = @sizeBefore AND root = @rootBefore AND @size >= size
         AND NOT ${isAbove}`,
    );
    this.#term = prepare("SELECT term, choice FROM promised_term");
    this.#raiseTerm = prepare(
      `INSERT INTO promised_term (only, term, choice) VALUES (0, @term, @choice)
       ON CONFLICT (only) DO UPDATE SET term = excluded.term, choice = excluded.choice
       WHERE excluded.term > promised_term.term`,
    );
    this.#lost = prepare("SELECT key, term FROM lost_state");
    this.#setLost = prepare(
      `INSERT INTO lost_state (only, key, term) VALUES (0, ?, ?)
       ON CONFLICT (only) DO UPDATE SET key = excluded.key, term = excluded.term`,
    );
  }

  latest(origin: string): WitnessedHead | undefined {
    const row = storing(() => this.#latest.get(origin)) as WitnessedHead | undefined;
    return row === undefined ? undefined : toHead(row);
  }

  promises(): ReadonlyMap<string, WitnessedHead> {
    const rows = storing(() => this.#all.all()) as (WitnessedHead & { origin: string })[];
    return new Map(rows.map((row) => [row.origin, toHead(row)]));
  }

  promisedTerm(): bigint {
    return this.#promised()?.term ?? 0n;
  }

  promisedChoice(): string | undefined {
    return this.#promised()?.choice ?? undefined;
  }

  #promised(): PromisedTerm | undefined {
    return storing(() => this.#term.get()) as PromisedTerm | undefined;
  }

  advance(promise: Parameters<WitnessStore["advance"]>[0]): boolean {
    const { term, before } = promise;
    this.#sync.assertWell();
    return storing(() =>
      this.#db
        .transaction(() => {
          if (this.#write(promise) === 0) return false;
          // Promised by what was cosigned last in the same term: nothing to write.
          if (before === undefined) this.#raiseTerm.run({ term, choice: null });
          return true;
        })
        .immediate(),
    );
  }

  synced(): Promise<void> {
    return this.#sync.soon();
  }

  #write({ origin, term, before, after }: Parameters<WitnessStore["advance"]>[0]): number {
    const { size, root, note } = after;
    const parameters = { origin, term, size, root, note };
    if (before === undefined) return this.#first.run(parameters).changes;
    const { size: sizeBefore, root: rootBefore } = before;
    return this.#advance.run({ ...parameters, sizeBefore, rootBefore }).changes;
  }

  promiseTerm(promise: Parameters<WitnessStore["promiseTerm"]>[0]): boolean {
    const { changes } = storing(() => this.#raiseTerm.run(promise));
    this.#sync.now();
    return changes === 1;
  }

  lost(): LostState | undefined {
    return storing(() => this.#lost.get()) as LostState | undefined;
  }

  setLost({ key, term }: LostState): void {
    storing(() => this.#setLost.run(key, term));
    this.#sync.now();
  }

  close(): void {
    this.#sync.close();
    this.#db.close();
  }
}

function toHead({ size, root, note }: WitnessedHead): WitnessedHead {
  return { size, root: plainBytes(root), note: plainBytes(note) };
}
