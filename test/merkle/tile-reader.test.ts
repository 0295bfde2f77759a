import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { toHex } from "../../src/base/bytes.ts";
import { encodeEntryBundle } from "../../src/merkle/entry-bundle.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import type { HashReader } from "../../src/merkle/reader.ts";
import { readTile } from "../../src/merkle/tile-hashes.ts";
import { formatTilePath, type Tile, tileWidthAt } from "../../src/merkle/tile-path.ts";
import { TileReader, type TileSource } from "../../src/merkle/tile-reader.ts";
import { verifyConsistency, verifyInclusion } from "../../src/merkle/verify.ts";
import { numberedLeaves, ReferenceTree } from "./reference.ts";
import { SparseTree } from "./sparse-tree.ts";
import { hexAll, storeTree, withOneBitChanged } from "./support.ts";

const count = 70_000;
const leaves = numberedLeaves(count);
const stored = storeTree(leaves);
const reference = new ReferenceTree(leaves);
const dataOf = (index: bigint): Uint8Array => leaves[Number(index)] as Uint8Array;

type Serve = (tile: Tile) => Uint8Array | undefined;

/** What a log with all partial tiles of `held` leaves answers. */
function honest(
  tree: HashReader,
  held: bigint,
  data: (index: bigint) => Uint8Array = dataOf,
): Serve {
  return (tile) => {
    const { level, index, width } = tile;
    if (tileWidthAt(level, index, held) < width) return undefined;
    if (level !== "entries") return readTile({ level, index, width }, tree);
    const first = index * 256n;
    return encodeEntryBundle(Array.from({ length: width }, (_, i) => data(first + BigInt(i))));
  };
}
const serve = honest(stored, BigInt(count));
const sourceOf = (from: Serve): TileSource => ({ fetchTile: async (tile) => from(tile) });
const headOf = (size: number): { size: number; root: Uint8Array } => ({
  size,
  root: reference.mth(0, size),
});
const open = (size: number, from: Serve = serve): Promise<TileReader> =>
  TileReader.open(headOf(size), sourceOf(from));

/** Changes a bit of the tiles that are chosen. */
function changedAt(chosen: (tile: Tile) => boolean, bit = -1): Serve {
  return (tile) => {
    const bytes = serve(tile)?.slice();
    if (bytes !== undefined && chosen(tile)) {
      const at = bit < 0 ? bytes.length - 1 : bit >> 3;
      bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7));
    }
    return bytes;
  };
}

describe("a tree read through its tiles", () => {
  for (const size of [1, 255, 256, 257, 511, 65_535, 65_536, 65_537, count]) {
    test(`has root, proofs and entries of its ${size} leaves`, async () => {
      const reader = await open(size);
      assert.equal(toHex(await reader.rootAt(size)), toHex(reference.mth(0, size)));
      for (const index of new Set([0, size >> 1, size - 1])) {
        assert.deepEqual(
          hexAll(await reader.proveInclusion(index)),
          hexAll(reference.path(index, 0, size)),
        );
        assert.deepEqual(
          hexAll(await reader.proveConsistency(index + 1)),
          hexAll(reference.proof(index + 1, size)),
        );
        assert.equal(
          toHex(await reader.leafHash(index)),
          toHex(leafHash(leaves[index] as Uint8Array)),
        );
        const entries = await reader.entries(BigInt(index >> 8));
        assert.deepEqual(entries[index & 255], leaves[index]);
      }
    });
  }
  test("has for every size up to 600 the root and proofs of the RFC's text", async () => {
    for (let size = 1; size <= 600; size++) {
      const reader = await open(size);
      const index = (size * 7919) % size;
      const size1 = ((size * 104_729) % size) + 1;
      assert.deepEqual(
        [
          hexAll(await reader.proveInclusion(index)),
          hexAll(await reader.proveConsistency(size1)),
          toHex(await reader.rootAt(size1)),
        ],
        [
          hexAll(reference.path(index, 0, size)),
          hexAll(reference.proof(size1, size)),
          toHex(reference.mth(0, size1)),
        ],
      );
    }
  });
  test("gives proofs that verify at sizes up to 2^40", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.bigInt({ min: 1n, max: 1n << 40n }),
        fc.bigInt({ min: 0n, max: 1n << 40n }),
        async (size, any) => {
          const index = any % size;
          const special = new Map([[index, Uint8Array.of(7)]]);
          const tree = new SparseTree(special);
          const source = sourceOf(honest(tree, size, (at) => tree.data(at)));
          const root = tree.mth(0n, size);
          const reader = await TileReader.open({ size, root }, source);
          const proof = await reader.proveInclusion(index);
          const leaf = leafHash(Uint8Array.of(7));
          assert.equal(verifyInclusion({ leafHash: leaf, index, size, root, proof }), true);
          const size1 = index + 1n;
          assert.equal(
            verifyConsistency({
              size1,
              root1: tree.mth(0n, size1),
              size2: size,
              root2: root,
              proof: await reader.proveConsistency(size1),
            }),
            true,
          );
          const entries = await reader.entries(index >> 8n);
          assert.deepEqual(entries[Number(index & 255n)], Uint8Array.of(7));
        },
      ),
      { numRuns: 25 },
    );
  });
  test("of a size above 2^63-1 is TOO_LARGE", async () => {
    const { root } = headOf(1);
    await assert.rejects(TileReader.open({ size: 1n << 63n, root }, sourceOf(serve)), {
      code: "TOO_LARGE",
    });
  });
  test("of no leaves has the empty root and no hash", async () => {
    const reader = await open(0);
    assert.equal(toHex(await reader.rootAt(0)), toHex(reference.mth(0, 0)));
    await assert.rejects(reader.leafHash(0), RangeError);
    await assert.rejects(reader.proveInclusion(0), RangeError);
  });
});

