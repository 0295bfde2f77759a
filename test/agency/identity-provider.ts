/** An agency's identity provider: keys, a JWK set, and tokens in any form, also forged ones. */
import {
  createHmac,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  sign,
} from "node:crypto";

export const issuer: string = "https://idp.market-regulation.shenzhen.example";
export const audience: string = "urn:causeway:shenzhen/market-regulation/gw1";

/** The issuer as a configuration names it, without its keys. */
export const issuerEntry: Readonly<Record<string, unknown>> = {
  issuer,
  audiences: [audience],
  official_claim: "officer",
};

export interface SigningKey {
  readonly kid: string;
  readonly alg: "EdDSA" | "Ed25519" | "ES256";
  readonly privateKey: KeyObject;
  readonly jwk: JsonWebKey;
}

export function createKey(kid: string, alg: SigningKey["alg"]): SigningKey {
  const { publicKey, privateKey } =
    alg === "ES256"
      ? generateKeyPairSync("ec", { namedCurve: "P-256" })
      : generateKeyPairSync("ed25519");
  const jwk = { ...publicKey.export({ format: "jwk" }), kid, use: "sig", alg };
  return { kid, alg, privateKey, jwk };
}

export function keySetOf(...keys: readonly SigningKey[]): string {
  return JSON.stringify({ keys: keys.map(({ jwk }) => jwk) });
}

const encode = (part: unknown): string =>
  Buffer.from(typeof part === "string" ? part : JSON.stringify(part)).toString("base64url");

export const nowS = (): number => Math.floor(Date.now() / 1000);

/** Claims of a good token. */
export function goodClaims(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const now = nowS();
  return { iss: issuer, aud: audience, client_id: "portal", iat: now, exp: now + 300, ...more };
}

export interface TokenParts {
  /** Added to, or in the place of, `alg`, `kid` and `typ`. */
  readonly header?: Readonly<Record<string, unknown>>;
  /** JSON text is taken as it is. */
  readonly claims?: Readonly<Record<string, unknown>> | string;
  /** In the place of the key's own signature. */
  readonly signature?: (signingInput: string) => Buffer;
}

/** A token that `key` signs, with everything as an attacker would like it. */
export function createToken(key: SigningKey, parts: TokenParts = {}): string {
  const header = { alg: key.alg, kid: key.kid, typ: "at+jwt", ...parts.header };
  const input = `${encode(header)}.${encode(parts.claims ?? goodClaims())}`;
  const signature = parts.signature?.(input) ?? signWith(key, input);
  return `${input}.${signature.toString("base64url")}`;
}

function signWith({ alg, privateKey }: SigningKey, input: string): Buffer {
  const bytes = Buffer.from(input);
  return alg === "ES256"
    ? sign("sha256", bytes, { key: privateKey, dsaEncoding: "ieee-p1363" })
    : sign(null, bytes, privateKey);
}

/** What a verifier that takes a public key for a shared secret would accept. */
export function hmacWith(secret: string): (input: string) => Buffer {
  return (input) => createHmac("sha256", secret).update(input).digest();
}
