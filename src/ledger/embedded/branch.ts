import { equalBytes } from "../../base/bytes.ts";
import type { Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import { pendingTermBytesMax } from "../../base/limits.ts";
import { proveConsistency, proveInclusion } from "../../merkle/prove.ts";
import { openLeaf } from "../../record/leaf.ts";
import type { SealedBatch } from "../ports.ts";
import { fetchBlobs } from "./fetch-blobs.ts";
import { GrowingTree } from "./growing-tree.ts";
import type { FollowItem, LedgerClient } from "./ports.ts";
import type { LedgerReplica } from "./replica.ts";
import type { ProvableTree } from "./term-start.ts";

/** A tree that shares with the own one what is final, and goes on from there by itself. In memory alone. */
export interface Branch {
  readonly tree: ProvableTree;
  /** From this index on its leaves are not the own ones. */
  readonly from: bigint;
  /** Its batches from there on. */
  readonly batches: readonly SealedBatch[];
}

const branchMs = 20_000;

/**
 * The tree of a checkpoint that another member holds, read from that member and checked against the
 * checkpoint's root. Rejects with PROOF_INVALID when it shows another tree, LEDGER_UNAVAILABLE when it
 * ends before the size or takes too long, TOO_LARGE for more than is held.
 */
export async function readBranch(
  client: LedgerClient,
  head: { readonly size: bigint; readonly root: Uint8Array },
  options: { readonly replica: LedgerReplica; readonly scheduler: Scheduler },
): Promise<Branch> {
  const { replica } = options;
  const start = replica.final()?.size ?? 0n;
  const batches = await readBatches(client, { start, end: head.size }, options);
  const tree = new GrowingTree(replica.reader, start);
  const hashes = batches.map(({ leaf }) => openLeaf(leaf).leafHash);
  for (const hash of hashes) tree.append(hash);
  const root = tree.rootAt(head.size);
  if (root === undefined || !equalBytes(root, head.root)) {
    throw new CausewayError("PROOF_INVALID", "the member shows another tree");
  }
  for (const batch of batches) await fetchBlobs(batch, { replica, client });
  const differs = hashes.findIndex((hash, i) => {
    const own = replica.batch(start + BigInt(i))?.leafHash;
    return own === undefined || !equalBytes(own, hash);
  });
  const kept = differs < 0 ? hashes.length : differs;
  return {
    tree: {
      rootAt: (size) => tree.rootAt(size),
      leafHash: (index) => tree.readHash(0, index),
      inclusionProof: (index, size) => proveInclusion({ index, size, reader: tree }),
      consistencyProof: (size1, size2) => proveConsistency({ size1, size2, reader: tree }),
    },
    from: start + BigInt(kept),
    batches: batches.slice(kept),
  };
}

function readBatches(
  client: LedgerClient,
  { start, end }: { readonly start: bigint; readonly end: bigint },
  { replica, scheduler }: { readonly replica: LedgerReplica; readonly scheduler: Scheduler },
): Promise<readonly SealedBatch[]> {
  return new Promise((resolve, reject) => {
    const batches: SealedBatch[] = [];
    let bytes = 0;
    const finish = (error?: CausewayError): void => {
      cancel();
      stream.cancel();
      if (error === undefined) resolve(batches);
      else reject(error);
    };
    const isDone = (): boolean => start + BigInt(batches.length) >= end;
    const onItem = (item: FollowItem): void => {
      if (item.kind !== "batch" || isDone()) return;
      if (item.index !== start + BigInt(batches.length)) {
        return finish(new CausewayError("PROOF_INVALID", "the batches are out of order"));
      }
      const { leaf, records } = item.batch;
      bytes += leaf.length + records.reduce((sum, record) => sum + record.length, 0);
      if (bytes > pendingTermBytesMax) {
        return finish(new CausewayError("TOO_LARGE", "the member's tree is too long to be held"));
      }
      batches.push(item.batch);
      if (isDone()) finish();
    };
    const away = (): void => {
      finish(new CausewayError("LEDGER_UNAVAILABLE", `no batch ${start + BigInt(batches.length)}`));
    };
    const cancel = scheduler.after(branchMs, away);
    const from = { fromIndex: start, fromFinalSize: start, term: replica.term().term };
    const stream = client.follow(from, { onItem, onEnd: away });
    if (isDone()) finish();
  });
}
