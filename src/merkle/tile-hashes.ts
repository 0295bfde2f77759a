/** Contents of tiles: written from stored hashes, read only after the check against the tree's root. */
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
  const first = tile.index * BigInt(tileWidth);
  for (let i = 0; i < tile.width; i++) {
    bytes.set(reader.readHash(tile.level * tileHeight, first + BigInt(i)), i * hashBytes);
  }
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

/**
 * A reader over untrusted tiles of the tree of `size` leaves with a trusted `root`. It answers levels
 * divisible by 8 (`readerOfTileLevels` gives the others) and uses no hash of a tile before the tile is
 * checked: partial tiles together against the root, a full tile against its parent. Per level it keeps
 * the tile that was read last.
 * `fetchTile` gives the bytes of a tile; where only the full tile is left of a partial one, its first `width` hashes.
 * Throws PROOF_INVALID when a tile does not belong to the tree, MALFORMED when its length is wrong.
 */
export function createVerifiedTileReader(options: {
  readonly size: bigint | number;
  readonly root: Uint8Array;
  readonly fetchTile: (tile: HashTile) => Uint8Array;
}): HashReader {
  const size = toTreeSize(options.size);
  const fetchHashes = (level: number, index: bigint, width: number): readonly Uint8Array[] =>
    width === 0 ? [] : parseTile(options.fetchTile({ level, index, width }), width);
  const partials = Array.from({ length: tileLevels(size) }, (_, level) =>
    fetchHashes(level, size >> BigInt(tileHeight * (level + 1)), partialTileWidth(level, size)),
  );
  if (!equalBytes(rootOfPartialTiles(size, partials), options.root)) {
    throw new CausewayError("PROOF_INVALID", "the partial tiles do not make the root");
  }
  const kept: { index: bigint; hashes: readonly Uint8Array[] }[] = [];

  function verifiedTile(level: number, index: bigint): readonly Uint8Array[] {
    if (index === size >> BigInt(tileHeight * (level + 1))) return partials[level] ?? [];
    const last = kept[level];
    if (last?.index === index) return last.hashes;
    const parentHash = storedHash(level + 1, index);
    const hashes = fetchHashes(level, index, tileWidth);
    if (!verifyTile(hashes, parentHash)) {
      throw new CausewayError(
        "PROOF_INVALID",
        `tile ${index} of level ${level} is not its parent's`,
      );
    }
    kept[level] = { index, hashes };
    return hashes;
  }

  function storedHash(level: number, index: bigint): Uint8Array {
    const tileIndex = index / BigInt(tileWidth);
    const beyond = tileIndex > size >> BigInt(tileHeight * (level + 1));
    const hash = beyond
      ? undefined
      : verifiedTile(level, tileIndex)[Number(index % BigInt(tileWidth))];
    if (hash === undefined) throw new RangeError(`no hash ${index} at tile level ${level}`);
    return hash;
  }

  return {
    readHash(level, index): Uint8Array {
      if (level % tileHeight !== 0) throw new RangeError(`tiles hold no hashes of level ${level}`);
      return storedHash(level / tileHeight, index);
    },
  };
}

/** Levels of tiles that a tree of `size` leaves has. */
function tileLevels(size: bigint): number {
  let levels = 0;
  for (let hashes = size; hashes > 0n; hashes >>= BigInt(tileHeight)) levels++;
  return levels;
}
