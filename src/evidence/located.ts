import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { verifyInclusion } from "../merkle/verify.ts";
import { parseCheckpoint } from "../note/checkpoint.ts";
import { parseNote } from "../note/note.ts";
import { parseTlogProof } from "../note/tlog-proof.ts";
import { type ProvenRecord, verifyRecordProof } from "../record/proof.ts";
import type { ProvenEvidence } from "./package.ts";

/** A record whose batch, leaf and place under a checkpoint were verified. */
export interface Located extends ProvenRecord {
  readonly index: bigint;
}

/** A checkpoint whose cosignatures somebody else judges. */
export interface ClaimedCheckpoint {
  readonly note: Uint8Array;
  readonly size: bigint;
  readonly root: Uint8Array;
}

/** The checkpoint under which a record is proven. Throws as the parsers do. */
export function checkpointOf(proven: ProvenEvidence): ClaimedCheckpoint {
  const note = parseTlogProof(proven.proof).checkpoint;
  const { size, root } = parseCheckpoint(parseNote(note).text);
  return { note, size, root };
}

/**
 * Record in batch, leaf in tree, tree in this very checkpoint. Throws EVIDENCE_INVALID, PROOF_INVALID or
 * NETWORK_UNKNOWN, and as `verifyRecordProof` does.
 */
export function locate(
  proven: ProvenEvidence,
  { note, size, root }: ClaimedCheckpoint,
  networkId: Uint8Array,
): Located {
  const { index, proof, checkpoint, extra } = parseTlogProof(proven.proof);
  if (extra !== undefined || !equalBytes(checkpoint, note)) {
    throw new CausewayError(
      "EVIDENCE_INVALID",
      "not an evidence package: a proof with extra data, or under another checkpoint",
    );
  }
  const record = verifyRecordProof(proven);
  if (!verifyInclusion({ leafHash: record.leaf.leafHash, index, size, root, proof })) {
    throw new CausewayError("PROOF_INVALID", "a leaf is not in the checkpoint's tree");
  }
  if (!equalBytes(record.leaf.header.network, networkId)) {
    throw new CausewayError("NETWORK_UNKNOWN", "a leaf is of another network");
  }
  return { ...record, index };
}

/** Whether one record stands behind another on the ledger. */
export function isBehind(a: Located, b: Located): boolean {
  return a.index > b.index || (a.index === b.index && a.position > b.position);
}
