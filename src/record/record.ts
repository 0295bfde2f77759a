/** The envelope of every record: its encoding is what is hashed, carried and kept. */
import { assertInvariant } from "../base/errors.ts";
import { recordBytesMax } from "../base/limits.ts";
import type { Record as LedgerRecord } from "../gen/causeway/record/v1/record_pb.ts";
import { RecordSchema } from "../gen/causeway/record/v1/record_pb.ts";
import { leafHash } from "../merkle/hash.ts";
import { assertCanonical, buildCanonical, encodeCanonical } from "./canonical.ts";

export type { LedgerRecord };

/** Which body a record has, such as `receipt`. */
export type RecordCase = NonNullable<LedgerRecord["body"]["case"]>;

/** Kind of the batches that hold a record. */
export type RecordKind = "governance" | "evidence";

/** Wire type of messages, strings and bytes. */
const delimited = 2;

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
  checkRecord(bytes);
  return buildRecord(bytes);
}

/**
 * Which body the record has that `bytes` encode. Everything is checked that `openRecord` checks, and
 * nothing is built. Throws as it does.
 */
export function checkRecord(bytes: Uint8Array): RecordCase {
  assertCanonical(RecordSchema, bytes, { maxBytes: recordBytesMax });
  const name = caseByStart.get(startOf(bytes));
  assertInvariant(name !== undefined, "a checked record has no body");
  return name;
}

/** The record that `bytes` encode, which `checkRecord` has taken and nobody has changed since. */
export function buildRecord(bytes: Uint8Array): LedgerRecord {
  return buildCanonical(RecordSchema, bytes);
}

// A record has one field, its body: the tag that it begins with has one or two bytes.
function startOf([first = 0, second = 0]: Uint8Array): number {
  return first < 128 ? first : (first & 127) + second * 128;
}

const caseByStart: ReadonlyMap<number, RecordCase> = new Map(
  RecordSchema.fields.map(({ number, localName }) => [
    number * 8 + delimited,
    localName as RecordCase,
  ]),
);

/** Kind of the batches that hold the record. Throws RangeError for one without a body, which has no encoding. */
export function kindOfRecord(record: LedgerRecord): RecordKind {
  if (record.body.case === undefined) throw new RangeError("a record has a body");
  return kindOfCase(record.body.case);
}

/** Kind of the batches that hold records with this body. */
export function kindOfCase(name: RecordCase): RecordKind {
  return kinds[name];
}

/** The record's name before it has an address: the RFC 6962 leaf hash of its encoding. */
export function recordHash(bytes: Uint8Array): Uint8Array {
  return leafHash(bytes);
}
