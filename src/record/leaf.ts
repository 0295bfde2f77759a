/** A leaf of the ledger: a 64-byte Ed25519 signature followed by an encoded header, without a wrapper. */
import { concatBytes, equalBytes, utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { leafBytesMax } from "../base/limits.ts";
import { sha256 } from "../base/sha256.ts";
import type { Verifier } from "../crypto/ports.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import { leafHash } from "../merkle/hash.ts";
import { openHeader } from "./header.ts";

/** Bytes of the signature that a leaf begins with. */
export const leafSignatureBytes: number = 64;

const keyDigestBytes = 8;
const signedPrefix = utf8("causeway/batch/v1\n");

/** A leaf whose header has been read and whose signature has not been verified. */
export interface ParsedLeaf {
  readonly signature: Uint8Array;
  /** A view of the leaf. */
  readonly headerBytes: Uint8Array;
  readonly header: Header;
}

/** A parsed leaf with its name. */
export interface OpenedLeaf extends ParsedLeaf {
  /** RFC 6962 leaf hash: the batch's name, what `prev` of the next header holds. */
  readonly leafHash: Uint8Array;
}

/**
 * Reads a leaf. Throws TOO_LARGE, MALFORMED for one that is too short for a header, and as `openHeader`
 * does; the signature is for `verifyLeaf`.
 */
export function parseLeaf(leaf: Uint8Array): ParsedLeaf {
  if (leaf.length > leafBytesMax) {
    throw new CausewayError("TOO_LARGE", `a leaf of ${leaf.length} bytes, at most ${leafBytesMax}`);
  }
  if (leaf.length <= leafSignatureBytes) {
    throw new CausewayError("MALFORMED", `a leaf of ${leaf.length} bytes holds no header`);
  }
  const headerBytes = leaf.subarray(leafSignatureBytes);
  const signature = leaf.subarray(0, leafSignatureBytes);
  return { signature, headerBytes, header: openHeader(headerBytes) };
}

/** Reads a leaf and hashes it. Throws as `parseLeaf` does. */
export function openLeaf(leaf: Uint8Array): OpenedLeaf {
  return { ...parseLeaf(leaf), leafHash: leafHash(leaf) };
}

/** The bytes that the batch key signs. */
export function signedBytes(headerBytes: Uint8Array): Uint8Array {
  return concatBytes(signedPrefix, headerBytes);
}

/** `key` of a header: the first 8 bytes of SHA-256 of the raw 32-byte batch key. */
export function keyDigest(publicKey: Uint8Array): Uint8Array {
  return sha256(publicKey).slice(0, keyDigestBytes);
}

/**
 * Checks that the leaf is signed by `publicKey`, the raw batch key that the ledger binds to its gateway.
 * Throws KEY_UNKNOWN when the header names another key, SIGNATURE_INVALID when the signature does not
 * match.
 */
export function verifyLeaf(options: {
  readonly leaf: ParsedLeaf;
  readonly publicKey: Uint8Array;
  readonly verifier: Verifier;
}): void {
  const { leaf, publicKey, verifier } = options;
  if (!equalBytes(leaf.header.key, keyDigest(publicKey))) {
    throw new CausewayError("KEY_UNKNOWN", "the header names another key");
  }
  if (!verifier.verify(publicKey, signedBytes(leaf.headerBytes), leaf.signature)) {
    throw new CausewayError("SIGNATURE_INVALID", "the leaf's signature does not match its key");
  }
}
