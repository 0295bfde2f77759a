/** What the rest of the code asks of Ed25519 (RFC 8032); adapters stand beside this file. */

export interface Verifier {
  /**
   * Whether `publicKey` is canonical, on the curve, not of small order and free of torsion.
   * Results are remembered: a key is checked once.
   */
  acceptsKey(publicKey: Uint8Array): boolean;
  /**
   * The one Ed25519 rule: the key is accepted, S < L, and the recomputed R equals the signature's R
   * byte for byte (cofactorless). `false` means that the signature does not match; a length that
   * is wrong is `false` too.
   */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}

export interface Signer {
  /** Raw 32-byte public key. */
  readonly publicKey: Uint8Array;
  /** The 64-byte signature of `message`. */
  sign(message: Uint8Array): Uint8Array;
}
