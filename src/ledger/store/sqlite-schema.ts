/** Tables of a ledger's store. A leaf, its body and its place are written once and never changed. */
export const ledgerSchema: string = `
CREATE TABLE IF NOT EXISTS leaves (
  leaf_index INTEGER PRIMARY KEY,
  leaf_hash BLOB NOT NULL UNIQUE,
  gateway TEXT NOT NULL,
  place BLOB NOT NULL, -- u64be epoch, u64be seq
  registry_digest BLOB NOT NULL,
  leaf BLOB NOT NULL,
  body BLOB NOT NULL,
  UNIQUE (gateway, place)
) STRICT;
CREATE TABLE IF NOT EXISTS nodes (
  level INTEGER NOT NULL,
  node_index INTEGER NOT NULL,
  hash BLOB NOT NULL,
  PRIMARY KEY (level, node_index)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS voids (
  leaf_index INTEGER NOT NULL,
  position INTEGER NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (leaf_index, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blobs (
  sha256 BLOB PRIMARY KEY,
  content BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS blob_names (
  sha256 BLOB PRIMARY KEY,
  leaf_index INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS frozen_notes (
  size INTEGER PRIMARY KEY,
  note BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS marks (
  name TEXT PRIMARY KEY, -- head, heartbeat, snapshot, snapshot of a final size, network
  size INTEGER NOT NULL,
  value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS faults (
  number INTEGER PRIMARY KEY,
  reason TEXT NOT NULL,
  held BLOB,
  shown BLOB,
  leaf_index INTEGER,
  at_ms INTEGER NOT NULL
) STRICT;
-- The term whose log a fault is in; a fault without one is for good.
CREATE TABLE IF NOT EXISTS fault_terms (
  number INTEGER PRIMARY KEY,
  term INTEGER NOT NULL
) STRICT;
-- What stood at an index until the ledger went on from a smaller size: heads that cover it can be shown to be of it.
CREATE TABLE IF NOT EXISTS dropped_leaves (
  number INTEGER PRIMARY KEY,
  term INTEGER NOT NULL, -- in which it was dropped
  leaf_index INTEGER NOT NULL,
  leaf BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS dropped_heads (
  number INTEGER PRIMARY KEY,
  size INTEGER NOT NULL,
  note BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS forked_leaves (
  gateway TEXT NOT NULL,
  place BLOB NOT NULL,
  leaf BLOB NOT NULL,
  PRIMARY KEY (gateway, place, leaf)
) STRICT, WITHOUT ROWID;
`;

/** The witness's promises stand apart from the ledger: a copy of one must not bring back the other. */
export const witnessSchema: string = `
CREATE TABLE IF NOT EXISTS promises (
  origin TEXT PRIMARY KEY,
  size INTEGER NOT NULL,
  root BLOB NOT NULL,
  note BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS promised_term (
  only INTEGER PRIMARY KEY CHECK (only = 0),
  term INTEGER NOT NULL,
  choice TEXT -- log key that the promise was for; absent when it came with a cosignature
) STRICT;
CREATE TABLE IF NOT EXISTS lost_state (
  only INTEGER PRIMARY KEY CHECK (only = 0),
  key TEXT NOT NULL,
  term INTEGER NOT NULL
) STRICT;
`;
