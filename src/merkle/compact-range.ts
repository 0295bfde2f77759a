/** The right edge of a growing tree: all that is needed to append to it and to know its root. */
import { CausewayError } from "../base/errors.ts";
import { emptyRoot, hashBytes, nodeHash } from "./hash.ts";
import { toTreeSize } from "./size.ts";

/** A tree of `size` leaves as the hashes of its largest complete subtrees. A value: it never changes. */
export interface CompactRange {
  readonly size: bigint;
  /** From left to right, one for each bit that is set in `size`, the highest first. */
  readonly hashes: readonly Uint8Array[];
}

/** The hash of the complete subtree over leaves `index·2^level` to `(index+1)·2^level - 1`. */
export interface TreeNode {
  readonly level: number;
  readonly index: bigint;
  readonly hash: Uint8Array;
}

export const emptyRange: CompactRange = { size: 0n, hashes: [] };

/** A compact range from stored parts. Throws MALFORMED when the hashes are not those of `size`. */
export function createCompactRange(
  size: bigint | number,
  hashes: readonly Uint8Array[],
): CompactRange {
  const exact = toTreeSize(size);
  let expected = 0;
  for (let bits = exact; bits > 0n; bits >>= 1n) expected += Number(bits & 1n);
  if (hashes.length !== expected || hashes.some((hash) => hash.length !== hashBytes)) {
    throw new CausewayError("MALFORMED", `a tree of ${exact} leaves has ${expected} edge hashes`);
  }
  return { size: exact, hashes };
}

/**
 * The range with one more leaf, and the complete subtrees that this leaf finishes, leaf first.
 * A store that writes these nodes can answer as a `HashReader` for every size up to now; one that
 * keeps only levels divisible by 8 answers through `readerOfTileLevels`. On average two nodes a leaf.
 */
export function appendLeaf(
  range: CompactRange,
  leafHash: Uint8Array,
): { readonly range: CompactRange; readonly nodes: readonly TreeNode[] } {
  const size = toTreeSize(range.size + 1n);
  const hashes = range.hashes.slice();
  let node: TreeNode = { level: 0, index: range.size, hash: leafHash };
  const nodes = [node];
  while ((node.index & 1n) === 1n) {
    const left = hashes.pop() as Uint8Array;
    node = { level: node.level + 1, index: node.index >> 1n, hash: nodeHash(left, node.hash) };
    nodes.push(node);
  }
  hashes.push(node.hash);
  return { range: { size, hashes }, nodes };
}

/** Root hash of the tree. */
export function rangeRoot(range: CompactRange): Uint8Array {
  let root = range.hashes.at(-1) ?? emptyRoot;
  for (let i = range.hashes.length - 2; i >= 0; i--) {
    root = nodeHash(range.hashes[i] as Uint8Array, root);
  }
  return root;
}
