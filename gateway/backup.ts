/**
 * A backup of a gateway: its replica of the ledger, its journal and the founding document.
 *
 * It holds no key, no opening and no witness state. Openings are erased when their time has come, and a
 * copy would bring them back. A witness that is set back could sign a second history: it takes a new key.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../src/base/clock.ts";
import { equalBytes } from "../src/base/bytes.ts";
import { CausewayError } from "../src/base/errors.ts";
import { createNodeVerifier } from "../src/crypto/node.ts";
import { parseBody } from "../src/ledger/embedded/bodies.ts";
import { ledgerFile } from "../src/ledger/embedded/ledger-node.ts";
import { readLedgerNetwork } from "../src/ledger/embedded/network.ts";
import { LedgerReplica } from "../src/ledger/embedded/replica.ts";
import { checkChain } from "../src/ledger/journal/check-chain.ts";
import { openSqliteJournalReader } from "../src/ledger/journal/sqlite-reader.ts";
import type { JournalBatch } from "../src/ledger/journal/store.ts";
import { SqliteLedgerStore } from "../src/ledger/store/sqlite-store.ts";
import type { LedgerReader } from "../src/ledger/store/store.ts";
import { appendLeaf, emptyRange, rangeRoot } from "../src/merkle/compact-range.ts";
import { openBatch } from "../src/record/batch.ts";
import type { GatewayConfig } from "./config.ts";
import { boundBatchKeys } from "./peers.ts";
import { journalFile } from "./recover-session.ts";
import { readFounding } from "./self.ts";

export const foundingFile: string = "founding.json";

/** What a backup leaves out, for people. */
export const leftOut: string =
  "Left out: keys, openings (they can be erased for good) and the witness's state (an old one could sign a second history).";

/**
 * Copies everything that belongs in a backup to an empty folder. `copyLedger` copies the replica: a running
 * gateway's own process does it, which alone may read its database.
 *
 * @throws CausewayError `FOLDER_NOT_EMPTY`, `STORAGE_FAILED`, and what `copyLedger` throws.
 */
export async function backUp(
  config: GatewayConfig,
  out: string,
  copyLedger: (path: string) => Promise<void>,
): Promise<void> {
  if (existsSync(out) && readdirSync(out).length > 0) {
    throw new CausewayError("FOLDER_NOT_EMPTY", `${out} is not empty`);
  }
  mkdirSync(out, { recursive: true, mode: 0o700 });
  // The journal comes last: a batch that is on the ledger of the backup is in its journal too.
  await copyLedger(join(out, ledgerFile));
  const journal = join(config.data, journalFile);
  if (existsSync(journal)) {
    const reader = openSqliteJournalReader(journal);
    try {
      await reader.copyTo(join(out, journalFile));
    } finally {
      reader.close();
    }
  }
  copyFileSync(config.founding, join(out, foundingFile));
}

/** The replica of a gateway that does not run. Throws STORE_LOCKED when it does. */
export async function copyStoppedLedger(config: GatewayConfig, path: string): Promise<void> {
  const store = new SqliteLedgerStore(join(config.data, ledgerFile));
  try {
    await store.reader.copyTo(path);
  } finally {
    store.close();
  }
}

export interface VerifiedBackup {
  /** Batches on the ledger, and those below its newest final checkpoint. */
  readonly size: bigint;
  readonly finalSize: bigint;
  readonly root: Uint8Array;
  readonly registryDigest: Uint8Array;
  /** Batches in the journal; 0 without one. */
  readonly journalBatches: number;
}

/**
 * Opens the copies of a backup and checks them: every batch of the ledger against its leaf, the tree
 * against the newest final checkpoint, the registry against its digest, and the journal's chain from its
 * first batch on.
 *
 * @throws CausewayError `STORAGE_FAILED` naming what is wrong; `NETWORK_UNKNOWN` for another network's ledger.
 */
export async function verifyBackup(
  folder: string,
  { gateway, clock }: { readonly gateway: string; readonly clock: Clock },
): Promise<VerifiedBackup> {
  const network = readLedgerNetwork(readFounding(join(folder, foundingFile)));
  const verifier = createNodeVerifier();
  const file = join(folder, ledgerFile);
  if (!existsSync(file)) throw new CausewayError("FILE_UNREADABLE", `${file} is missing`);
  const store = new SqliteLedgerStore(file);
  try {
    const replica = await LedgerReplica.open({ network, store, verifier, clock });
    checkStored(store.reader, replica);
    const state = replica.state();
    const identity = { gateway, network: network.id, batchKey: new Uint8Array(32) };
    const batchKeys = boundBatchKeys(state, gateway);
    const own = { identity, verifier, batchKeys };
    const journal = join(folder, journalFile);
    const root = replica.rootAt(state.size) as Uint8Array;
    const finalSize = replica.final()?.size ?? 0n;
    const journalBatches = existsSync(journal) ? checkJournal(journal, own) : 0;
    return { size: state.size, finalSize, root, registryDigest: state.digest, journalBatches };
  } finally {
    store.close();
  }
}

/** Every leaf and body as they are stored give the tree that the stored hashes and the final checkpoint say. */
function checkStored(reader: LedgerReader, replica: LedgerReplica): void {
  let range = emptyRange;
  const size = reader.size();
  while (range.size < size) {
    for (const stored of reader.batches({ from: range.size, countMax: 256, bytesMax: 1 << 22 })) {
      const index = String(stored.index);
      try {
        const opened = openBatch({ leaf: stored.leaf, records: parseBody(stored.body) });
        range = appendLeaf(range, opened.leafHash).range;
      } catch (cause) {
        if (!(cause instanceof CausewayError)) throw cause;
        throw damaged(`batch ${index} does not agree with its leaf`, { index }, cause);
      }
      const own = replica.rootAt(range.size);
      if (own === undefined || !equalBytes(own, rangeRoot(range))) {
        throw damaged(`batch ${index} is not the one of the stored tree`, { index });
      }
    }
  }
}

/** Checks every batch of the chain as the newest one is checked at a start, with its link to the one before. */
function checkJournal(path: string, own: Parameters<typeof checkChain>[1]): number {
  const reader = openSqliteJournalReader(path);
  try {
    const count = reader.batchCount();
    for (let number = 0; number < count; number++) {
      const [batch, older] = [reader.batch(number), reader.batch(number - 1)];
      const newestFirst = [batch, older].filter((one): one is JournalBatch => one !== undefined);
      checkChain(newestFirst, own, { linksChecked: 2 });
    }
    return count;
  } finally {
    reader.close();
  }
}

function damaged(
  what: string,
  fields: Readonly<Record<string, string>>,
  cause?: unknown,
): CausewayError {
  return new CausewayError("STORAGE_FAILED", `the backup is damaged: ${what}`, { cause, fields });
}
