/** Inclusion and consistency proofs (RFC 6962 sections 2.1.1 and 2.1.2) for any past size of a stored tree. */
import { type HashReader, nodeAt } from "./reader.ts";
import { toTreeSize } from "./size.ts";

/**
 * Path of leaf `index` in the tree of its first `size` leaves, from the leaf's sibling upwards.
 * `RangeError` unless index < size.
 */
export function proveInclusion(options: {
  readonly index: bigint | number;
  readonly size: bigint | number;
  readonly reader: HashReader;
}): readonly Uint8Array[] {
  const index = toTreeSize(options.index);
  const size = toTreeSize(options.size);
  if (index >= size) throw new RangeError(`no leaf ${index} in a tree of ${size}`);
  return siblings(0, index, size, options.reader);
}

/**
 * Proof that the tree of `size1` leaves begins the tree of `size2` leaves.
 * `RangeError` unless 0 < size1 ≤ size2: the empty tree begins every tree, which proves nothing.
 */
export function proveConsistency(options: {
  readonly size1: bigint | number;
  readonly size2: bigint | number;
  readonly reader: HashReader;
}): readonly Uint8Array[] {
  const size1 = toTreeSize(options.size1);
  const size2 = toTreeSize(options.size2);
  if (size1 === 0n || size1 > size2) {
    throw new RangeError(`no consistency proof from size ${size1} to ${size2}`);
  }
  if (size1 === size2) return [];
  // The last complete subtree of the smaller tree is a node of both; the path from there up proves both roots.
  let level = 0;
  let node = size1 - 1n;
  for (; (node & 1n) === 1n; node >>= 1n) level++;
  const path = siblings(level, node, size2, options.reader);
  // With a power of two that subtree is the smaller tree itself, whose root the verifier has.
  return node === 0n ? path : [nodeAt(level, node, size2, options.reader), ...path];
}

/** Siblings on the way from the node (level, index) to the root of the tree of `size` leaves. */
function siblings(level: number, index: bigint, size: bigint, reader: HashReader): Uint8Array[] {
  const path: Uint8Array[] = [];
  let node = index;
  let last = (size - 1n) >> BigInt(level);
  for (let at = level; last > 0n; at++) {
    if ((node & 1n) === 1n || node < last) path.push(nodeAt(at, node ^ 1n, size, reader));
    node >>= 1n;
    last >>= 1n;
  }
  return path;
}
