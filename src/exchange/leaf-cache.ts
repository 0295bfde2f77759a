/**
 * Leaves whose signature was verified, so that a batch of many exchanges is verified once. It remembers
 * that a signature is right under a key, never that the key is in force: standing is looked up at each use.
 */
import { toHex } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { Verifier } from "../crypto/ports.ts";
import { type OpenedLeaf, verifyLeaf } from "../record/leaf.ts";

const leavesMax = 1024;

export class LeafCache {
  readonly #verifier: Verifier;
  readonly #verified = new Set<string>();

  constructor(verifier: Verifier) {
    this.#verifier = verifier;
  }

  /** Whether `publicKey` signed the leaf. */
  verify(leaf: OpenedLeaf, publicKey: Uint8Array): boolean {
    // The leaf hash covers the signature, and the header in it names the key's digest.
    const name = toHex(leaf.leafHash);
    if (this.#verified.has(name)) return true;
    try {
      verifyLeaf({ leaf, publicKey, verifier: this.#verifier });
    } catch (error) {
      if (error instanceof CausewayError) return false;
      throw error;
    }
    if (this.#verified.size >= leavesMax)
      this.#verified.delete(this.#verified.values().next().value ?? "");
    this.#verified.add(name);
    return true;
  }
}
