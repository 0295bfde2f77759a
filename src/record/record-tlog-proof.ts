/**
 * One record in a `.tlog-proof` (C2SP tlog-proof). The tlog-proof says that a leaf is in the log; its
 * `extra` holds, as a canonical `causeway.exchange.v1.Proof`, the leaf, the record and the record's path in
 * the batch. No other record is disclosed. Other people's tools read all but `extra`.
 */
import { toHex } from "../base/bytes.ts";
import { createMessage } from "../base/create-message.ts";
import { CausewayError } from "../base/errors.ts";
import { tlogProofBytesMax } from "../base/limits.ts";
import { ProofSchema } from "../gen/causeway/exchange/v1/link_pb.ts";
import { verifyInclusion } from "../merkle/verify.ts";
import { parseCheckpoint } from "../note/checkpoint.ts";
import { parseNote } from "../note/note.ts";
import { formatTlogProof, parseTlogProof } from "../note/tlog-proof.ts";
import { decodeCanonical, encodeCanonical } from "./canonical.ts";
import { type ProvenRecord, type RecordProof, verifyRecordProof } from "./proof.ts";

export interface RecordTlogProof {
  readonly record: RecordProof;
  /** Of the leaf on the ledger. */
  readonly index: bigint;
  /** Inclusion proof of the leaf in the checkpoint's tree. */
  readonly proof: readonly Uint8Array[];
  /** The note of a final checkpoint, verbatim. */
  readonly checkpoint: Uint8Array;
}

/** The bytes of a proof file. RangeError for what it cannot carry. */
export function formatRecordTlogProof(options: RecordTlogProof): Uint8Array {
  const { index, proof, checkpoint } = options;
  const { record, position, path, leaf } = options.record;
  const message = createMessage(ProofSchema, { record, position, path: [...path], leaf });
  return formatTlogProof({
    extra: encodeCanonical(ProofSchema, message),
    index,
    proof,
    checkpoint,
  });
}

/** The parts of a proof file, none of them verified. Throws as `parseTlogProof` does, and MALFORMED without a record. */
export function parseRecordTlogProof(bytes: Uint8Array): RecordTlogProof {
  const { extra, index, proof, checkpoint } = parseTlogProof(bytes);
  if (extra === undefined) throw new CausewayError("MALFORMED", "the proof holds no record");
  const maxBytes = tlogProofBytesMax;
  const { record, position, path, leaf } = decodeCanonical(ProofSchema, extra, { maxBytes });
  return { record: { record, position, path, leaf }, index, proof, checkpoint };
}

/** What a checkpoint says once its signatures are verified. */
export interface VerifiedHead {
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
}

export interface ProvenLedgerRecord extends ProvenRecord {
  readonly index: bigint;
  readonly head: VerifiedHead;
}

/**
 * Verifies a proof file whole but for the gateway's own signature in the leaf, whose key is known to those
 * alone who have folded the ledger: the witnesses have, before they cosigned.
 * `readCheckpoint` verifies the note and throws when it does not verify.
 *
 * Throws PROOF_INVALID when a path or the inclusion proof does not lead to its root, NETWORK_UNKNOWN when
 * the leaf is of another network than the log's origin, and as `parseRecordTlogProof`,
 * `verifyRecordProof` and `readCheckpoint` do.
 */
export function verifyRecordTlogProof(
  bytes: Uint8Array,
  readCheckpoint: (note: Uint8Array) => unknown,
): ProvenLedgerRecord {
  const { record, index, proof, checkpoint } = parseRecordTlogProof(bytes);
  readCheckpoint(checkpoint);
  const head = parseCheckpoint(parseNote(checkpoint).text);
  const proven = verifyRecordProof(record);
  const { leafHash, header } = proven.leaf;
  if (!verifyInclusion({ leafHash, index, size: head.size, root: head.root, proof })) {
    throw new CausewayError("PROOF_INVALID", "the leaf is not in the checkpoint's tree");
  }
  if (!head.origin.startsWith(`causeway/${toHex(header.network)}/`)) {
    throw new CausewayError("NETWORK_UNKNOWN", "the leaf is of another network than the log");
  }
  return { ...proven, index, head };
}
