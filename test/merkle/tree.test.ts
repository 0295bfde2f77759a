import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import fc from "fast-check";
import { toHex, u32be } from "../../src/base/bytes.ts";
import { treePath, treeRoot, treeWithPaths } from "../../src/merkle/batch-tree.ts";
import { appendLeaf, createCompactRange, rangeRoot } from "../../src/merkle/compact-range.ts";
import { emptyRoot, leafHash, nodeHash } from "../../src/merkle/hash.ts";
import { compactRangeAt, readerOfTileLevels, rootAt } from "../../src/merkle/reader.ts";
import { parseTreeSize, toTreeSize } from "../../src/merkle/size.ts";
import { numberedLeaves, ReferenceTree } from "./reference.ts";
import { hexAll, storeTree } from "./support.ts";

interface Vectors {
  readonly trees: readonly {
    readonly count: number;
    readonly root: string;
    readonly paths: readonly { readonly index: number; readonly path: readonly string[] }[];
  }[];
}
const vectors = JSON.parse(readFileSync("test/vectors/merkle.json", "utf8")) as Vectors;

const leaves = numberedLeaves(700);
const reference = new ReferenceTree(leaves);
const leafHashes = leaves.map(leafHash);
const stored = storeTree(leaves);

describe("hashes of RFC 6962", () => {
  test("the empty root is SHA-256 of nothing", () => {
    assert.equal(
      toHex(emptyRoot),
      "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    );
  });
  test("a leaf is hashed alike below and above the reused buffer's length", () => {
    for (const length of [0, 1, 4094, 4095, 4096, 4097, 70_000]) {
      const data = new Uint8Array(length).fill(7);
      assert.equal(toHex(leafHash(data)), toHex(new ReferenceTree([data]).mth(0, 1)));
    }
  });
  test("a short leaf after a long one is hashed without its rest", () => {
    leafHash(new Uint8Array(4000).fill(9));
    assert.equal(
      toHex(leafHash(Uint8Array.of(1))),
      toHex(new ReferenceTree([Uint8Array.of(1)]).mth(0, 1)),
    );
  });
  test("a node of anything but two hashes is a RangeError", () => {
    assert.throws(() => nodeHash(emptyRoot, emptyRoot.subarray(1)), RangeError);
    assert.throws(() => nodeHash(new Uint8Array(33), emptyRoot), RangeError);
  });
});

describe("reference trees", () => {
  for (const tree of vectors.trees) {
    test(`the tree of ${tree.count} leaves has the reference's root and paths`, () => {
      const hashes = Array.from({ length: tree.count }, (_, i) => leafHash(u32be(i)));
      assert.equal(toHex(treeRoot(hashes)), tree.root);
      const { root, paths } = treeWithPaths(hashes);
      assert.equal(toHex(root), tree.root);
      for (const { index, path } of tree.paths) {
        assert.deepEqual(hexAll(treePath(hashes, index)), path);
        assert.deepEqual(hexAll(paths[index] ?? []), path);
      }
    });
  }
});

describe("trees against the RFC's definition", () => {
  test("root and every path of a batch tree, sizes 0 to 300", () => {
    for (let size = 0; size <= 300; size++) {
      const { root, paths } = treeWithPaths(leafHashes.slice(0, size));
      assert.equal(toHex(root), toHex(reference.mth(0, size)));
      assert.equal(paths.length, size);
      for (const [index, path] of paths.entries()) {
        assert.deepEqual(hexAll(path), hexAll(reference.path(index, 0, size)));
      }
    }
  });
  test("a batch tree of 4,096 leaves has paths of 12 hashes", () => {
    const batch = numberedLeaves(4096);
    const { root, paths } = treeWithPaths(batch.map(leafHash));
    const slow = new ReferenceTree(batch);
    assert.equal(toHex(root), toHex(slow.mth(0, 4096)));
    for (const index of [0, 1, 2047, 2048, 4095]) {
      assert.deepEqual(hexAll(paths[index] ?? []), hexAll(slow.path(index, 0, 4096)));
    }
    assert.ok(paths.every((path) => path.length === 12));
  });
  test("a path of a leaf that the tree has not is a RangeError", () => {
    assert.throws(() => treePath([], 0), RangeError);
    assert.throws(() => treePath(leafHashes.slice(0, 3), 3), RangeError);
    assert.throws(() => treePath(leafHashes.slice(0, 3), -1), RangeError);
    assert.throws(() => treePath(leafHashes.slice(0, 3), 0.5), RangeError);
  });
  test("the appended range has the root of every size", () => {
    for (const [size, range] of stored.ranges.entries()) {
      assert.equal(range.size, BigInt(size));
      assert.equal(toHex(rangeRoot(range)), toHex(reference.mth(0, size)));
    }
  });
  test("stored nodes give root and range of every earlier size", () => {
    for (const [size, range] of stored.ranges.entries()) {
      assert.equal(toHex(rootAt(size, stored)), toHex(reference.mth(0, size)));
      const read = compactRangeAt(BigInt(size), stored);
      assert.equal(read.size, range.size);
      assert.deepEqual(hexAll(read.hashes), hexAll(range.hashes));
    }
  });
  test("every node that a leaf finishes is the complete subtree that it names", () => {
    for (const [index, leaf] of leafHashes.entries()) {
      const { nodes } = appendLeaf(stored.ranges[index] ?? assert.fail(), leaf);
      for (const [level, node] of nodes.entries()) {
        assert.equal(node.level, level);
        const begin = Number(node.index) * 2 ** level;
        assert.equal(begin + 2 ** level, index + 1);
        assert.equal(toHex(node.hash), toHex(reference.mth(begin, index + 1)));
      }
      assert.notEqual((index + 1) % 2 ** nodes.length, 0);
    }
  });
  test("a store of tile levels alone gives the same roots", () => {
    const reader = readerOfTileLevels(storeTree(leaves, (level) => level % 8 === 0));
    for (const size of [0, 1, 2, 255, 256, 257, 300, 511, 512, 513, 699, 700]) {
      assert.equal(toHex(rootAt(size, reader)), toHex(reference.mth(0, size)));
    }
  });
});

describe("compact ranges", () => {
  test("a range restored from its hashes goes on as the original", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 699 }), (size) => {
        const range = stored.ranges[size] ?? assert.fail();
        const restored = createCompactRange(range.size, range.hashes);
        const next = appendLeaf(restored, leafHashes[size] ?? assert.fail()).range;
        assert.equal(toHex(rangeRoot(next)), toHex(reference.mth(0, size + 1)));
      }),
    );
  });
  test("appending leaves the range before it unchanged", () => {
    const before = stored.ranges[7] ?? assert.fail();
    const hashes = hexAll(before.hashes);
    appendLeaf(before, emptyRoot);
    assert.deepEqual(hexAll(before.hashes), hashes);
  });
  for (const [name, hashes] of [
    ["too few hashes", [emptyRoot]],
    ["too many hashes", [emptyRoot, emptyRoot, emptyRoot]],
    ["a short hash", [emptyRoot, emptyRoot.subarray(1)]],
  ] as const) {
    test(`${name} for a size is MALFORMED`, () => {
      assert.throws(() => createCompactRange(5, hashes), { code: "MALFORMED" });
    });
  }
  test("a range of 2^63-1 leaves takes no further one", () => {
    const full = createCompactRange((1n << 63n) - 1n, Array<Uint8Array>(63).fill(emptyRoot));
    assert.throws(() => appendLeaf(full, emptyRoot), { code: "TOO_LARGE" });
  });
});

