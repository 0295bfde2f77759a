/** A tree too large to build: all leaves are alike but a few, so that most subtrees are known by their height. */
import { leafHash, nodeHash } from "../../src/merkle/hash.ts";
import type { HashReader } from "../../src/merkle/reader.ts";

export class SparseTree implements HashReader {
  readonly #special: ReadonlyMap<bigint, Uint8Array>;
  readonly #known = new Map<string, Uint8Array>();

  constructor(special: ReadonlyMap<bigint, Uint8Array>) {
    this.#special = special;
  }

  data(index: bigint): Uint8Array {
    return this.#special.get(index) ?? Uint8Array.of(42);
  }

  /** MTH of leaves begin to end, which need not start or be a complete subtree (RFC 6962 section 2.1). */
  mth(begin: bigint, end: bigint): Uint8Array {
    const hasSpecial = [...this.#special.keys()].some((at) => at >= begin && at < end);
    const key = hasSpecial ? `${begin}:${end}` : `${end - begin}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const hash = this.#mth(begin, end);
    this.#known.set(key, hash);
    return hash;
  }

  #mth(begin: bigint, end: bigint): Uint8Array {
    if (end - begin === 1n) return leafHash(this.data(begin));
    let k = 1n;
    while (k * 2n < end - begin) k *= 2n;
    return nodeHash(this.mth(begin, begin + k), this.mth(begin + k, end));
  }

  readHash(level: number, index: bigint): Uint8Array {
    return this.mth(index << BigInt(level), (index + 1n) << BigInt(level));
  }
}
