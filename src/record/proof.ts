/** Proof that one record stands in a sealed batch; it discloses no other record of the batch. */
import { CausewayError } from "../base/errors.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import { treePath } from "../merkle/batch-tree.ts";
import { kindOfBatch } from "./batch.ts";
import { isIncluded } from "./inclusion.ts";
import type { OpenedLeaf } from "./leaf.ts";
import { openLeaf } from "./leaf.ts";
import type { LedgerRecord } from "./record.ts";
import { kindOfRecord, openRecord, recordHash } from "./record.ts";

/** A record with what binds it to a leaf. */
export interface RecordProof {
  readonly record: Uint8Array;
  /** Place of the record in its batch. */
  readonly position: number;
  /** From the sibling up to a child of the root: at most 12 hashes. */
  readonly path: readonly Uint8Array[];
  readonly leaf: Uint8Array;
}

/** A record that stands in the batch of the leaf beside it; the leaf's signature is for `verifyLeaf`. */
export interface ProvenRecord {
  readonly record: LedgerRecord;
  readonly recordHash: Uint8Array;
  readonly position: number;
  readonly leaf: OpenedLeaf;
}

/** The proof of the record at `position` of a batch. Throws RangeError when there is none. */
export function proveRecord(
  batch: { readonly leaf: Uint8Array; readonly records: readonly Uint8Array[] },
  position: number,
): RecordProof {
  const path = treePath(batch.records.map(recordHash), position);
  return { record: batch.records[position] as Uint8Array, position, path, leaf: batch.leaf };
}

/**
 * Checks a proof and reads the record.
 *
 * Throws PROOF_INVALID when the path is not that of the record at this position of the batch;
 * BATCH_INVALID for a record that may not stand in a batch of the header's kind; and as `openLeaf` and
 * `openRecord` do.
 */
export function verifyRecordProof(proof: RecordProof): ProvenRecord {
  const leaf = openLeaf(proof.leaf);
  if (!verifyRecordPath({ ...proof, header: leaf.header })) {
    throw new CausewayError("PROOF_INVALID", "the path does not lead to the batch's root");
  }
  const record = openRecord(proof.record);
  if (kindOfRecord(record) !== kindOfBatch(leaf.header)) {
    throw new CausewayError("BATCH_INVALID", "the record is not of the batch's kind");
  }
  return { record, recordHash: recordHash(proof.record), position: proof.position, leaf };
}

/**
 * Whether the encoded record stands at `position` under the header's root. A header that was opened
 * counts at most 4,096 records, so a path of more than 12 hashes is never the right one.
 */
export function verifyRecordPath(options: {
  readonly record: Uint8Array;
  readonly position: number;
  readonly path: readonly Uint8Array[];
  readonly header: Header;
}): boolean {
  const { record, position, path, header } = options;
  const { count, recordsRoot } = header;
  return isIncluded({ data: record, index: position, count, path, root: recordsRoot });
}
