/** Names and widths of tiles and entry bundles (C2SP tlog-tiles). */
import { treeSizeMax } from "../base/limits.ts";
import { tileHeight } from "./reader.ts";

/** Hashes of a full tile, and entries of a full bundle. */
export const tileWidth: number = 1 << tileHeight;

/** A tile of hashes at tile level 0 to 63, or a bundle of entries. */
export interface Tile {
  readonly level: number | "entries";
  readonly index: bigint;
  /** Hashes or entries inside, 1 to 256; below 256 the tile is partial. */
  readonly width: number;
}

const tileLevelMax = 63;
const pathPattern =
  /^tile\/(entries|0|[1-9][0-9]?)\/((?:x[0-9]{3}\/){0,6}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/;

/** The path of a tile under a log's prefix, such as `tile/0/x001/x234/067.p/12`. */
export function formatTilePath(tile: Tile): string {
  const { level, index, width } = tile;
  if (level !== "entries" && !(Number.isInteger(level) && level >= 0 && level <= tileLevelMax)) {
    throw new RangeError(`no tile level ${level}`);
  }
  if (index < 0n || index > treeSizeMax) throw new RangeError(`no tile index ${index}`);
  if (!Number.isInteger(width) || width < 1 || width > tileWidth) {
    throw new RangeError(`no tile width ${width}`);
  }
  const digits = index.toString();
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.{3}/g) as string[];
  const name = groups.join("/x");
  const prefixed = groups.length === 1 ? name : `x${name}`.replace(/x([0-9]{3})$/, "$1");
  return `tile/${level}/${prefixed}${width === tileWidth ? "" : `.p/${width}`}`;
}

/** The tile that a path names, or `undefined` when it is not exactly the path of one. */
export function parseTilePath(path: string): Tile | undefined {
  const match = pathPattern.exec(path);
  if (match === null) return undefined;
  const [, level, groups, partial] = match;
  const tile: Tile = {
    level: level === "entries" ? level : Number(level),
    index: BigInt((groups as string).replace(/[x/]/g, "")),
    width: partial === undefined ? tileWidth : Number(partial),
  };
  if (tile.level !== "entries" && tile.level > tileLevelMax) return undefined;
  if (tile.index > treeSizeMax || (partial !== undefined && tile.width >= tileWidth)) {
    return undefined;
  }
  return formatTilePath(tile) === path ? tile : undefined;
}

/** Width of the partial tile at a level of a tree of `size` leaves; 0 means that there is none. */
export function partialTileWidth(level: number | "entries", size: bigint): number {
  return Number(hashesAt(level, size) % BigInt(tileWidth));
}

/** Width that the tile at (level, index) has in a tree of `size` leaves: 256 full, 0 absent. */
export function tileWidthAt(level: number | "entries", index: bigint, size: bigint): number {
  const rest = hashesAt(level, size) - index * BigInt(tileWidth);
  if (rest <= 0n) return 0;
  return rest < BigInt(tileWidth) ? Number(rest) : tileWidth;
}

function hashesAt(level: number | "entries", size: bigint): bigint {
  return level === "entries" ? size : size >> BigInt(tileHeight * level);
}
