/** A second leaf for a place of a gateway's chain, as a restored copy of it would seal. */
import { join } from "node:path";
import { systemRandom } from "../../gateway/runtime.ts";
import { concatBytes } from "../../src/base/bytes.ts";
import { openSqliteJournalReader } from "../../src/ledger/journal/sqlite-reader.ts";
import type { JournalBatch } from "../../src/ledger/journal/store.ts";
import { encodeHeader } from "../../src/record/header.ts";
import { openLeaf, signedBytes } from "../../src/record/leaf.ts";
import { handIn } from "./hand-in.ts";
import type { Running } from "./running.ts";

export function withJournal<T>(
  { cities }: Running,
  side: "provider" | "consumer",
  read: (batches: readonly JournalBatch[]) => T,
): T {
  const reader = openSqliteJournalReader(join(cities[side].folder, "data", "journal.sqlite"));
  try {
    return read(reader.newest({ countMax: 1000 }));
  } finally {
    reader.close();
  }
}

/** Hands in the newest batch of the consumer as a restored copy would have sealed it: another boot. */
export async function submitFork(running: Running): Promise<string> {
  const { consumer, provider } = running.cities;
  const tip = withJournal(running, "consumer", ([newest]) => newest as JournalBatch);
  const headerBytes = encodeHeader({ ...openLeaf(tip.leaf).header, boot: systemRandom(16) });
  const signature = consumer.gateway.batch.sign(signedBytes(headerBytes));
  const result = await handIn(provider, consumer.gateway, {
    leaf: concatBytes(signature, headerBytes),
    records: tip.records,
  });
  return result.kind === "rejected" ? result.reason : result.kind;
}
