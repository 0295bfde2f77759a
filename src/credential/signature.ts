import { compactVerify, errors, importJWK, type CryptoKey } from "jose";
import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { importedKeysMax } from "../base/limits.ts";
import { Lru } from "../base/lru.ts";
import type { Verifier } from "../crypto/ports.ts";
import { thumbprint } from "../crypto/thumbprint.ts";
import { algorithm, type CompactJws } from "./compact.ts";
import { formatKey } from "./key-text.ts";

interface ImportedKey {
  readonly publicKey: Uint8Array;
  readonly imported: Promise<CryptoKey>;
}

// Importing a key costs as much as verifying with it. The imported keys live as long as the verifier
// that accepted them; the kid is a digest of the key, so an entry never stands for another one.
const importedKeys = new WeakMap<Verifier, Lru<string, ImportedKey>>();

async function importKey(key: Uint8Array): Promise<CryptoKey> {
  const jwk = { kty: "OKP", crv: "Ed25519", x: formatKey(key) };
  return (await importJWK(jwk, algorithm)) as CryptoKey;
}

function acceptedKey(kid: string, key: Uint8Array, verifier: Verifier): Promise<CryptoKey> {
  const keys = importedKeys.get(verifier) ?? new Lru<string, ImportedKey>(importedKeysMax);
  importedKeys.set(verifier, keys);
  const known = keys.get(kid);
  if (known !== undefined && equalBytes(known.publicKey, key)) return known.imported;
  if (!verifier.acceptsKey(key)) {
    throw new CausewayError("KEY_NOT_ACCEPTED", "the key of the signature is not accepted");
  }
  if (thumbprint(key) !== kid) {
    throw new CausewayError("TOKEN_KEY_UNKNOWN", "kid is not the thumbprint of the key");
  }
  const imported = importKey(key);
  keys.set(kid, { publicKey: key.slice(), imported });
  return imported;
}

/**
 * Verifies the signature of an opened JWS under `key` with jose, behind the key check of the one Ed25519
 * rule (DESIGN section 3).
 *
 * @throws CausewayError `KEY_NOT_ACCEPTED` when the key breaks the rule, `TOKEN_KEY_UNKNOWN` when its
 * thumbprint is not the `kid`, `TOKEN_SIGNATURE_INVALID` when the signature does not match.
 */
export async function verifySignature(
  jws: CompactJws,
  key: Uint8Array,
  verifier: Verifier,
): Promise<void> {
  const cryptoKey = await acceptedKey(jws.kid, key, verifier);
  try {
    await compactVerify(jws.text, cryptoKey, { algorithms: [algorithm] });
  } catch (cause) {
    if (!(cause instanceof errors.JOSEError)) throw cause;
    throw new CausewayError("TOKEN_SIGNATURE_INVALID", "the signature does not verify", { cause });
  }
}
