/**
 * A tree read through the tiles of a log that nobody needs to trust (C2SP tlog-tiles): from the root of
 * a verified checkpoint down, each tile checked against its parent before any hash of it is used.
 */
import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { tilesKeptMax } from "../base/limits.ts";
import { Lru } from "../base/lru.ts";
import { treeRoot } from "./batch-tree.ts";
import { decodeEntryBundle } from "./entry-bundle.ts";
import { emptyRoot, hashBytes, leafHash } from "./hash.ts";
import { proveConsistency, proveInclusion } from "./prove.ts";
import { type HashReader, rootAt, tileHeight } from "./reader.ts";
import { toTreeSize } from "./size.ts";
import { parseTile, rootOfPartialTiles, tileLevels, verifyTile } from "./tile-hashes.ts";
import {
  formatTilePath,
  partialTileWidth,
  type Tile,
  tileWidth,
  tileWidthAt,
} from "./tile-path.ts";

/** Where tiles and entry bundles come from. Nothing of it is believed. */
export interface TileSource {
  /** The bytes of a tile or bundle, not compressed; `undefined` when the log does not serve it. */
  fetchTile(tile: Tile): Promise<Uint8Array | undefined>;
}

/** A tree by what a verified checkpoint says of it. */
export interface TreeHead {
  readonly size: bigint | number;
  readonly root: Uint8Array;
}

type Hashes = readonly Uint8Array[];

/**
 * The tree of one checkpoint. Functions reject with PROOF_INVALID when a tile or bundle does not belong to
 * it, MALFORMED when one has another length, TILE_MISSING when the log serves neither the partial tile
 * nor the full one (a log that is pruned does that below its minimum index), and with what the source throws.
 */
export class TileReader {
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly #source: TileSource;
  /** By level: the partial tile, [] where there is none. */
  readonly #partials: readonly Hashes[];
  /** Full tiles that were checked, by path. */
  readonly #tiles: Lru<string, Hashes>;
  readonly #underWay: Map<string, Promise<Hashes>>;

  private constructor(
    head: { readonly size: bigint; readonly root: Uint8Array },
    source: TileSource,
    state: {
      readonly partials: readonly Hashes[];
      readonly tiles: Lru<string, Hashes>;
    },
  ) {
    this.size = head.size;
    this.root = head.root;
    this.#source = source;
    this.#partials = state.partials;
    this.#tiles = state.tiles;
    this.#underWay = new Map();
  }

  /** Reads the partial tiles, which together must make the root. The caller has verified the head. */
  static async open(head: TreeHead, source: TileSource): Promise<TileReader> {
    const exact = { size: toTreeSize(head.size), root: head.root };
    const partials = await readPartials(exact, source);
    return new TileReader(exact, source, { partials, tiles: new Lru(tilesKeptMax) });
  }

