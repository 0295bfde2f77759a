import { type CryptoKey, importJWK } from "jose";
import { parseBase64url } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { keySetBytesMax, keySetKeysMax } from "../base/limits.ts";
import type { Verifier } from "../crypto/ports.ts";
import { membersOf, parseUniqueJson } from "./unique-json.ts";

/** A public key of an identity provider, with the one algorithm that it is for. */
export interface IssuerKey {
  readonly algorithm: "Ed25519" | "ES256";
  readonly key: CryptoKey;
}

/** Keys by their `kid`. */
export type KeySet = ReadonlyMap<string, IssuerKey>;

type Members = Readonly<Record<string, unknown>>;

/**
 * Reads a JWK set (RFC 7517) as identity providers publish it. Keys for encryption, of other types and without a
 * `kid` are left out: nothing can name them.
 *
 * @throws CausewayError `MALFORMED` for what is no JWK set, names a `kid` twice, holds a private key or no
 * key that verifies; `TOO_LARGE`; `KEY_NOT_ACCEPTED` for a point that is not on its curve or has small order.
 */
export async function parseKeySet(bytes: Uint8Array, verifier: Verifier): Promise<KeySet> {
  if (bytes.length > keySetBytesMax) {
    throw new CausewayError("TOO_LARGE", `a JWK set has at most ${keySetBytesMax} bytes`);
  }
  const listed = membersOf(parseUniqueJson(bytes))?.["keys"];
  if (!Array.isArray(listed)) throw malformed("it has no list of keys");
  if (listed.length > keySetKeysMax) {
    throw new CausewayError("TOO_LARGE", `a JWK set has at most ${keySetKeysMax} keys`);
  }
  const keys = new Map<string, IssuerKey>();
  for (const each of listed) {
    const jwk = membersOf(each);
    if (jwk === undefined) throw malformed("a key is no object");
    if (Object.hasOwn(jwk, "d") || Object.hasOwn(jwk, "k")) {
      throw malformed("it holds a private or symmetric key");
    }
    const { kid } = jwk;
    const algorithm = algorithmOf(jwk);
    if (algorithm === undefined || typeof kid !== "string" || kid === "") continue;
    if (keys.has(kid)) throw malformed("two keys have one kid");
    keys.set(kid, { algorithm, key: await importKey(jwk, algorithm, verifier) });
  }
  if (keys.size === 0) throw malformed("it has no key with a kid for Ed25519 or ES256");
  return keys;
}

function algorithmOf({
  kty,
  crv,
  use,
  alg,
  key_ops: uses,
}: Members): IssuerKey["algorithm"] | undefined {
  if (use !== undefined && use !== "sig") return undefined;
  if (uses !== undefined && !(Array.isArray(uses) && uses.includes("verify"))) return undefined;
  if (kty === "OKP" && crv === "Ed25519") {
    return alg === undefined || alg === "Ed25519" || alg === "EdDSA" ? "Ed25519" : undefined;
  }
  if (kty === "EC" && crv === "P-256") {
    return alg === undefined || alg === "ES256" ? "ES256" : undefined;
  }
  return undefined;
}

async function importKey(
  { kty, crv, x, y }: Members,
  algorithm: IssuerKey["algorithm"],
  verifier: Verifier,
): Promise<CryptoKey> {
  if (typeof x !== "string" || (algorithm === "ES256" && typeof y !== "string")) {
    throw malformed("a key lacks a coordinate");
  }
  if (algorithm === "Ed25519") {
    const raw = parseBase64url(x);
    if (raw === undefined || !verifier.acceptsKey(raw)) throw notAccepted();
  }
  const jwk = { kty, crv, x, ...(algorithm === "ES256" ? { y } : {}) } as Parameters<
    typeof importJWK
  >[0];
  try {
    return (await importJWK(jwk, algorithm)) as CryptoKey;
  } catch (cause) {
    throw notAccepted(cause);
  }
}

function malformed(what: string): CausewayError {
  return new CausewayError("MALFORMED", `the JWK set: ${what}`);
}

function notAccepted(cause?: unknown): CausewayError {
  return new CausewayError("KEY_NOT_ACCEPTED", "a key of the JWK set is no accepted point", {
    cause,
  });
}
