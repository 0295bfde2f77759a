/** RFC 6962 section 2.1 word for word over the leaves' data, slow, with nothing of `src/merkle`. */
import { createHash } from "node:crypto";

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
}

/** The largest power of two smaller than n. */
function split(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

export class ReferenceTree {
  readonly #leaves: readonly Uint8Array[];
  readonly #known = new Map<string, Uint8Array>();

  constructor(leaves: readonly Uint8Array[]) {
    this.#leaves = leaves;
  }

  /** MTH(D[begin:end]). */
  mth(begin: number, end: number): Uint8Array {
    const key = `${begin}:${end}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const hash = this.#mth(begin, end);
    this.#known.set(key, hash);
    return hash;
  }

  #mth(begin: number, end: number): Uint8Array {
    const n = end - begin;
    if (n === 0) return sha256();
    if (n === 1) return sha256(Uint8Array.of(0), this.#leaves[begin] as Uint8Array);
    const k = split(n);
    return sha256(Uint8Array.of(1), this.mth(begin, begin + k), this.mth(begin + k, end));
  }

  /** PATH(m, D[begin:end]). */
  path(m: number, begin: number, end: number): Uint8Array[] {
    const n = end - begin;
    if (n === 1) return [];
    const k = split(n);
    return m < k
      ? [...this.path(m, begin, begin + k), this.mth(begin + k, end)]
      : [...this.path(m - k, begin + k, end), this.mth(begin, begin + k)];
  }

  /** PROOF(m, D[0:n]). */
  proof(m: number, n: number): Uint8Array[] {
    return this.#subproof(m, 0, n, true);
  }

  #subproof(m: number, begin: number, end: number, complete: boolean): Uint8Array[] {
    const n = end - begin;
    if (m === n) return complete ? [] : [this.mth(begin, end)];
    const k = split(n);
    return m <= k
      ? [...this.#subproof(m, begin, begin + k, complete), this.mth(begin + k, end)]
      : [...this.#subproof(m - k, begin + k, end, false), this.mth(begin, begin + k)];
  }
}

/** Leaves that all differ: the index as 32 bits, big-endian. */
export function numberedLeaves(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) =>
    Uint8Array.of(i >>> 24, (i >>> 16) & 255, (i >>> 8) & 255, i & 255),
  );
}
