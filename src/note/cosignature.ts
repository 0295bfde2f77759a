/** Timestamped Ed25519 cosignatures (C2SP tlog-cosignature, type 0x04). */
import { concatBytes, u64be, utf8 } from "../base/bytes.ts";

/** A cosigner's signature of a checkpoint at a time. */
export interface Cosignature {
  /** POSIX seconds, at most 2^63-1. A quorum counts none that is 0. */
  readonly timestamp: bigint;
  /** Ed25519, 64 bytes. */
  readonly signature: Uint8Array;
}

const timestampBytes = 8;
const signatureBytes = 64;
const timestampMax = (1n << 63n) - 1n;

/** What is signed: the time and the whole text of the checkpoint's note. */
export function cosignatureMessage(timestamp: bigint, text: string): Uint8Array {
  return utf8(`cosignature/v1\ntime ${timestamp}\n${text}`);
}

/** The bytes after the key id. `RangeError` for a timestamp above 2^63-1 or another signature length. */
export function formatCosignature(cosignature: Cosignature): Uint8Array {
  if (cosignature.timestamp > timestampMax) throw new RangeError("a timestamp above 2^63-1");
  if (cosignature.signature.length !== signatureBytes) {
    throw new RangeError("an Ed25519 signature has 64 bytes");
  }
  return concatBytes(u64be(cosignature.timestamp), cosignature.signature);
}

/** A cosignature from the bytes after the key id; `undefined` for another length or a timestamp above 2^63-1. */
export function parseCosignature(bytes: Uint8Array): Cosignature | undefined {
  if (bytes.length !== timestampBytes + signatureBytes) return undefined;
  const timestamp = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0);
  if (timestamp > timestampMax) return undefined;
  return { timestamp, signature: bytes.subarray(timestampBytes) };
}
