/** The envelope of every record: its encoding is what is hashed, carried and kept. */
import { recordBytesMax } from "../base/limits.ts";
import type { Record as LedgerRecord } from "../gen/causeway/record/v1/record_pb.ts";
import { RecordSchema } from "../gen/causeway/record/v1/record_pb.ts";
import { leafHash } from "../merkle/hash.ts";
import { decodeCanonical, encodeCanonical } from "./canonical.ts";

export type { LedgerRecord };

/** Which body a record has, such as `receipt`. */
export type RecordCase = NonNullable<LedgerRecord["body"]["case"]>;

/** Kind of the batches that hold a record. */
export type RecordKind = "governance" | "evidence";

const kinds: Readonly<Record<RecordCase, RecordKind>> = {
  statement: "governance",
  equivocationReported: "governance",
  opened: "evidence",
  receipt: "evidence",
  acknowledgement: "evidence",
  refusal: "evidence",
  closed: "evidence",
  receiptMissing: "evidence",
  openingsErased: "evidence",
  gatewayStatus: "evidence",
};

/** The canonical encoding of a record. Throws RangeError for one that has none or is too large for a batch. */
export function encodeRecord(record: LedgerRecord): Uint8Array {
  const bytes = encodeCanonical(RecordSchema, record);
  if (bytes.length > recordBytesMax) {
    throw new RangeError(
      `a record of ${bytes.length} bytes, at most ${recordBytesMax} fit a batch`,
    );
  }
  return bytes;
}

/**
 * The record that `bytes` encode; its bytes fields are views of `bytes`.
 * Throws TOO_LARGE, MALFORMED or NOT_CANONICAL.
 */
export function openRecord(bytes: Uint8Array): LedgerRecord {
  return decodeCanonical(RecordSchema, bytes, { maxBytes: recordBytesMax });
}

/** Kind of the batches that hold the record. Throws RangeError for one without a body, which has no encoding. */
export function kindOfRecord(record: LedgerRecord): RecordKind {
  if (record.body.case === undefined) throw new RangeError("a record has a body");
  return kinds[record.body.case];
}

/** The record's name before it has an address: the RFC 6962 leaf hash of its encoding. */
export function recordHash(bytes: Uint8Array): Uint8Array {
  return leafHash(bytes);
}
