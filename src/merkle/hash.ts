/** The hashes of RFC 6962 section 2.1 over SHA-256. */
import { emptyBytes } from "../base/bytes.ts";
import { sha256 } from "../base/sha256.ts";

/** Bytes of a leaf hash, node hash or root hash. */
export const hashBytes: number = 32;

/** Root hash of the tree without leaves. */
export const emptyRoot: Uint8Array = sha256(emptyBytes);

// Hashing is synchronous and keeps nothing of its input, so each function reuses one buffer.
const leafInput = new Uint8Array(4096);
const nodeInput = new Uint8Array(1 + 2 * hashBytes);
nodeInput[0] = 1;

/** Hash of a leaf that holds `data`: SHA-256(0x00 ‖ data). */
export function leafHash(data: Uint8Array): Uint8Array {
  const length = 1 + data.length;
  const input = length > leafInput.length ? new Uint8Array(length) : leafInput.subarray(0, length);
  input.set(data, 1);
  return sha256(input);
}

/** Hash of an inner node: SHA-256(0x01 ‖ left ‖ right), both of 32 bytes. */
export function nodeHash(left: Uint8Array, right: Uint8Array): Uint8Array {
  if (left.length !== hashBytes || right.length !== hashBytes) {
    throw new RangeError("a node has two hashes of 32 bytes");
  }
  nodeInput.set(left, 1);
  nodeInput.set(right, 1 + hashBytes);
  return sha256(nodeInput);
}
