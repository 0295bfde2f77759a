/**
 * Roots and paths of trees whose leaf hashes are all at hand: batches and call tokens.
 *
 * A level is made by hashing pairs; a last hash without a partner goes up unchanged. This is the tree
 * of RFC 6962 section 2.1, which splits at the largest power of two below the number of leaves.
 */
import { emptyRoot, nodeHash } from "./hash.ts";

/** Root hash over leaf hashes in order; of none, the hash of the empty tree. */
export function treeRoot(leafHashes: readonly Uint8Array[]): Uint8Array {
  let level = leafHashes;
  while (level.length > 1) level = levelAbove(level);
  return level[0] ?? emptyRoot;
}

/** Path of the leaf at `index`, from its sibling up to a child of the root (RFC 6962 section 2.1.1). */
export function treePath(leafHashes: readonly Uint8Array[], index: number): readonly Uint8Array[] {
  if (!Number.isInteger(index) || index < 0 || index >= leafHashes.length) {
    throw new RangeError(`no leaf ${index} in a tree of ${leafHashes.length}`);
  }
  return pathThrough(levelsOf(leafHashes), index);
}

export interface TreeWithPaths {
  readonly root: Uint8Array;
  /** One path for each leaf, in order. */
  readonly paths: readonly (readonly Uint8Array[])[];
}

/** Root and the path of every leaf; each node is hashed once, and paths share their hashes. */
export function treeWithPaths(leafHashes: readonly Uint8Array[]): TreeWithPaths {
  const levels = levelsOf(leafHashes);
  return {
    root: levels.at(-1)?.[0] ?? emptyRoot,
    paths: leafHashes.map((_, index) => pathThrough(levels, index)),
  };
}

/** All levels, the leaf hashes first and the root last. */
function levelsOf(leafHashes: readonly Uint8Array[]): readonly (readonly Uint8Array[])[] {
  const levels = [leafHashes];
  let level = leafHashes;
  while (level.length > 1) {
    level = levelAbove(level);
    levels.push(level);
  }
  return levels;
}

function levelAbove(level: readonly Uint8Array[]): readonly Uint8Array[] {
  const above: Uint8Array[] = [];
  const last = level.length - 1;
  for (let i = 0; i < last; i += 2) {
    above.push(nodeHash(level[i] as Uint8Array, level[i + 1] as Uint8Array));
  }
  if (level.length % 2 === 1) above.push(level[last] as Uint8Array);
  return above;
}

function pathThrough(levels: readonly (readonly Uint8Array[])[], index: number): Uint8Array[] {
  const path: Uint8Array[] = [];
  let at = index;
  for (const level of levels) {
    const sibling = level[at ^ 1];
    if (sibling !== undefined) path.push(sibling);
    at >>>= 1;
  }
  return path;
}