describe("what a log lies about", () => {
  test("each bit of a partial tile is PROOF_INVALID before any hash is used", async () => {
    for (const level of [0, 1]) {
      for (let bit = 0; bit < 5 * 256; bit += 1) {
        const lying = changedAt((tile) => tile.level === level && tile.width < 256, bit);
        const head = headOf(5 * 256 + 5);
        await assert.rejects(TileReader.open(head, sourceOf(lying)), { code: "PROOF_INVALID" });
      }
    }
  });
  test("each bit of a full tile is PROOF_INVALID when it is read", async () => {
    for (let bit = 0; bit < 8192 * 8; bit += 97) {
      const reader = await open(
        300,
        changedAt(({ width, level }) => level === 0 && width === 256, bit),
      );
      await assert.rejects(reader.leafHash(5), { code: "PROOF_INVALID" });
    }
  });
  test("a bit of a full tile above the leaves is PROOF_INVALID below it", async () => {
    const reader = await open(
      count,
      changedAt((tile) => tile.level === 1 && tile.index === 0n),
    );
    await assert.rejects(reader.leafHash(5), { code: "PROOF_INVALID" });
    assert.equal(
      toHex(await reader.leafHash(66_000)),
      toHex(leafHash(leaves[66_000] as Uint8Array)),
    );
  });
  test("each bit of an entry bundle is refused", async () => {
    const honestBundle = serve({ level: "entries", index: 0n, width: 5 }) as Uint8Array;
    const codes = new Set<string>();
    for (const wrong of withOneBitChanged(honestBundle)) {
      const reader = await open(5, (tile) => (tile.level === "entries" ? wrong : serve(tile)));
      await assert.rejects(reader.entries(0n), ({ code }: { code: string }) => {
        codes.add(code);
        return true;
      });
    }
    assert.deepEqual([...codes].sort(), ["MALFORMED", "PROOF_INVALID"]);
  });
  test("each bit of the root is PROOF_INVALID", async () => {
    const { root } = headOf(300);
    for (const wrong of withOneBitChanged(root)) {
      await assert.rejects(TileReader.open({ size: 300, root: wrong }, sourceOf(serve)), {
        code: "PROOF_INVALID",
      });
    }
  });
  test("a full tile in the place of its neighbour is PROOF_INVALID", async () => {
    const reader = await open(count, (tile) =>
      serve(tile.level === 0 && tile.index === 7n ? { ...tile, index: 8n } : tile),
    );
    assert.equal(toHex(await reader.leafHash(2048)), toHex(leafHash(leaves[2048] as Uint8Array)));
    await assert.rejects(reader.leafHash(7 * 256), { code: "PROOF_INVALID" });
  });
  test("a tile of another length is MALFORMED", async () => {
    const reader = await open(count, (tile) =>
      tile.width === 256 ? serve(tile)?.subarray(32) : serve(tile),
    );
    await assert.rejects(reader.leafHash(0), { code: "MALFORMED" });
  });
});