describe("sizes", () => {
  test("a number beyond 2^53-1 is never rounded", () => {
    assert.throws(() => toTreeSize(2 ** 53), RangeError);
    assert.throws(() => toTreeSize(1.5), RangeError);
    assert.throws(() => toTreeSize(Number.NaN), RangeError);
  });
  test("a negative size is a RangeError", () => {
    assert.throws(() => toTreeSize(-1), RangeError);
    assert.throws(() => toTreeSize(-1n), RangeError);
  });
  test("2^63-1 is a size and 2^63 is TOO_LARGE", () => {
    assert.equal(toTreeSize((1n << 63n) - 1n), (1n << 63n) - 1n);
    assert.throws(() => toTreeSize(1n << 63n), { code: "TOO_LARGE" });
  });
  test("text of a size parses to what prints it", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }), (size) => {
        assert.equal(parseTreeSize(size.toString()), size);
      }),
    );
  });
  for (const text of [
    "",
    "00",
    "01",
    "+1",
    "-0",
    " 1",
    "1 ",
    "1\n",
    "0x1",
    "1e3",
    "9223372036854775808",
    "99999999999999999999",
  ]) {
    test(`${JSON.stringify(text)} is not the text of a size`, () => {
      assert.equal(parseTreeSize(text), undefined);
    });
  }
});
