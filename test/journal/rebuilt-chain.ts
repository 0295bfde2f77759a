/** A chain as the ledger would hand it to a recovery: read from a journal that stands for the ledger. */
import { openLeaf } from "../../src/record/leaf.ts";
import { frame } from "../../src/ledger/journal/framing.ts";
import { openSqliteJournalReader } from "../../src/ledger/journal/sqlite-reader.ts";
import type { RebuiltBatch } from "../../src/ledger/journal/sqlite-rebuild.ts";
import type { JournalIdentity } from "../../src/ledger/journal/store.ts";
import { batchKey, gateway, network } from "./support.ts";

export const rebuiltIdentity: JournalIdentity = { gateway, network, batchKey };

export function chainOf(path: string): readonly RebuiltBatch[] {
  const reader = openSqliteJournalReader(path);
  try {
    return Array.from({ length: reader.batchCount() }, (_, number): RebuiltBatch => {
      const batch = reader.batch(number);
      if (batch === undefined) throw new Error(`no batch ${number}`);
      const { header } = openLeaf(batch.leaf);
      return {
        epoch: batch.epoch,
        seq: batch.seq,
        leafHash: Uint8Array.from(batch.leafHash),
        leaf: Uint8Array.from(batch.leaf),
        body: frame(batch.records),
        place: { stage: "final", index: BigInt(number), term: 0n, finalSize: BigInt(number) + 1n },
        boot: Uint8Array.from(header.boot),
        sealedAtMs: Number(header.sealedAt),
        states: [{ key: `state/${number}`, value: Uint8Array.of(number) }],
      };
    });
  } finally {
    reader.close();
  }
}
