import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { toHex } from "../../src/base/bytes.ts";
import { decodeEntryBundle, encodeEntryBundle } from "../../src/merkle/entry-bundle.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import {
  parseTile,
  readTile,
  rootOfPartialTiles,
  verifyTile,
} from "../../src/merkle/tile-hashes.ts";
import {
  formatTilePath,
  parseTilePath,
  partialTileWidth,
  type Tile,
  tileWidthAt,
} from "../../src/merkle/tile-path.ts";
import { numberedLeaves, ReferenceTree } from "./reference.ts";
import { hexAll, storeTree } from "./support.ts";

const count = 70_000;
const leaves = numberedLeaves(count);
const stored = storeTree(leaves);
const reference = new ReferenceTree(leaves);

describe("tile paths", () => {
  for (const [path, tile] of [
    ["tile/0/000", { level: 0, index: 0n, width: 256 }],
    ["tile/0/x001/x234/067", { level: 0, index: 1234067n, width: 256 }],
    ["tile/2/000.p/1", { level: 2, index: 0n, width: 1 }],
    ["tile/63/999.p/255", { level: 63, index: 999n, width: 255 }],
    ["tile/0/x001/000", { level: 0, index: 1000n, width: 256 }],
    ["tile/entries/x001/067.p/12", { level: "entries", index: 1067n, width: 12 }],
    ["tile/0/x009/x223/x372/x036/x854/x775/807", { level: 0, index: (1n << 63n) - 1n, width: 256 }],
  ] as const satisfies readonly (readonly [string, Tile])[]) {
    test(`${path} names its tile, and the tile its path`, () => {
      assert.deepEqual(parseTilePath(path), tile);
      assert.equal(formatTilePath(tile), path);
    });
  }
  for (const path of [
    "",
    "tile/0",
    "tile/0/",
    "tile/0/0",
    "tile/0/00",
    "tile/0/0000",
    "tile/0/1000",
    "tile/0/x000/000",
    "tile/0/x001",
    "tile/0/001/000",
    "tile/0/x001/x000",
    "tile/00/000",
    "tile/01/000",
    "tile/64/000",
    "tile/-1/000",
    "tile/0/-01",
    "tile/0/000.p/0",
    "tile/0/000.p/01",
    "tile/0/000.p/256",
    "tile/0/000.p/999",
    "tile/0/000.p/",
    "tile/0/000.p/1/",
    "tile/0/000\n",
    "/tile/0/000",
    "tile/entry/000",
    "tile/8/entries/000",
    "tile/0/x009/x223/x372/x036/x854/x775/808",
    "tile/0/x009/x999/x223/x372/x036/x854/x775/807",
    "tile/0/../000",
  ]) {
    test(`${JSON.stringify(path)} names no tile`, () => {
      assert.equal(parseTilePath(path), undefined);
    });
  }
  test("parse after print is identity", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.integer({ min: 0, max: 63 }), fc.constant("entries" as const)),
        fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }),
        fc.integer({ min: 1, max: 256 }),
        (level, index, width) => {
          assert.deepEqual(parseTilePath(formatTilePath({ level, index, width })), {
            level,
            index,
            width,
          });
        },
      ),
    );
  });
  test("printing no tile is a RangeError", () => {
    const tile = { level: 0, index: 0n, width: 1 };
    for (const wrong of [
      { ...tile, level: 64 },
      { ...tile, level: 0.5 },
      { ...tile, index: -1n },
      { ...tile, index: 1n << 63n },
      { ...tile, width: 0 },
      { ...tile, width: 257 },
    ]) {
      assert.throws(() => formatTilePath(wrong), RangeError);
    }
  });
});

describe("widths", () => {
  test("a tree of 70,000 leaves has the tiles that the specification names", () => {
    const size = 70_000n;
    assert.equal(tileWidthAt(0, 272n, size), 256);
    assert.equal(tileWidthAt(0, 273n, size), 112);
    assert.equal(tileWidthAt(0, 274n, size), 0);
    assert.equal(tileWidthAt(1, 0n, size), 256);
    assert.equal(tileWidthAt(1, 1n, size), 17);
    assert.equal(tileWidthAt(2, 0n, size), 1);
    assert.equal(tileWidthAt(3, 0n, size), 0);
    assert.deepEqual(
      [0, 1, 2, 3].map((level) => partialTileWidth(level, size)),
      [112, 17, 1, 0],
    );
    assert.equal(partialTileWidth("entries", size), 112);
    assert.equal(tileWidthAt("entries", 273n, size), 112);
  });
  test("256 leaves are one full tile and a partial one of width 1 above", () => {
    assert.equal(tileWidthAt(0, 0n, 256n), 256);
    assert.equal(tileWidthAt(0, 1n, 256n), 0);
    assert.equal(partialTileWidth(0, 256n), 0);
    assert.equal(partialTileWidth(1, 256n), 1);
  });
  test("the tiles of a level hold all its hashes and no more", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 200_000 }), fc.integer({ min: 0, max: 2 }), (n, l) => {
        let sum = 0;
        for (let index = 0n; tileWidthAt(l, index, BigInt(n)) > 0; index++) {
          sum += tileWidthAt(l, index, BigInt(n));
        }
        assert.equal(sum, Math.floor(n / 256 ** l));
      }),
    );
  });
});

