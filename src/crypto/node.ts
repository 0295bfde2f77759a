/** Ed25519 with `node:crypto`. */
import type { KeyObject } from "node:crypto";
import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { concatBytes, parseHex } from "../base/bytes.ts";
import {
  AcceptedKeys,
  acceptPublicKey,
  ed25519KeyBytes,
  ed25519SignatureBytes,
  isScalarReduced,
} from "./ed25519-key.ts";
import type { Signer, Verifier } from "./ports.ts";

// DER up to the key itself: SubjectPublicKeyInfo and PKCS #8 of RFC 8410 sections 4 and 7.
const spkiPrefix = parseHex("302a300506032b6570032100") as Uint8Array;
const pkcs8Prefix = parseHex("302e020100300506032b657004220420") as Uint8Array;

/** Raw bytes of a key pair of one use. */
export interface Ed25519KeyPair {
  /** The 32-byte private key of RFC 8032 section 5.1.5. */
  readonly seed: Uint8Array;
  readonly publicKey: Uint8Array;
}

function importPublicKey(publicKey: Uint8Array): KeyObject {
  const der = Buffer.from(concatBytes(spkiPrefix, publicKey));
  return createPublicKey({ key: der, format: "der", type: "spki" });
}

function importSeed(seed: Uint8Array): KeyObject {
  if (seed.length !== ed25519KeyBytes) throw new RangeError("an Ed25519 seed has 32 bytes");
  const der = Buffer.from(concatBytes(pkcs8Prefix, seed));
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" });
}

function rawPublicKey(key: KeyObject): Uint8Array {
  const der = createPublicKey(key).export({ format: "der", type: "spki" });
  return Uint8Array.from(der.subarray(spkiPrefix.length));
}

/**
 * A verifier of the one Ed25519 rule. OpenSSL compares the recomputed R byte for byte as the rule
 * asks, but takes keys that the rule refuses: they are checked before.
 */
export function createNodeVerifier(): Verifier {
  const keys = new AcceptedKeys<KeyObject>((key) =>
    acceptPublicKey(key) === undefined ? undefined : importPublicKey(key),
  );
  return {
    acceptsKey: (publicKey) => keys.get(publicKey) !== undefined,
    verify: (publicKey, message, signature) => {
      if (signature.length !== ed25519SignatureBytes || !isScalarReduced(signature)) return false;
      const key = keys.get(publicKey);
      return key !== undefined && verify(null, message, key, signature);
    },
  };
}

/** The key pair of 32 random bytes. */
export function createEd25519KeyPair(seed: Uint8Array): Ed25519KeyPair {
  return { seed: Uint8Array.from(seed), publicKey: rawPublicKey(importSeed(seed)) };
}

/** A signer with the private key of `seed`, imported once. */
export function importSigner(seed: Uint8Array): Signer {
  const key = importSeed(seed);
  const publicKey = rawPublicKey(key);
  return {
    publicKey,
    sign: (message) => {
      const signature = sign(null, message, key);
      return new Uint8Array(signature.buffer, signature.byteOffset, signature.length);
    },
  };
}
