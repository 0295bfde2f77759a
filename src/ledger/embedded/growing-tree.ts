import { Lru } from "../../base/lru.ts";
import { appendLeaf, type CompactRange, type TreeNode } from "../../merkle/compact-range.ts";
import { compactRangeAt, type HashReader, rootAt } from "../../merkle/reader.ts";

const rootsRememberedMax = 1024;

/** The stored tree and the leaves that are about to be stored: one view for the fold, which may ask for any past root. */
export class GrowingTree implements HashReader {
  readonly #stored: HashReader;
  readonly #roots: Lru<string, Uint8Array> = new Lru(rootsRememberedMax);
  #pending = new Map<string, Uint8Array>();
  #range: CompactRange;
  #storedRange: CompactRange;

  constructor(stored: HashReader, size: bigint) {
    this.#stored = stored;
    this.#range = compactRangeAt(size, stored);
    this.#storedRange = this.#range;
  }

  /** Leaves, those not stored yet among them. */
  get size(): bigint {
    return this.#range.size;
  }

  readHash(level: number, index: bigint): Uint8Array {
    return this.#pending.get(`${level}/${index}`) ?? this.#stored.readHash(level, index);
  }

  /** Root of the first `size` leaves, `undefined` when there are fewer. */
  rootAt(size: bigint): Uint8Array | undefined {
    if (size < 0n || size > this.#range.size) return undefined;
    const known = this.#roots.get(String(size));
    if (known !== undefined) return known;
    const root = rootAt(size, this);
    // What is pending may be taken back, and another leaf take its place.
    if (size <= this.#storedRange.size) this.#roots.set(String(size), root);
    return root;
  }

  append(leafHash: Uint8Array): readonly TreeNode[] {
    const { range, nodes } = appendLeaf(this.#range, leafHash);
    this.#range = range;
    for (const { level, index, hash } of nodes) this.#pending.set(`${level}/${index}`, hash);
    return nodes;
  }

  /** What was appended is stored now. */
  commit(): void {
    this.#storedRange = this.#range;
    this.#pending = new Map();
  }

  /** What was appended is not going to be stored. */
  rollback(): void {
    this.#range = this.#storedRange;
    this.#pending = new Map();
  }
}
