/** The signed part of a batch. */
import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { isId } from "../base/ids.ts";
import { batchBytesMax, batchRecordsMax, headerBytesMax, treeSizeMax } from "../base/limits.ts";
import type { ReasonCode } from "../base/reasons.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import { HeaderSchema } from "../gen/causeway/record/v1/header_pb.ts";
import { emptyRoot } from "../merkle/hash.ts";
import { decodeCanonical, encodeCanonical } from "./canonical.ts";

/** The version of header and records that this release writes and reads. */
export const headerVersion: number = 1;

/** The canonical encoding of a header. Throws RangeError for one that `openHeader` would refuse. */
export function encodeHeader(header: Header): Uint8Array {
  const wrong = findFault(header);
  if (wrong !== undefined) throw new RangeError(`not a header: ${wrong.why}`);
  return encodeCanonical(HeaderSchema, header);
}

/**
 * The header that `bytes` encode; its bytes fields are views of `bytes`.
 *
 * Throws TOO_LARGE, MALFORMED or NOT_CANONICAL; BATCH_INVALID for a version, gateway id, count, size or
 * time that no batch can have; SEEN_INVALID for a seen size or root that no ledger can have. Whether
 * key, chain and seen root are right is for the registry to say.
 */
export function openHeader(bytes: Uint8Array): Header {
  const header = decodeCanonical(HeaderSchema, bytes, { maxBytes: headerBytesMax });
  const wrong = findFault(header);
  if (wrong !== undefined) throw new CausewayError(wrong.code, wrong.why);
  return header;
}

interface Fault {
  readonly code: ReasonCode;
  readonly why: string;
}

function findFault(header: Header): Fault | undefined {
  const why = batchFault(header);
  if (why !== undefined) return { code: "BATCH_INVALID", why };
  if (header.seenSize > treeSizeMax) {
    return { code: "SEEN_INVALID", why: "the seen size is above 2^63-1" };
  }
  if (header.seenSize === 0n && !equalBytes(header.seenRoot, emptyRoot)) {
    return { code: "SEEN_INVALID", why: "the seen root of size 0 is not that of the empty tree" };
  }
  return undefined;
}

const timeMax = BigInt(Number.MAX_SAFE_INTEGER);

function batchFault(header: Header): string | undefined {
  if (header.version !== headerVersion) return `the version is not ${headerVersion}`;
  if (!isId(header.gateway, 3)) return "the gateway is not a gateway id";
  if (header.count < 1 || header.count > batchRecordsMax) {
    return `the count is not 1 to ${batchRecordsMax}`;
  }
  if (header.bodyBytes < header.count || header.bodyBytes > batchBytesMax) {
    return `the records have less than a byte each or more than ${batchBytesMax} bytes`;
  }
  // A store keeps these as signed 64-bit integers.
  if (header.epoch > treeSizeMax || header.seq > treeSizeMax) return "epoch or seq is above 2^63-1";
  if (header.sealedAt > timeMax) return "the time of the seal is above 2^53-1";
  if (header.firstAt > header.sealedAt) return "the first decision is later than the seal";
  return undefined;
}