describe("tile contents", () => {
  test("a tile holds the hashes of the subtrees below it", () => {
    const bytes = readTile({ level: 1, index: 1n, width: 17 }, stored);
    assert.equal(bytes.length, 17 * 32);
    for (const [i, hash] of parseTile(bytes, 17).entries()) {
      const begin = (256 + i) * 256;
      assert.equal(toHex(hash), toHex(reference.mth(begin, begin + 256)));
    }
  });
  test("a full tile matches its parent and no other", () => {
    const hashes = parseTile(readTile({ level: 0, index: 3n, width: 256 }, stored), 256);
    assert.equal(verifyTile(hashes, stored.readHash(8, 3n)), true);
    assert.equal(verifyTile(hashes, stored.readHash(8, 4n)), false);
    assert.equal(verifyTile(hashes.toReversed(), stored.readHash(8, 3n)), false);
    assert.throws(() => verifyTile(hashes.slice(1), stored.readHash(8, 3n)), RangeError);
  });
  test("bytes of another length than the width's are MALFORMED", () => {
    for (const length of [0, 31, 33, 63, 65, 96]) {
      assert.throws(() => parseTile(new Uint8Array(length), 2), { code: "MALFORMED" });
    }
  });
  test("partial tiles make the root of every size", () => {
    const sizes = [0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_792, 69_999, 70_000];
    for (const size of [...Array.from({ length: 300 }, (_, i) => i), ...sizes]) {
      assert.equal(
        toHex(rootOfPartialTiles(size, partialTiles(BigInt(size)))),
        toHex(reference.mth(0, size)),
      );
    }
  });
  test("partial tiles of another size are a RangeError", () => {
    assert.throws(() => rootOfPartialTiles(70_001, partialTiles(70_000n)), RangeError);
    assert.throws(() => rootOfPartialTiles(70_000, partialTiles(70_000n).slice(1)), RangeError);
  });
});

describe("entry bundles", () => {
  test("decode after encode is identity", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 600 }), { minLength: 1, maxLength: 256 }),
        (entries) => {
          const decoded = decodeEntryBundle(encodeEntryBundle(entries), entries.length);
          assert.deepEqual(hexAll(decoded), hexAll(entries));
        },
      ),
    );
  });
  test("an entry stands after its length in two bytes, high byte first", () => {
    const bundle = encodeEntryBundle([new Uint8Array(0x102).fill(7), Uint8Array.of()]);
    assert.deepEqual([...bundle.subarray(0, 3)], [1, 2, 7]);
    assert.deepEqual([...bundle.subarray(-3)], [7, 0, 0]);
  });
  test("the longest entry has 65,535 bytes", () => {
    const entry = new Uint8Array(0xffff).fill(3);
    assert.equal(
      toHex(leafHash(decodeEntryBundle(encodeEntryBundle([entry]), 1)[0] ?? assert.fail())),
      toHex(leafHash(entry)),
    );
    assert.throws(() => encodeEntryBundle([new Uint8Array(0x10000)]), RangeError);
  });
  test("no entries, or more than 256, are no bundle", () => {
    assert.throws(() => encodeEntryBundle([]), RangeError);
    assert.throws(
      () => encodeEntryBundle(Array<Uint8Array>(257).fill(new Uint8Array(1))),
      RangeError,
    );
  });
  test("every proper prefix of a bundle is MALFORMED", () => {
    const bundle = encodeEntryBundle([Uint8Array.of(1, 2, 3), Uint8Array.of(), Uint8Array.of(4)]);
    for (let length = 0; length < bundle.length; length++) {
      assert.throws(() => decodeEntryBundle(bundle.subarray(0, length), 3), { code: "MALFORMED" });
    }
  });
  test("a bundle of another width is MALFORMED", () => {
    const bundle = encodeEntryBundle([Uint8Array.of(1), Uint8Array.of(2)]);
    for (const width of [0, 1, 3]) {
      assert.throws(() => decodeEntryBundle(bundle, width), { code: "MALFORMED" });
    }
  });
});

function partialTiles(size: bigint): (readonly Uint8Array[])[] {
  const tiles: (readonly Uint8Array[])[] = [];
  for (let level = 0; size >> BigInt(8 * level) > 0n; level++) {
    const width = partialTileWidth(level, size);
    const index = size >> BigInt(8 * (level + 1));
    tiles.push(width === 0 ? [] : parseTile(readTile({ level, index, width }, stored), width));
  }
  return tiles;
}