  /**
   * The tree of a later head, once its tiles show that it begins with this one.
   * Rejects with PROOF_INVALID when it does not: the log shows two histories, or has shrunk.
   */
  async extend(head: TreeHead): Promise<TileReader> {
    const exact = { size: toTreeSize(head.size), root: head.root };
    if (exact.size < this.size) {
      throw invalid(`a tree of ${exact.size} leaves does not extend one of ${this.size}`);
    }
    const partials = await readPartials(exact, this.#source);
    // What is kept belongs to the old tree: none of it is used before the new one is known to extend it.
    const fresh = new TileReader(exact, this.#source, { partials, tiles: new Lru(tilesKeptMax) });
    if (!equalBytes(await fresh.rootAt(this.size), this.root)) {
      throw invalid(`the tree of ${exact.size} leaves does not begin with that of ${this.size}`);
    }
    return new TileReader(exact, this.#source, { partials, tiles: this.#tiles });
  }

  /** The hashes of the tile at `index` of a tile level, as wide as this tree has it; RangeError for none. */
  async hashes(level: number, index: bigint): Promise<Hashes> {
    const width = tileWidthAt(level, index, this.size);
    if (width === 0) throw new RangeError(`no tile ${index} at level ${level}`);
    if (width < tileWidth) return this.#partials[level] as Hashes;
    const key = formatTilePath({ level, index, width });
    const known = this.#tiles.get(key) ?? this.#underWay.get(key);
    if (known !== undefined) return known;
    const reading = this.#readFull(level, index, key).finally(() => this.#underWay.delete(key));
    this.#underWay.set(key, reading);
    return reading;
  }

  /** The entries `256·index` and on, each checked against its leaf hash. */
  async entries(index: bigint): Promise<readonly Uint8Array[]> {
    const width = tileWidthAt("entries", index, this.size);
    const bundle: Tile = { level: "entries", index, width };
    const [hashes, fetched] = await Promise.all([
      this.hashes(0, index),
      fetchWithFallback(this.#source, bundle),
    ]);
    const entries = decodeEntryBundle(fetched.bytes, fetched.width).slice(0, width);
    for (const [i, entry] of entries.entries()) {
      if (equalBytes(leafHash(entry), hashes[i] as Uint8Array)) continue;
      const at = index * BigInt(tileWidth) + BigInt(i);
      throw invalid(`entry ${at} is not the leaf of the tree`, at);
    }
    return entries;
  }

  /** Hash of one leaf. RangeError beyond the tree. */
  async leafHash(index: bigint | number): Promise<Uint8Array> {
    const exact = toTreeSize(index);
    if (exact >= this.size) throw new RangeError(`no leaf ${exact} in a tree of ${this.size}`);
    const hashes = await this.hashes(0, exact / BigInt(tileWidth));
    return hashes[Number(exact % BigInt(tileWidth))] as Uint8Array;
  }

  /** Root of the first `size` leaves. RangeError beyond the tree. */
  async rootAt(size: bigint | number): Promise<Uint8Array> {
    const exact = toTreeSize(size);
    if (exact > this.size) throw new RangeError(`no tree of ${exact} leaves in ${this.size}`);
    return exact === 0n ? emptyRoot : this.#read((reader) => rootAt(exact, reader));
  }

  /** Path of a leaf in this tree. RangeError unless index < size. */
  proveInclusion(index: bigint | number): Promise<readonly Uint8Array[]> {
    const { size } = this;
    return this.#read((reader) => proveInclusion({ index, size, reader }));
  }

  /** Proof that the tree of `size1` leaves begins this one. RangeError unless 0 < size1 ≤ size. */
  proveConsistency(size1: bigint | number): Promise<readonly Uint8Array[]> {
    const { size } = this;
    return this.#read((reader) => proveConsistency({ size1, size2: size, reader }));
  }

  /** Runs `work` once to learn which tiles it needs, and again over those. */
  async #read<T>(work: (reader: HashReader) => T): Promise<T> {
    const needed = new Map<string, { readonly level: number; readonly index: bigint }>();
    work({
      readHash(level, index): Uint8Array {
        const place = placeOf(level, index);
        needed.set(`${place.level}/${place.index}`, place);
        return emptyRoot;
      },
    });
    const read = await Promise.all(
      Array.from(
        needed,
        async ([key, { level, index }]) => [key, await this.hashes(level, index)] as const,
      ),
    );
    const tiles = new Map(read);
    return work({
      readHash(level, index): Uint8Array {
        const place = placeOf(level, index);
        const hashes = tiles.get(`${place.level}/${place.index}`) as Hashes;
        return treeRoot(hashes.slice(place.first, place.first + place.count));
      },
    });
  }

  async #readFull(level: number, index: bigint, key: string): Promise<Hashes> {
    const parents = await this.hashes(level + 1, index / BigInt(tileWidth));
    const { bytes } = await fetchWithFallback(this.#source, { level, index, width: tileWidth });
    const hashes = parseTile(bytes, tileWidth);
    if (!verifyTile(hashes, parents[Number(index % BigInt(tileWidth))] as Uint8Array)) {
      const first = index << BigInt(tileHeight * (level + 1));
      throw invalid(`tile ${index} of level ${level} is not its parent's`, first);
    }
    this.#tiles.set(key, hashes);
    return hashes;
  }
}

/** Where a node of any level is found: hashes `first` and on of one tile. */
function placeOf(
  level: number,
  index: bigint,
): {
  readonly level: number;
  readonly index: bigint;
  readonly first: number;
  readonly count: number;
} {
  const inside = level % tileHeight;
  const first = index << BigInt(inside);
  return {
    level: (level - inside) / tileHeight,
    index: first / BigInt(tileWidth),
    first: Number(first % BigInt(tileWidth)),
    count: 1 << inside,
  };
}

async function readPartials(
  head: { readonly size: bigint; readonly root: Uint8Array },
  source: TileSource,
): Promise<readonly Hashes[]> {
  const { size, root } = head;
  const levels = Array.from({ length: tileLevels(size) }, (_, level) => level);
  const partials = await Promise.all(
    levels.map(async (level): Promise<Hashes> => {
      const width = partialTileWidth(level, size);
      if (width === 0) return [];
      const index = size >> BigInt(tileHeight * (level + 1));
      const { bytes, width: fetched } = await fetchWithFallback(source, { level, index, width });
      return parseTile(bytes, fetched).slice(0, width);
    }),
  );
  if (root.length === hashBytes && equalBytes(rootOfPartialTiles(size, partials), root)) {
    return partials;
  }
  throw invalid("the partial tiles do not make the root");
}

/**
 * The entries `256·index` and on as the log serves them, not checked: for whoever hashes every leaf itself.
 * Rejects with TILE_MISSING or MALFORMED, and with what the source throws.
 */
export async function fetchEntries(
  source: TileSource,
  { index, size }: { readonly index: bigint; readonly size: bigint },
): Promise<readonly Uint8Array[]> {
  const width = tileWidthAt("entries", index, size);
  const fetched = await fetchWithFallback(source, { level: "entries", index, width });
  return decodeEntryBundle(fetched.bytes, fetched.width).slice(0, width);
}

/** The bytes of a tile or bundle; where the log no longer has the partial one, of the full one. */
async function fetchWithFallback(
  source: TileSource,
  tile: Tile,
): Promise<{ readonly bytes: Uint8Array; readonly width: number }> {
  for (const width of new Set([tile.width, tileWidth])) {
    const bytes = await source.fetchTile({ ...tile, width });
    if (bytes !== undefined) return { bytes, width };
  }
  const path = formatTilePath(tile);
  throw new CausewayError("TILE_MISSING", `the log does not serve ${path}`, { fields: { path } });
}

/** `index` is the first leaf that is not shown to be the tree's. */
function invalid(message: string, index?: bigint): CausewayError {
  const fields = index === undefined ? {} : { index: String(index) };
  return new CausewayError("PROOF_INVALID", message, { fields });
}
