import { toHex } from "../../src/base/bytes.ts";
import {
  appendLeaf,
  type CompactRange,
  emptyRange,
  type TreeNode,
} from "../../src/merkle/compact-range.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import type { HashReader } from "../../src/merkle/reader.ts";

export function hexAll(hashes: readonly Uint8Array[]): string[] {
  return hashes.map(toHex);
}

/** Every copy of `bytes` with one bit changed. */
export function* withOneBitChanged(bytes: Uint8Array): Generator<Uint8Array> {
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const copy = Uint8Array.from(bytes);
    copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7));
    yield copy;
  }
}

/** What a store holds after the leaves were appended one by one. */
export interface StoredTree extends HashReader {
  readonly range: CompactRange;
  /** The range after each size, from 0. */
  readonly ranges: readonly CompactRange[];
}

/** Stores the nodes of levels that `keeps` names, and throws for any other that is asked for. */
export function storeTree(
  leaves: readonly Uint8Array[],
  keeps: (level: number) => boolean = () => true,
): StoredTree {
  const stored = new Map<string, TreeNode>();
  const ranges: CompactRange[] = [emptyRange];
  let range = emptyRange;
  for (const leaf of leaves) {
    const appended = appendLeaf(range, leafHash(leaf));
    range = appended.range;
    ranges.push(range);
    for (const node of appended.nodes) {
      if (keeps(node.level)) stored.set(`${node.level}/${node.index}`, node);
    }
  }
  return {
    range,
    ranges,
    readHash(level, index): Uint8Array {
      const node = stored.get(`${level}/${index}`);
      if (node === undefined) throw new Error(`not stored: ${level}/${index}`);
      return node.hash;
    },
  };
}
