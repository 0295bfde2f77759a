import { equalBytes } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { journalLinksChecked } from "../../base/limits.ts";
import type { Verifier } from "../../crypto/ports.ts";
import { hashBytes } from "../../merkle/hash.ts";
import { totalBytes } from "../../record/batch.ts";
import type { OpenedLeaf } from "../../record/leaf.ts";
import { keyDigest, openLeaf, verifyLeaf } from "../../record/leaf.ts";
import { packedRoot, packTree } from "./packed-tree.ts";
import type { ChainTip, JournalBatch, JournalIdentity } from "./store.ts";

/** Whose chain is checked. */
export interface OwnChain {
  readonly identity: JournalIdentity;
  readonly verifier: Verifier;
  /** The keys that have sealed it, raw. */
  readonly batchKeys: readonly Uint8Array[];
}

/**
 * Checks the end of a chain as a journal has it: each batch follows the one before, and the newest
 * one agrees with its records and is signed by an own key; through `prev` that signature covers the
 * others. `newestFirst` are the newest batches, `linksChecked` of them or as many as there are. Returns
 * what the next header rests on, `undefined` for an empty journal. Throws STORAGE_FAILED, naming the batch.
 */
export function checkChain(
  newestFirst: readonly JournalBatch[],
  own: OwnChain,
  { linksChecked = journalLinksChecked }: { readonly linksChecked?: number } = {},
): ChainTip | undefined {
  const [tip] = newestFirst;
  if (tip === undefined) return undefined;
  const leaves = newestFirst.map((batch) => openOwnLeaf(batch, own.identity));
  const checked = Math.min(tip.number + 1, linksChecked);
  require(newestFirst.length === checked, tip, "stands above a gap");
  for (const [i, batch] of newestFirst.entries()) {
    const older = newestFirst[i + 1];
    if (older === undefined && batch.number > 0) break;
    checkLink(leaves[i] as OpenedLeaf, { batch, older, olderLeaf: leaves[i + 1] });
  }
  const leaf = leaves[0] as OpenedLeaf;
  checkTip(tip, leaf, own);
  const { header } = leaf;
  return {
    number: tip.number,
    epoch: header.epoch,
    seq: header.seq,
    leafHash: leaf.leafHash,
    seenSize: header.seenSize,
    seenRoot: header.seenRoot,
    sealedAtMs: Number(header.sealedAt),
  };
}

function openOwnLeaf(batch: JournalBatch, identity: JournalIdentity): OpenedLeaf {
  const leaf = blaming(batch, () => openLeaf(batch.leaf));
  const { header, leafHash } = leaf;
  require(equalBytes(leafHash, batch.leafHash), batch, "is stored under another leaf hash");
  require(header.gateway === identity.gateway, batch, "names another gateway");
  require(equalBytes(header.network, identity.network), batch, "names another network");
  const isPlace = header.epoch === batch.epoch && header.seq === batch.seq;
  require(isPlace, batch, "names another place of the chain");
  return leaf;
}

const noLeaf = new Uint8Array(hashBytes);

function checkLink(
  leaf: OpenedLeaf,
  at: { batch: JournalBatch; older: JournalBatch | undefined; olderLeaf: OpenedLeaf | undefined },
): void {
  const { batch, older, olderLeaf } = at;
  const { header } = leaf;
  if (older === undefined || olderLeaf === undefined) {
    require(equalBytes(header.prev, noLeaf), batch, "is the first and names one before it");
    require(header.seq === 0n, batch, "is the first and not number 0 of its epoch");
    return;
  }
  const before = olderLeaf.header;
  require(batch.number === older.number + 1, batch, "does not follow in number");
  require(equalBytes(header.prev, older.leafHash), batch, "names another leaf as the one before");
  const next = header.epoch === before.epoch && header.seq === before.seq + 1n;
  require(next || (header.epoch > before.epoch && header.seq === 0n), batch, "leaves a gap");
  require(header.seenSize >= before.seenSize, batch, "goes back in seen size");
  require(header.sealedAt >= before.sealedAt, batch, "goes back in time");
}

function checkTip(tip: JournalBatch, leaf: OpenedLeaf, own: OwnChain): void {
  const { header } = leaf;
  require(header.count === tip.records.length, tip, "has another number of records");
  require(header.bodyBytes === totalBytes(tip.records), tip, "has records of another size");
  const root = packedRoot(packTree(tip.records));
  require(equalBytes(header.recordsRoot, root), tip, "has other records");
  const publicKey = own.batchKeys.find((key) => equalBytes(keyDigest(key), header.key));
  if (publicKey === undefined) throw broken(tip, "is sealed with a key that is not the own one");
  blaming(tip, () => verifyLeaf({ leaf, publicKey, verifier: own.verifier }));
}

function require(condition: boolean, batch: JournalBatch, what: string): void {
  if (!condition) throw broken(batch, what);
}

function blaming<T>(batch: JournalBatch, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    throw broken(batch, `cannot be used: ${cause.message}`, cause);
  }
}

function broken(batch: JournalBatch, what: string, cause?: unknown): CausewayError {
  return new CausewayError("STORAGE_FAILED", `batch ${batch.number} of the journal ${what}`, {
    cause,
    fields: { number: String(batch.number) },
  });
}
