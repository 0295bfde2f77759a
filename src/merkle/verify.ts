/** Verification of inclusion and consistency proofs (RFC 9162 sections 2.1.3.2 and 2.1.4.2). */
import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { hashBytes, nodeHash } from "./hash.ts";
import { toTreeSize } from "./size.ts";

/**
 * Whether `proof` leads from the leaf to `root`. `false` means that the hashes do not match.
 * Throws PROOF_INVALID when index ≥ size, when the number of hashes is not the one that index and size
 * demand, or when a hash has not 32 bytes; TOO_LARGE for a size above 2^63-1.
 */
export function verifyInclusion(options: {
  readonly leafHash: Uint8Array;
  readonly index: bigint | number;
  readonly size: bigint | number;
  readonly root: Uint8Array;
  readonly proof: readonly Uint8Array[];
}): boolean {
  return equalBytes(rootOfInclusion(options), checkHash(options.root));
}

/** The root hash to which an inclusion proof leads. Throws as `verifyInclusion` does. */
export function rootOfInclusion(options: {
  readonly leafHash: Uint8Array;
  readonly index: bigint | number;
  readonly size: bigint | number;
  readonly proof: readonly Uint8Array[];
}): Uint8Array {
  const size = toTreeSize(options.size);
  let node = toTreeSize(options.index);
  if (node >= size) {
    throw new CausewayError("PROOF_INVALID", `no leaf ${node} in a tree of ${size}`);
  }
  const hashes = new ProofHashes(options.proof);
  let hash = checkHash(options.leafHash);
  for (let last = size - 1n; last > 0n; last >>= 1n) {
    if ((node & 1n) === 1n) hash = nodeHash(hashes.next(), hash);
    else if (node < last) hash = nodeHash(hash, hashes.next());
    node >>= 1n;
  }
  hashes.end();
  return hash;
}

/**
 * Whether `proof` shows that the tree of `size1` with `root1` begins the tree of `size2` with `root2`.
 * `false` means that the hashes do not match.
 * Throws PROOF_INVALID when size1 is 0 (nothing is proved) or above size2, when the number of hashes
 * is not the one that the sizes demand, or when a hash has not 32 bytes; TOO_LARGE for a size above 2^63-1.
 */
export function verifyConsistency(options: {
  readonly size1: bigint | number;
  readonly root1: Uint8Array;
  readonly size2: bigint | number;
  readonly root2: Uint8Array;
  readonly proof: readonly Uint8Array[];
}): boolean {
  const size1 = toTreeSize(options.size1);
  const size2 = toTreeSize(options.size2);
  if (size1 === 0n || size1 > size2) {
    throw new CausewayError("PROOF_INVALID", `no consistency from size ${size1} to ${size2}`);
  }
  const root1 = checkHash(options.root1);
  const root2 = checkHash(options.root2);
  const hashes = new ProofHashes(options.proof);
  let node = size1 - 1n;
  let last = size2 - 1n;
  if (node === last) {
    hashes.end();
    return equalBytes(root1, root2);
  }
  for (; (node & 1n) === 1n; last >>= 1n) node >>= 1n;
  let hash1 = node === 0n ? root1 : hashes.next();
  let hash2 = hash1;
  for (; last > 0n; last >>= 1n) {
    if ((node & 1n) === 1n) {
      const left = hashes.next();
      hash1 = nodeHash(left, hash1);
      hash2 = nodeHash(left, hash2);
    } else if (node < last) {
      hash2 = nodeHash(hash2, hashes.next());
    }
    node >>= 1n;
  }
  hashes.end();
  return equalBytes(hash1, root1) && equalBytes(hash2, root2);
}

/** The hashes of a proof, each used once and all used up. */
class ProofHashes {
  readonly #proof: readonly Uint8Array[];
  #used = 0;

  constructor(proof: readonly Uint8Array[]) {
    this.#proof = proof;
  }

  next(): Uint8Array {
    const hash = this.#proof[this.#used++];
    if (hash === undefined)
      throw new CausewayError("PROOF_INVALID", "the proof has too few hashes");
    return checkHash(hash);
  }

  end(): void {
    if (this.#used !== this.#proof.length) {
      throw new CausewayError("PROOF_INVALID", "the proof has too many hashes");
    }
  }
}

function checkHash(hash: Uint8Array): Uint8Array {
  if (hash.length === hashBytes) return hash;
  throw new CausewayError("PROOF_INVALID", "a hash has not 32 bytes");
}
