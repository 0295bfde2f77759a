/**
 * The tree over a batch's records with every level in one byte string, so that it leaves the seal
 * worker as one copy; paths are views of it. The tree is that of RFC 6962 section 2.1.
 */
import { hashBytes, leafHash, nodeHash } from "../../merkle/hash.ts";

/** All levels one after another: the leaf hashes first, the root last. */
export function packTree(records: readonly Uint8Array[]): Uint8Array {
  if (records.length === 0) throw new RangeError("a batch has at least one record");
  const packed = new Uint8Array(nodeCount(records.length) * hashBytes);
  let end = 0;
  for (const record of records) {
    packed.set(leafHash(record), end);
    end += hashBytes;
  }
  let start = 0;
  for (let width = records.length; width > 1; width = above(width)) {
    for (let i = 0; i < width; i += 2) {
      const left = hashAt(packed, start + i * hashBytes);
      // A last hash without a partner goes up unchanged.
      const up = i + 1 < width ? nodeHash(left, hashAt(packed, start + (i + 1) * hashBytes)) : left;
      packed.set(up, end);
      end += hashBytes;
    }
    start += width * hashBytes;
  }
  return packed;
}

/** Root of a packed tree. */
export function packedRoot(packed: Uint8Array): Uint8Array {
  return packed.slice(packed.length - hashBytes);
}

/** Path of one record, from its sibling up, as views of `packed`. */
export function packedPath(
  packed: Uint8Array,
  at: { position: number; count: number },
): readonly Uint8Array[] {
  if (!(at.position >= 0 && at.position < at.count)) {
    throw new RangeError(`no record ${at.position} in a batch of ${at.count}`);
  }
  const path: Uint8Array[] = [];
  let start = 0;
  let position = at.position;
  for (let width = at.count; width > 1; width = above(width)) {
    const sibling = position ^ 1;
    if (sibling < width) path.push(hashAt(packed, start + sibling * hashBytes));
    position >>>= 1;
    start += width * hashBytes;
  }
  return path;
}

function above(width: number): number {
  return (width + 1) >>> 1;
}

function nodeCount(leafCount: number): number {
  let count = 1;
  for (let width = leafCount; width > 1; width = above(width)) count += width;
  return count;
}

function hashAt(packed: Uint8Array, start: number): Uint8Array {
  return packed.subarray(start, start + hashBytes);
}
