/**
 * A journal is written again from what the ledger holds of its chain, and takes the place of the one
 * that was lost, damaged or set back. The old file is moved aside and never deleted.
 *
 * The new one is written beside it under another name, and as long as that name stands no process opens
 * the journal: a death at any step leaves a journal that is not used, and doing all of it again ends it.
 * In its place it waits for the new epoch; nothing is sealed before that has begun.
 */
import type Database from "better-sqlite3";
import { existsSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { utf8 } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { journalLinksChecked, journalRebuildGroup } from "../../base/limits.ts";
import type { Verifier } from "../../crypto/ports.ts";
import type { StateChange } from "../ports.ts";
import { storing } from "../store/sqlite-errors.ts";
import { checkChain } from "./check-chain.ts";
import { rebuiltPath, syncFolder } from "./sqlite-journal.ts";
import { batchKeysOf, openJournalDatabase } from "./sqlite-open.ts";
import { SqliteJournalReader, stageNumbers } from "./sqlite-reader.ts";
import type { BatchRow, ChainTip, JournalIdentity, Place } from "./store.ts";

/** A batch of the own chain as the ledger holds it. */
export interface RebuiltBatch extends Omit<BatchRow, "number"> {
  readonly place: Place;
  readonly boot: Uint8Array;
  /** Unix milliseconds. */
  readonly sealedAtMs: number;
  /** What its records change in the journal's own state. */
  readonly states: readonly StateChange[];
}

export interface RebuildOptions {
  /** Path of the journal, which the caller has locked (`lockJournal`). */
  readonly path: string;
  readonly identity: JournalIdentity;
  readonly verifier: Verifier;
  /** The whole chain in its order. */
  readonly batches: Iterable<RebuiltBatch>;
  /** Nothing is sealed in the new journal before this epoch; `undefined` when the chain has no batch. */
  readonly awaitedEpoch: bigint | undefined;
  /** The file system's own unless given. */
  readonly rename?: (from: string, to: string) => void;
}

export interface RebuiltJournal {
  readonly tip: ChainTip | undefined;
  /** Where the journal that stood there is now; `undefined` when none did. */
  readonly replaced: string | undefined;
}

/** Throws STORAGE_FAILED when the disk refuses, or when the batches are no chain of this gateway. */
export function rebuildJournal(options: RebuildOptions): RebuiltJournal {
  const { path, rename = renameSync } = options;
  const rebuilt = rebuiltPath(path);
  return storingFiles(() => {
    for (const suffix of suffixes) rmSync(rebuilt + suffix, { force: true });
    const tip = writeRebuilt(rebuilt, options);
    syncFolder(dirname(path));
    const replaced = moveAside(path, rename);
    rename(rebuilt, path);
    syncFolder(dirname(path));
    return { tip, replaced };
  });
}

/** As `storing`, for the file system's own errors too. */
function storingFiles<T>(operation: () => T): T {
  try {
    return storing(operation);
  } catch (cause) {
    const { code } = cause as Partial<NodeJS.ErrnoException>;
    if (cause instanceof CausewayError || code === undefined) throw cause;
    throw new CausewayError("STORAGE_FAILED", `the journal cannot be replaced: ${code}`, { cause });
  }
}

/** The database with its write-ahead log and the log's index. */
const suffixes = ["", "-wal", "-shm"] as const;

function writeRebuilt(path: string, options: RebuildOptions): ChainTip | undefined {
  const { identity, verifier } = options;
  const db = openJournalDatabase(path, identity);
  try {
    const writer = createWriter(db);
    noteKeys(db, identity);
    let group: RebuiltBatch[] = [];
    for (const batch of options.batches) {
      group.push(batch);
      if (group.length < journalRebuildGroup) continue;
      writer(group);
      group = [];
    }
    writer(group);
    setAwaitedEpoch(db, options.awaitedEpoch);
    const newest = new SqliteJournalReader(db).newest({ countMax: journalLinksChecked });
    const tip = checkChain(newest, { identity, verifier, batchKeys: batchKeysOf(db) });
    db.pragma("wal_checkpoint(TRUNCATE)");
    return tip;
  } finally {
    db.close();
  }
}

/** Keys that may have sealed the chain before the one in use. */
function noteKeys(db: Database.Database, { batchKey, otherBatchKeys = [] }: JournalIdentity): void {
  const insert = db.prepare("INSERT OR IGNORE INTO batch_keys (batch_key) VALUES (?)");
  db.transaction(() => {
    db.exec("DELETE FROM batch_keys");
    for (const key of [...otherBatchKeys, batchKey]) insert.run(key);
  }).immediate();
}

function createWriter(db: Database.Database): (group: readonly RebuiltBatch[]) => void {
  const insert = db.prepare(
    `INSERT INTO batches (number, epoch, seq, leaf_hash, leaf, body)
     VALUES (@number, @epoch, @seq, @leafHash, @leaf, @body)`,
  );
  const epoch = db.prepare("INSERT INTO epochs (epoch, first_number) VALUES (?, ?)");
  const boot = db.prepare("INSERT OR IGNORE INTO boots (boot, started_at_ms) VALUES (?, ?)");
  const place = db.prepare(
    "INSERT INTO places (number, stage, ledger_index, term, final_size) VALUES (?, ?, ?, ?, ?)",
  );
  const finalLeaf = db.prepare("INSERT INTO final_leaves (leaf_hash, number) VALUES (?, ?)");
  const finalCount = db.prepare("UPDATE progress SET final_count = ? WHERE final_count = ?");
  const setState = db.prepare(
    `INSERT INTO states (key, value) VALUES (?, ?)
     ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
  );
  const deleteState = db.prepare("DELETE FROM states WHERE key = ?");
  let number = 0;
  const write = (batch: RebuiltBatch): void => {
    const { leafHash, leaf, body, seq } = batch;
    insert.run({ number, epoch: batch.epoch, seq, leafHash, leaf, body });
    if (seq === 0n) epoch.run(batch.epoch, number);
    boot.run(batch.boot, batch.sealedAtMs);
    const { stage, index, term, finalSize } = batch.place;
    place.run(number, stageNumbers[stage], index ?? null, term ?? null, finalSize ?? null);
    if (stage === "final") {
      finalLeaf.run(leafHash, number);
      finalCount.run(number + 1, number);
    }
    for (const { key, value } of batch.states) {
      if (value === undefined) deleteState.run(key);
      else setState.run(key, value);
    }
    number += 1;
  };
  const transaction = db.transaction((group: readonly RebuiltBatch[]) => group.forEach(write));
  return (group) => transaction.immediate(group);
}

function setAwaitedEpoch(db: Database.Database, epoch: bigint | undefined): void {
  if (epoch === undefined) return;
  db.prepare("INSERT INTO meta (name, value) VALUES ('awaited_epoch', ?)").run(utf8(String(epoch)));
}

/** Moves what stands at `path` to the first free name. A death half-way is gone on from. */
function moveAside(path: string, rename: (from: string, to: string) => void): string | undefined {
  const name = (n: number): string => `${path}.replaced-${n}`;
  let n = 1;
  while (suffixes.some((suffix) => existsSync(name(n) + suffix))) n += 1;
  const left = suffixes.filter((suffix) => existsSync(path + suffix));
  // Without its database a log belongs to what was moved last.
  const isRest = !existsSync(path) && n > 1;
  if (isRest && left.every((suffix) => !existsSync(name(n - 1) + suffix))) n -= 1;
  for (const suffix of left) rename(path + suffix, name(n) + suffix);
  return left.length === 0 ? undefined : name(n);
}
