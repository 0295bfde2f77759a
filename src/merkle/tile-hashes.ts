/** Contents of tiles: written from stored hashes, and the checks before a hash of one is used. */
import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { treeRoot } from "./batch-tree.ts";
import { emptyRoot, hashBytes } from "./hash.ts";
import { type HashReader, tileHeight } from "./reader.ts";
import { toTreeSize } from "./size.ts";
import { partialTileWidth, type Tile, tileWidth } from "./tile-path.ts";

/** A tile of hashes. */
export interface HashTile extends Tile {
  readonly level: number;
}

/** The bytes of a tile: its hashes in order. */
export function readTile(tile: HashTile, reader: HashReader): Uint8Array {
  const bytes = new Uint8Array(tile.width * hashBytes);
  const level = tile.level * tileHeight;
  const first = tile.index * BigInt(tileWidth);
  const hashes =
    reader.readHashes?.(level, first, tile.width) ??
    Array.from({ length: tile.width }, (_, i) => reader.readHash(level, first + BigInt(i)));
  for (const [i, hash] of hashes.entries()) bytes.set(hash, i * hashBytes);
  return bytes;
}

/** The hashes of a tile of `width`, as views of `bytes`. Throws MALFORMED when the length is another. */
export function parseTile(bytes: Uint8Array, width: number): readonly Uint8Array[] {
  if (bytes.length !== width * hashBytes) {
    throw new CausewayError("MALFORMED", `a tile of width ${width} has ${width * hashBytes} bytes`);
  }
  return Array.from({ length: width }, (_, i) =>
    bytes.subarray(i * hashBytes, (i + 1) * hashBytes),
  );
}

/** Whether a full tile's 256 hashes are those below `parentHash`, its hash in the tile one level up. */
export function verifyTile(hashes: readonly Uint8Array[], parentHash: Uint8Array): boolean {
  if (hashes.length !== tileWidth) throw new RangeError("only a full tile has a parent");
  return equalBytes(treeRoot(hashes), parentHash);
}

/**
 * Root hash of a tree of `size` leaves from its partial tiles, lowest level first, [] where a level
 * has none: a partial tile has no parent, together they make the root. `RangeError` for other widths.
 */
export function rootOfPartialTiles(
  size: bigint | number,
  tiles: readonly (readonly Uint8Array[])[],
): Uint8Array {
  const exact = toTreeSize(size);
  if (tiles.length !== tileLevels(exact)) throw new RangeError("one tile for each level");
  let root: Uint8Array | undefined;
  for (const [level, hashes] of tiles.entries()) {
    if (hashes.length !== partialTileWidth(level, exact)) {
      throw new RangeError(`the partial tile of level ${level} has another width`);
    }
    if (hashes.length > 0) root = treeRoot(root === undefined ? hashes : [...hashes, root]);
  }
  return root ?? emptyRoot;
}

/** Levels of tiles that a tree of `size` leaves has. */
export function tileLevels(size: bigint): number {
  let levels = 0;
  for (let hashes = size; hashes > 0n; hashes >>= BigInt(tileHeight)) levels++;
  return levels;
}
