/** Hashes of any size of a stored tree, from the hashes of its complete subtrees. */
import type { CompactRange } from "./compact-range.ts";
import { treeRoot } from "./batch-tree.ts";
import { emptyRoot, nodeHash } from "./hash.ts";
import { toTreeSize } from "./size.ts";

/** Stored subtree hashes. */
export interface HashReader {
  /**
   * The hash of the complete subtree over leaves `index·2^level` to `(index+1)·2^level - 1`; level 0
   * holds the leaf hashes. Throws when it is not stored: callers ask only below the stored size.
   */
  readHash(level: number, index: bigint): Uint8Array;
  /** `count` of them side by side from `index` on, where a reader has a faster way. */
  readHashes?(level: number, index: bigint, count: number): readonly Uint8Array[];
}

/** Levels between two levels of tiles (C2SP tlog-tiles). */
export const tileHeight: number = 8;

/**
 * A reader of every level over one that stores only levels divisible by 8, the hashes that tiles hold.
 * What lies between is hashed again: up to 127 hashes a node.
 */
export function readerOfTileLevels(stored: HashReader): HashReader {
  return {
    readHash(level, index): Uint8Array {
      const inside = level % tileHeight;
      const first = index << BigInt(inside);
      return treeRoot(
        Array.from({ length: 1 << inside }, (_, i) =>
          stored.readHash(level - inside, first + BigInt(i)),
        ),
      );
    },
  };
}

/** Root hash of the first `size` leaves. Reads and hashes at most 63 nodes. */
export function rootAt(size: bigint | number, reader: HashReader): Uint8Array {
  const exact = toTreeSize(size);
  return exact === 0n ? emptyRoot : spanHash(0n, exact, reader);
}

/** The right edge of the first `size` leaves. */
export function compactRangeAt(size: bigint | number, reader: HashReader): CompactRange {
  const exact = toTreeSize(size);
  return { size: exact, hashes: edgeOf(0n, exact, reader).reverse() };
}

/**
 * Hash of the node (level, index) in the tree of `size` leaves, where the rightmost node of a level
 * may be incomplete. The node must hold at least one leaf.
 */
export function nodeAt(level: number, index: bigint, size: bigint, reader: HashReader): Uint8Array {
  const begin = index << BigInt(level);
  const end = begin + (1n << BigInt(level));
  return spanHash(begin, end < size ? end : size, reader);
}

function spanHash(begin: bigint, end: bigint, reader: HashReader): Uint8Array {
  return edgeOf(begin, end, reader).reduce((right, left) => nodeHash(left, right));
}

/** Hashes of the complete subtrees that make up [begin, end), from right to left; `begin` starts a subtree. */
function edgeOf(begin: bigint, end: bigint, reader: HashReader): Uint8Array[] {
  const hashes: Uint8Array[] = [];
  let right = end;
  for (let level = 0; right > begin; level++) {
    const width = 1n << BigInt(level);
    if (((right - begin) & width) === 0n) continue;
    right -= width;
    hashes.push(reader.readHash(level, right >> BigInt(level)));
  }
  return hashes;
}
