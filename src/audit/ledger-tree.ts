import { ByteRows } from "../base/byte-rows.ts";
import { Lru } from "../base/lru.ts";
import { appendLeaf, type CompactRange, emptyRange } from "../merkle/compact-range.ts";
import { hashBytes } from "../merkle/hash.ts";
import { type HashReader, rootAt } from "../merkle/reader.ts";

const rootsRememberedMax = 1024;

/** The tree of a replayed ledger: two hashes a leaf, the root of every size, and proofs from its hashes. */
export class LedgerTree implements HashReader {
  readonly #levels: ByteRows[] = [];
  readonly #roots: Lru<bigint, Uint8Array> = new Lru(rootsRememberedMax);
  #range: CompactRange = emptyRange;

  get size(): bigint {
    return this.#range.size;
  }

  append(leafHash: Uint8Array): void {
    const { range, nodes } = appendLeaf(this.#range, leafHash);
    this.#range = range;
    for (const { level, hash } of nodes)
      (this.#levels[level] ??= new ByteRows(hashBytes)).push(hash);
  }

  readHash(level: number, index: bigint): Uint8Array {
    const hash = this.#levels[level]?.at(Number(index));
    if (hash === undefined) throw new RangeError(`no node ${level}/${index}`);
    return hash;
  }

  /** Root of the first `size` leaves, `undefined` when there are fewer. */
  readonly rootAt = (size: bigint): Uint8Array | undefined => {
    if (size < 0n || size > this.#range.size) return undefined;
    const known = this.#roots.get(size);
    if (known !== undefined) return known;
    const root = rootAt(size, this);
    this.#roots.set(size, root);
    return root;
  };
}
