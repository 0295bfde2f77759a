/** Ed25519 verification with `@noble/curves`, for any runtime. */
import { ed25519 } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { concatBytes, equalBytes } from "../base/bytes.ts";
import type { Ed25519Point } from "./ed25519-key.ts";
import {
  AcceptedKeys,
  acceptPublicKey,
  ed25519KeyBytes,
  ed25519SignatureBytes,
  isScalarReduced,
} from "./ed25519-key.ts";
import type { Verifier } from "./ports.ts";

const { Point } = ed25519;
const scalars = Point.Fn;

function littleEndian(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i] as number);
  return value;
}

/**
 * A verifier of the one Ed25519 rule. The library's own `verify` multiplies by the cofactor and takes
 * more than the rule does, so the comparison is made here: S·B - k·A must encode to the signature's R.
 */
export function createNobleVerifier(): Verifier {
  const keys = new AcceptedKeys<Ed25519Point>((key) => acceptPublicKey(key)?.negate());
  return {
    acceptsKey: (publicKey) => keys.get(publicKey) !== undefined,
    verify: (publicKey, message, signature) => {
      if (signature.length !== ed25519SignatureBytes || !isScalarReduced(signature)) return false;
      const minusKey = keys.get(publicKey);
      if (minusKey === undefined) return false;
      const r = signature.subarray(0, ed25519KeyBytes);
      const s = littleEndian(signature.subarray(ed25519KeyBytes));
      const k = scalars.create(littleEndian(sha512(concatBytes(r, publicKey, message))));
      const recomputed = Point.BASE.multiplyUnsafe(s).add(minusKey.multiplyUnsafe(k));
      return equalBytes(recomputed.toBytes(), r);
    },
  };
}
