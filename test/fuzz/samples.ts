/** Valid inputs of every kind, from one ledger with a call of each outcome. */
import { utf8 } from "../../src/base/bytes.ts";
import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { formatTlogProof } from "../../src/note/tlog-proof.ts";
import { proveConsistency, proveInclusion } from "../../src/merkle/prove.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import type { HashReader } from "../../src/merkle/reader.ts";
import { treeRoot } from "../../src/merkle/batch-tree.ts";
import { AuditLedger, writeMethod } from "../audit/audit-ledger.ts";

/** A small ledger: governance, a read, a write, a refusal and their closings, all final. */
export const audit: AuditLedger = await createAudit();

async function createAudit(): Promise<AuditLedger> {
  const made = await AuditLedger.create("fuzz");
  await made.read();
  const call = made.call({ method: writeMethod });
  const opened = made.opened(call);
  await made.seal(made.provider, [opened]);
  await made.seal(made.provider, [made.receipt(call, opened), made.closed(call, opened)]);
  const denied = made.call({ purpose: "statistics" });
  const refusal = await made.seal(made.provider, [made.refusal(denied)]);
  await made.seal(made.consumer, [made.consumerClosed(denied, "refused", { refusal })]);
  return made;
}

export const leaves: readonly Uint8Array[] = audit.ledger.batches.map(({ leaf }) => leaf);
const hashes = leaves.map(leafHash);

/** The ledger's tree, hashed anew for each node. */
export const treeReader: HashReader = {
  readHash(level, index): Uint8Array {
    const first = Number(index) << level;
    return treeRoot(hashes.slice(first, first + (1 << level)));
  },
};

/** The newest final note: signed by the log and both cities. */
export const note: Uint8Array = audit.note();
export const size: bigint = audit.ledger.size;
/** The size before the last. */
export const oldSize: bigint = size - 2n;
export const consistency: readonly Uint8Array[] = proveConsistency({
  size1: oldSize,
  size2: size,
  reader: treeReader,
});

/** Index of the leaf that `tlogProof` proves. */
export const provenIndex = 3;
const inclusion = proveInclusion({ index: provenIndex, size, reader: treeReader });
export const tlogProof: Uint8Array = formatTlogProof({
  index: BigInt(provenIndex),
  proof: inclusion,
  checkpoint: note,
});
export const tlogProofWithExtra: Uint8Array = formatTlogProof({
  extra: utf8("anything"),
  index: BigInt(provenIndex),
  proof: inclusion,
  checkpoint: note,
});
export const addCheckpoint: Uint8Array = formatAddCheckpoint({
  oldSize,
  proof: consistency,
  checkpoint: note,
});
