/**
 * Tables of a journal. A batch is one row, written in the transaction that seals it and never
 * changed; what becomes of it stands apart, so that a new place does not rewrite its body.
 */
export const journalSchema: string = `
CREATE TABLE IF NOT EXISTS meta (
  name TEXT PRIMARY KEY, -- version, gateway, network, batch_key, awaited_epoch
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batch_keys (
  number INTEGER PRIMARY KEY, -- in the order of their use; the last one is that of meta
  batch_key BLOB NOT NULL UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS boots (
  number INTEGER PRIMARY KEY,
  boot BLOB NOT NULL UNIQUE,
  started_at_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS batches (
  number INTEGER PRIMARY KEY, -- from 0, across epochs
  epoch INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  leaf_hash BLOB NOT NULL,
  leaf BLOB NOT NULL,
  body BLOB NOT NULL -- u32be length and record, for each record
) STRICT;
CREATE TABLE IF NOT EXISTS epochs (
  epoch INTEGER PRIMARY KEY,
  first_number INTEGER NOT NULL -- the batch with seq 0
) STRICT;
CREATE TABLE IF NOT EXISTS places (
  number INTEGER PRIMARY KEY,
  stage INTEGER NOT NULL, -- 1 submitted, 2 included, 3 final; a sealed batch has no row
  ledger_index INTEGER,
  term INTEGER,
  final_size INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS final_leaves (
  leaf_hash BLOB PRIMARY KEY,
  number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  final_count INTEGER NOT NULL -- batches before this number are final
) STRICT;
INSERT OR IGNORE INTO progress (id, final_count) VALUES (1, 0);
CREATE TABLE IF NOT EXISTS states (
  key TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
`;

/** Version of these tables, written into a new journal and expected of an old one. */
export const journalVersion: number = 1;
