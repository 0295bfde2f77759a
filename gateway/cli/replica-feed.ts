/** A replica filled from an export, or from what a gateway serves: everything verified, nothing believed. */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { equalBytes } from "../../src/base/bytes.ts";
import type { Clock } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { appendBatchesMax } from "../../src/base/limits.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { ExportEntry } from "../../src/audit/export-file.ts";
import { networkId, openStatement } from "../../src/credential/statement.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { namedBlobs } from "../../src/ledger/embedded/blob-names.ts";
import { ledgerFile } from "../../src/ledger/embedded/ledger-node.ts";
import { type LedgerNetwork, readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { LedgerReplica } from "../../src/ledger/embedded/replica.ts";
import type { FinalCheckpoint, SealedBatch } from "../../src/ledger/ports.ts";
import { SqliteLedgerStore } from "../../src/ledger/store/sqlite-store.ts";
import { kindOfBatch } from "../../src/record/batch.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { openRecord } from "../../src/record/record.ts";
import { journalFile } from "./network-found.ts";

/** The network whose founding document is the first record of batch 0, and has this id. Throws NETWORK_UNKNOWN. */
export async function networkOf(
  entries: AsyncIterable<ExportEntry>,
  id: Uint8Array,
): Promise<LedgerNetwork> {
  for await (const entry of entries) {
    if (entry.kind !== "batch") continue;
    const { body } = openRecord(entry.records[0] ?? new Uint8Array(0));
    if (body.case !== "statement") break;
    const { payload } = openStatement(body.value.jws);
    if (equalBytes(networkId(payload), id)) return readLedgerNetwork(payload);
    break;
  }
  throw new CausewayError("NETWORK_UNKNOWN", "batch 0 does not found this network");
}

/**
 * Runs `work` with the replica of a folder that no gateway uses; it is made unless it is there.
 * Throws FOLDER_NOT_EMPTY where a journal stands without a ledger, STORE_LOCKED while another process
 * holds it, NETWORK_UNKNOWN when it is another network's.
 */
export async function withReplica<T>(
  options: { readonly data: string; readonly network: LedgerNetwork; readonly clock: Clock },
  work: (replica: LedgerReplica) => Promise<T>,
): Promise<T> {
  const { data, network, clock } = options;
  const file = join(data, ledgerFile);
  if (!existsSync(file) && existsSync(join(data, journalFile))) {
    throw new CausewayError("FOLDER_NOT_EMPTY", `${data} holds the journal of a gateway`);
  }
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const store = new SqliteLedgerStore(file);
  try {
    const verifier = createNodeVerifier();
    const replica = await LedgerReplica.open({ network, store, verifier, clock });
    try {
      return await work(replica);
    } finally {
      await replica.settled();
    }
  } finally {
    store.close();
  }
}

export interface FeedEvents {
  onBatches?(from: bigint, size: bigint): void;
  onFinal?(final: FinalCheckpoint): void;
}

/**
 * Takes the items of an export that begin at the replica's own size: batches are folded and stored in
 * groups, notes judged by the registry that they stand under. What a kill leaves is a shorter replica.
 *
 * Throws the reason for which the fold or a note is refused, with the field `index`; BLOB_MISSING and
 * BLOB_MISMATCH; DIGEST_DIVERGES when the source came to another registry; LEDGER_FORK when a note
 * contradicts the replica, which keeps both heads.
 */
export async function feedReplica(
  replica: LedgerReplica,
  entries: AsyncIterable<ExportEntry>,
  events: FeedEvents = {},
): Promise<void> {
  let group: SealedBatch[] = [];
  const flush = async (): Promise<void> => {
    const from = replica.state().size;
    const batches = group;
    group = [];
    if (batches.length === 0) return;
    await include(replica, batches);
    events.onBatches?.(from, replica.state().size);
  };
  for await (const entry of entries) {
    switch (entry.kind) {
      case "header":
        break;
      case "blob":
        replica.putBlob(sha256(entry.content), entry.content);
        break;
      case "batch":
        group.push({
          leaf: entry.leaf.slice(),
          records: entry.records.map((record) => record.slice()),
        });
        if (group.length === appendBatchesMax) await flush();
        break;
      case "note":
        await flush();
        takeNote(replica, entry, events);
    }
  }
  await flush();
}

async function include(replica: LedgerReplica, batches: readonly SealedBatch[]): Promise<void> {
  const from = replica.state().size;
  for (const [i, batch] of batches.entries()) assertBlobs(replica, batch, from + BigInt(i));
  const last = (await replica.include(batches, "stop")).at(-1);
  if (last?.kind !== "rejected") return;
  const { atSize, reason } = last;
  throw refused(reason, `the rules refuse the batch at ${atSize}`, atSize);
}

function assertBlobs(replica: LedgerReplica, { leaf, records }: SealedBatch, index: bigint): void {
  if (kindOfBatch(openLeaf(leaf).header) !== "governance") return;
  for (const { sha256: digest, bytes } of namedBlobs(records)) {
    const held = replica.reader.blobSize(digest);
    if (held === undefined) throw refused("BLOB_MISSING", `batch ${index} names a blob`, index);
    if (held !== bytes) throw refused("BLOB_MISMATCH", `a blob of batch ${index}`, index);
  }
}

function takeNote(
  replica: LedgerReplica,
  { note, digest }: Extract<ExportEntry, { kind: "note" }>,
  events: FeedEvents,
): void {
  const before = replica.final();
  if (!replica.takeFinal(note)) {
    throw new CausewayError("LEDGER_FORK", "the note contradicts what was verified before");
  }
  const final = replica.final() as FinalCheckpoint;
  if (final === before) return;
  const own = replica.reader.registryDigest(final.size - 1n);
  if (digest !== undefined && own !== undefined && !equalBytes(own, digest)) {
    throw refused("DIGEST_DIVERGES", `the registry at size ${final.size}`, final.size - 1n);
  }
  events.onFinal?.(final);
}

function refused(code: CausewayError["code"], message: string, index: bigint): CausewayError {
  return new CausewayError(code, message, { fields: { index: String(index) } });
}
