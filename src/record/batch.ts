/** A batch: the records that one gateway signs at once. */
import { concatBytes, equalBytes } from "../base/bytes.ts";
import { createMessage } from "../base/create-message.ts";
import { CausewayError } from "../base/errors.ts";
import { batchBytesMax, batchRecordsMax } from "../base/limits.ts";
import type { Signer } from "../crypto/ports.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import { BatchKind, HeaderSchema } from "../gen/causeway/record/v1/header_pb.ts";
import { treeRoot, treeWithPaths } from "../merkle/batch-tree.ts";
import { leafHash } from "../merkle/hash.ts";
import { encodeHeader, headerVersion } from "./header.ts";
import type { OpenedLeaf } from "./leaf.ts";
import { keyDigest, openLeaf, signedBytes } from "./leaf.ts";
import type { LedgerRecord, RecordCase, RecordKind } from "./record.ts";
import { checkRecord, kindOfCase, buildRecord, recordHash } from "./record.ts";

/** What the sealing gateway says of a batch; the rest of the header follows from records and key. */
export interface BatchFields {
  readonly kind: RecordKind;
  /** SHA-256 of the founding document's payload. */
  readonly network: Uint8Array;
  readonly gateway: string;
  readonly epoch: bigint;
  /** 16 random bytes of this process start. */
  readonly boot: Uint8Array;
  readonly seq: bigint;
  /** Leaf hash of the chain's last leaf; 32 zero bytes for its first. */
  readonly prev: Uint8Array;
  readonly seen: { readonly size: bigint; readonly root: Uint8Array };
  /** Unix milliseconds of the earliest decision inside and of the seal. */
  readonly firstAtMs: number;
  readonly sealedAtMs: number;
}

/** The bytes of a batch, as journal, link and ledger carry them. */
export interface BatchBytes {
  readonly leaf: Uint8Array;
  readonly records: readonly Uint8Array[];
}

/** A batch as the gateway that seals it has it. */
export interface CreatedBatch extends BatchBytes {
  readonly header: Header;
  readonly leafHash: Uint8Array;
  /** Root over the records, as in the header. */
  readonly root: Uint8Array;
  /** For each record its path to the root. */
  readonly paths: readonly (readonly Uint8Array[])[];
}

/** A batch that agrees with its header; its signature is for `verifyLeaf`. */
export interface OpenedBatch extends OpenedLeaf {
  /**
   * All of them are checked, and built when they are first asked for: whoever only verifies never looks
   * into evidence. Until then the bytes of the batch may not change.
   */
  readonly records: readonly LedgerRecord[];
  readonly recordCases: readonly RecordCase[];
  readonly recordHashes: readonly Uint8Array[];
}

const batchKinds: Readonly<Record<RecordKind, BatchKind>> = {
  governance: BatchKind.GOVERNANCE,
  evidence: BatchKind.EVIDENCE,
};

/** The kind of a batch in words. */
export function kindOfBatch(header: Header): RecordKind {
  return header.kind === BatchKind.GOVERNANCE ? "governance" : "evidence";
}

/**
 * Signs a batch of encoded records. They are taken as they are: each was encoded by `encodeRecord`, and
 * is of `fields.kind`. Throws RangeError for no records, too many, or too many bytes.
 */
export function sealBatch(
  fields: BatchFields,
  records: readonly Uint8Array[],
  signer: Signer,
): CreatedBatch {
  const { root, paths } = treeWithPaths(records.map(recordHash));
  const header = createHeader(fields, { records, root, publicKey: signer.publicKey });
  const headerBytes = encodeHeader(header);
  const leaf = concatBytes(signer.sign(signedBytes(headerBytes)), headerBytes);
  return { leaf, records, header, leafHash: leafHash(leaf), root, paths };
}

/** The header of a batch of `records` with `root` over them, under the batch key `publicKey`. */
export function createHeader(
  fields: BatchFields,
  batch: {
    readonly records: readonly Uint8Array[];
    readonly root: Uint8Array;
    readonly publicKey: Uint8Array;
  },
): Header {
  return createMessage(HeaderSchema, {
    version: headerVersion,
    kind: batchKinds[fields.kind],
    network: fields.network,
    gateway: fields.gateway,
    key: keyDigest(batch.publicKey),
    epoch: fields.epoch,
    boot: fields.boot,
    seq: fields.seq,
    prev: fields.prev,
    count: batch.records.length,
    bodyBytes: totalBytes(batch.records),
    recordsRoot: batch.root,
    seenSize: fields.seen.size,
    seenRoot: fields.seen.root,
    firstAt: BigInt(fields.firstAtMs),
    sealedAt: BigInt(fields.sealedAtMs),
  });
}

/**
 * Reads a batch and checks it against its header: count, bytes, root, and that every record is canonical
 * and of the header's kind. All of this decides whether a batch gets an index.
 *
 * Throws as `openLeaf` does; BATCH_INVALID when header and records disagree; TOO_LARGE, MALFORMED or
 * NOT_CANONICAL with the field `position` for a record that cannot be read.
 */
export function openBatch(batch: BatchBytes): OpenedBatch {
  const { opened, recordHashes } = checkBatch(batch);
  const kind = kindOfBatch(opened.header);
  const recordCases = batch.records.map((bytes, position) => {
    const name = checkRecordAt(bytes, position);
    if (kindOfCase(name) !== kind) {
      throw invalid(`a record of the other kind in a batch of ${kind}`, position);
    }
    return name;
  });
  let records: readonly LedgerRecord[] | undefined;
  return {
    ...opened,
    recordCases,
    recordHashes,
    get records() {
      return (records ??= batch.records.map(buildRecord));
    },
  };
}

/** Bytes of all records. */
export function totalBytes(records: readonly Uint8Array[]): number {
  return records.reduce((sum, record) => sum + record.length, 0);
}

// Sizes first: nothing is hashed or decoded of a batch that is larger than any may be.
function checkBatch(batch: BatchBytes): {
  readonly opened: OpenedLeaf;
  readonly recordHashes: readonly Uint8Array[];
} {
  const bodyBytes = totalBytes(batch.records);
  if (batch.records.length > batchRecordsMax || bodyBytes > batchBytesMax) {
    const why = `a batch has at most ${batchRecordsMax} records and ${batchBytesMax} bytes`;
    throw new CausewayError("TOO_LARGE", why);
  }
  const opened = openLeaf(batch.leaf);
  const { header } = opened;
  if (header.count !== batch.records.length) throw invalid("the count is another");
  if (header.bodyBytes !== bodyBytes) throw invalid("the records have another size");
  const recordHashes = batch.records.map(recordHash);
  if (!equalBytes(treeRoot(recordHashes), header.recordsRoot)) {
    throw invalid("the records have another root");
  }
  return { opened, recordHashes };
}

function checkRecordAt(bytes: Uint8Array, position: number): RecordCase {
  try {
    return checkRecord(bytes);
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    const fields = { position: String(position) };
    throw new CausewayError(cause.code, `record ${position}: ${cause.message}`, { cause, fields });
  }
}

function invalid(why: string, position?: number): CausewayError {
  const fields = position === undefined ? {} : { position: String(position) };
  return new CausewayError("BATCH_INVALID", `the batch does not agree with its header: ${why}`, {
    fields,
  });
}