describe("tiles that are not served", () => {
  /** A log may delete a partial tile once the full one is there. */
  const withoutPartials: Serve = (tile) =>
    tile.width < 256 && serve({ ...tile, width: 256 }) !== undefined ? undefined : serve(tile);
  const withoutAny: Serve = (tile) => (tile.width < 256 ? undefined : serve(tile));

  test("a partial tile or bundle that is gone is read from the full one", async () => {
    const reader = await open(65_700, withoutPartials);
    assert.deepEqual(
      hexAll(await reader.proveInclusion(65_699)),
      hexAll(reference.path(65_699, 0, 65_700)),
    );
    const entries = await reader.entries(256n);
    assert.deepEqual(entries, leaves.slice(65_536, 65_700));
  });
  test("one whose full tile is missing too is TILE_MISSING, and named", async () => {
    await assert.rejects(open(count, withoutAny), (error: { code: string; fields: object }) => {
      assert.equal(error.code, "TILE_MISSING");
      assert.deepEqual(error.fields, { path: "tile/0/273.p/112" });
      return true;
    });
  });
  test("a log that is pruned still gives what lies above its minimum index", async () => {
    const minimum = 66_000n;
    const pruned: Serve = (tile) => {
      const level = tile.level === "entries" ? 0 : tile.level;
      const end = (tile.index + 1n) << BigInt(8 * (level + 1));
      return end <= minimum ? undefined : serve(tile);
    };
    const reader = await open(count, pruned);
    for (const index of [66_000, 66_001, count - 1]) {
      assert.deepEqual(
        hexAll(await reader.proveInclusion(index)),
        hexAll(reference.path(index, 0, count)),
      );
      assert.deepEqual(
        hexAll(await reader.proveConsistency(index)),
        hexAll(reference.proof(index, count)),
      );
    }
    await assert.rejects(reader.proveInclusion(300), { code: "TILE_MISSING" });
    await assert.rejects(reader.entries(1n), { code: "TILE_MISSING" });
  });
});

describe("a tree that grows", () => {
  test("extends when its tiles show that the old one begins it", async () => {
    let reader = await open(1);
    for (const size of [2, 255, 256, 257, 600, 65_536, count]) {
      reader = await reader.extend(headOf(size));
      assert.equal(reader.size, BigInt(size));
    }
  });
  test("does not extend to a smaller tree, or to one that begins otherwise", async () => {
    const reader = await open(300);
    await assert.rejects(reader.extend(headOf(299)), { code: "PROOF_INVALID" });
    const forged = leaves.slice(0, 600).map((leaf, i) => (i === 40 ? Uint8Array.of(1) : leaf));
    const other = storeTree(forged);
    const root = new ReferenceTree(forged).mth(0, 600);
    const lying = honest(other, 600n);
    let turned = false;
    const source = sourceOf((tile) => (turned ? lying(tile) : serve(tile)));
    const followed = await TileReader.open(headOf(300), source);
    turned = true;
    await assert.rejects(followed.extend({ size: 600, root }), { code: "PROOF_INVALID" });
  });
  test("fetches a full tile once, also after it has grown and when it is asked for twice at a time", async () => {
    const fetched: string[] = [];
    const reader = await open(count - 1, (tile) => {
      fetched.push(formatTilePath(tile));
      return serve(tile);
    });
    await Promise.all([reader.leafHash(512), reader.leafHash(513), reader.leafHash(767)]);
    assert.deepEqual(fetched.splice(0), [
      "tile/0/273.p/111",
      "tile/1/001.p/17",
      "tile/2/000.p/1",
      "tile/1/000",
      "tile/0/002",
    ]);
    const grown = await reader.extend(headOf(count));
    fetched.splice(0);
    await grown.leafHash(514);
    assert.deepEqual(fetched, []);
  });
});
