/** What a stopped gateway's journal is good for. */
import { existsSync } from "node:fs";
import { equalBytes } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { journalLinksChecked } from "../../base/limits.ts";
import type { Verifier } from "../../crypto/ports.ts";
import type { SealedBatch } from "../ports.ts";
import { storing } from "../store/sqlite-errors.ts";
import { checkChain } from "./check-chain.ts";
import { rebuiltPath, storedAwaitedEpoch } from "./sqlite-journal.ts";
import { batchKeysOf, openJournalDatabase } from "./sqlite-open.ts";
import { SqliteJournalReader } from "./sqlite-reader.ts";
import type { ChainTip, JournalIdentity } from "./store.ts";

/** A journal whose end is a chain of this gateway. */
export interface UsableJournal {
  readonly kind: "usable";
  readonly tip: ChainTip | undefined;
  /** The epoch that has to begin before anything is sealed. */
  readonly awaitedEpoch: bigint | undefined;
  /** Whether this batch of the chain is in it. */
  holds(place: { epoch: bigint; seq: bigint; leafHash: Uint8Array }): boolean;
  /** The batches behind the one at this place, in order. */
  after(place: { epoch: bigint; seq: bigint }): Iterable<SealedBatch>;
  close(): void;
}

export type InspectedJournal =
  | UsableJournal
  /** It is not there, its chain is broken, or it was being written again. */
  | { readonly kind: "unusable"; readonly why: string; close(): void };

/** Looks into the journal at `path`, which the caller has locked. Throws JOURNAL_MISMATCH for another gateway's. */
export function inspectJournal(
  path: string,
  own: { readonly identity: JournalIdentity; readonly verifier: Verifier },
): InspectedJournal {
  const unusable = (why: string): InspectedJournal => ({
    kind: "unusable",
    why,
    close: () => undefined,
  });
  if (existsSync(rebuiltPath(path))) return unusable("a recovery was begun and not ended");
  if (!existsSync(path)) return unusable("there is no journal");
  try {
    return openUsable(path, own);
  } catch (error) {
    if (!(error instanceof CausewayError) || error.code !== "STORAGE_FAILED") throw error;
    return unusable(error.message);
  }
}

function openUsable(
  path: string,
  { identity, verifier }: { readonly identity: JournalIdentity; readonly verifier: Verifier },
): UsableJournal {
  const db = openJournalDatabase(path, identity);
  try {
    const reader = storing(() => new SqliteJournalReader(db));
    const newest = reader.newest({ countMax: journalLinksChecked });
    const tip = checkChain(newest, { identity, verifier, batchKeys: batchKeysOf(db) });
    return {
      kind: "usable",
      tip,
      awaitedEpoch: storedAwaitedEpoch(db),
      holds: (place) => {
        const own = reader.batchAt(place);
        return own !== undefined && equalBytes(own.leafHash, place.leafHash);
      },
      *after(place) {
        const first = reader.batchAt(place)?.number;
        if (first === undefined) return;
        for (let number = first + 1; ; number++) {
          const batch = reader.batch(number);
          if (batch === undefined) return;
          yield { leaf: batch.leaf, records: batch.records };
        }
      },
      close: () => reader.close(),
    };
  } catch (error) {
    db.close();
    throw error;
  }
}
