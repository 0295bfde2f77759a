import type Database from "better-sqlite3";
import { closeSync, existsSync, fsyncSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { parseUtf8 } from "../../base/bytes.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import { journalLinksChecked } from "../../base/limits.ts";
import type { Verifier } from "../../crypto/ports.ts";
import type { StateChange } from "../ports.ts";
import { storing } from "../store/sqlite-errors.ts";
import { checkChain } from "./check-chain.ts";
import { batchKeysOf, lockJournal, openJournalDatabase } from "./sqlite-open.ts";
import { SqliteJournalReader, stageNumbers } from "./sqlite-reader.ts";
import type {
  BatchRow,
  ChainTip,
  Deferred,
  JournalIdentity,
  JournalWriter,
  Mark,
} from "./store.ts";

type Statement = Database.Statement<unknown[]>;

/**
 * Opens the journal at `path`, locks it and checks the end of its chain.
 * Throws JOURNAL_LOCKED, JOURNAL_MISMATCH, STORAGE_FAILED, and JOURNAL_ROLLED_BACK while it is being
 * written again from the ledger.
 */
export function openSqliteJournal(
  path: string,
  options: { identity: JournalIdentity; verifier: Verifier },
): JournalWriter {
  const lock = lockJournal(path);
  try {
    assertNotBeingRebuilt(path);
    const db = openJournalDatabase(path, options.identity);
    try {
      syncFolder(dirname(path));
      return new SqliteJournal(db, { ...options, lock });
    } catch (error) {
      db.close();
      throw error;
    }
  } catch (error) {
    lock.close();
    throw error;
  }
}

/** File of a journal that is being written again; while it stands, the journal is not to be used. */
export function rebuiltPath(path: string): string {
  return `${path}.rebuilt`;
}

function assertNotBeingRebuilt(path: string): void {
  if (!existsSync(rebuiltPath(path))) return;
  throw new CausewayError("JOURNAL_ROLLED_BACK", `a recovery of ${path} was begun and not ended`);
}

/** A new file is durable once the entry of its folder is. */
export function syncFolder(folder: string): void {
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** The epoch that a journal written again waits for. */
export function storedAwaitedEpoch(db: Database.Database): bigint | undefined {
  const value = storing(() =>
    db.prepare("SELECT value FROM meta WHERE name = 'awaited_epoch'").pluck().get(),
  ) as Uint8Array | undefined;
  return value === undefined ? undefined : BigInt(parseUtf8(value) ?? "");
}

class SqliteJournal implements JournalWriter {
  readonly #db: Database.Database;
  readonly #lock: Database.Database;
  readonly #batch: Statement;
  readonly #epoch: Statement;
  readonly #place: Statement;
  readonly #finalLeaf: Statement;
  readonly #finalCount: Statement;
  readonly #setState: Statement;
  readonly #deleteState: Statement;
  readonly #boot: Statement;
  readonly #transaction: Database.Transaction<(work: () => void) => void>;
  readonly #epochCame: Statement;
  #tip: ChainTip | undefined;
  #awaitedEpoch: bigint | undefined;

  constructor(
    db: Database.Database,
    options: { identity: JournalIdentity; verifier: Verifier; lock: Database.Database },
  ) {
    this.#db = db;
    this.#lock = options.lock;
    const prepare = (sql: string): Statement => storing(() => db.prepare<unknown[]>(sql));
    // The number is that of the next row or nothing is written: no gap and no second row can stand.
    this.#batch = prepare(
      `INSERT INTO batches (number, epoch, seq, leaf_hash, leaf, body)
       SELECT @number, @epoch, @seq, @leafHash, @leaf, @body
       WHERE @number = (SELECT COALESCE(MAX(number) + 1, 0) FROM batches)`,
    );
    this.#epoch = prepare("INSERT INTO epochs (epoch, first_number) VALUES (?, ?)");
    this.#place = prepare(
      `INSERT INTO places (number, stage, ledger_index, term, final_size) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (number) DO UPDATE SET stage = excluded.stage,
         ledger_index = excluded.ledger_index, term = excluded.term, final_size = excluded.final_size
       WHERE places.stage < 3`,
    );
    this.#finalLeaf = prepare(
      `INSERT OR IGNORE INTO final_leaves (leaf_hash, number)
       SELECT leaf_hash, number FROM batches WHERE number = ?`,
    );
    this.#finalCount = prepare(
      "UPDATE progress SET final_count = @number + 1 WHERE final_count = @number",
    );
    this.#setState = prepare(
      `INSERT INTO states (key, value) VALUES (?, ?)
       ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
    );
    this.#deleteState = prepare("DELETE FROM states WHERE key = ?");
    this.#boot = prepare("INSERT OR IGNORE INTO boots (boot, started_at_ms) VALUES (?, ?)");
    this.#transaction = db.transaction((work: () => void) => work());
    const reader = new SqliteJournalReader(db);
    this.#tip = checkChain(reader.newest({ countMax: journalLinksChecked }), {
      ...options,
      batchKeys: batchKeysOf(db),
    });
    this.#awaitedEpoch = storedAwaitedEpoch(db);
    this.#epochCame = prepare("DELETE FROM meta WHERE name = 'awaited_epoch'");
  }

  tip(): ChainTip | undefined {
    return this.#tip;
  }

  awaitedEpoch(): bigint | undefined {
    return this.#awaitedEpoch;
  }

  beginBoot(boot: Uint8Array, startedAtMs: number): void {
    const { changes } = storing(() => this.#boot.run(boot, startedAtMs));
    if (changes === 1) return;
    throw new CausewayError(
      "JOURNAL_MISMATCH",
      "the journal knows this boot from an earlier start",
    );
  }

  append(row: BatchRow, states: readonly StateChange[], deferred: Deferred): void {
    storing(() =>
      this.#transaction.immediate(() => {
        this.#writeDeferred(deferred);
        this.#writeBatch(row);
        this.#writeStates(states);
      }),
    );
  }

  save(deferred: Deferred): void {
    storing(() => this.#transaction.immediate(() => this.#writeDeferred(deferred)));
  }

  close(): void {
    storing(() => {
      // A reader of this process may stay open behind this one, and would leave the WAL beside the file.
      this.#db.pragma("wal_checkpoint(TRUNCATE)");
      this.#db.close();
      this.#lock.close();
    });
  }

  #writeBatch(row: BatchRow): void {
    const { number, epoch, seq } = row;
    const isAwaited = this.#awaitedEpoch === undefined || epoch >= this.#awaitedEpoch;
    assertInvariant(isAwaited, `nothing is sealed before epoch ${this.#awaitedEpoch} has begun`);
    const { changes } = this.#batch.run(row);
    assertInvariant(changes === 1, `batch ${number} does not follow the last one of the journal`);
    if (seq !== 0n) return;
    this.#epoch.run(epoch, number);
    this.#epochCame.run();
  }

  #writeDeferred(deferred: Deferred): void {
    for (const mark of deferred.marks) this.#writeMark(mark);
    this.#writeStates(deferred.states);
  }

  #writeMark(mark: Mark): void {
    const { number, stage, index, term, finalSize } = mark;
    const columns = [index ?? null, term ?? null, finalSize ?? null];
    this.#place.run(number, stageNumbers[stage], ...columns);
    if (stage !== "final") return;
    this.#finalLeaf.run(number);
    this.#finalCount.run({ number });
  }

  #writeStates(states: readonly StateChange[]): void {
    for (const { key, value } of states) {
      if (value === undefined) this.#deleteState.run(key);
      else this.#setState.run(key, value);
    }
  }
}
