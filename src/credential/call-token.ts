import { equalBytes, parseBase64url, parseUtf8, toBase64url, utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { callStatementsMax, callTokenBytesMax, callTokensReadMax } from "../base/limits.ts";
import { Lru } from "../base/lru.ts";
import { sha256 } from "../base/sha256.ts";
import type { Signer, Verifier } from "../crypto/ports.ts";
import { bytes16, digest, key, memberId, unixTime } from "./atoms.ts";
import { createCompact, openCompact, type CompactJws } from "./compact.ts";
import { formatJcs } from "./jcs.ts";
import type { RememberedSignatures } from "./remembered-signatures.ts";
import { integer, object, refined, type Shape } from "./shape.ts";
import { verifySignature } from "./signature.ts";
import { assertParties, parseClaims, type ExpectedParties } from "./token-claims.ts";

/** The type of call tokens. */
export const callTokenTyp = "causeway-call+jwt" as const;

/** What a consumer gateway says of the call statements of one turn (DESIGN section 4). */
export interface CallTokenClaims {
  /** Gateway id of the consumer. */
  readonly iss: string;
  /** Gateway id of the one provider gateway that it is for. */
  readonly aud: string;
  /** Network id, 64 hex digits. */
  readonly net: string;
  /** 16 random bytes. */
  readonly jti: Uint8Array;
  /** The boot of the provider's process that it is for, 16 bytes. */
  readonly nonce: Uint8Array;
  /** Unix seconds. */
  readonly iat: number;
  readonly exp: number;
  /** RFC 6962 root over the encoded call statements, 32 bytes. */
  readonly root: Uint8Array;
  /** How many call statements there are, 1 to 64. */
  readonly n: number;
}

/** A call token in its one form; nothing about its signature is known yet. */
export interface OpenedCallToken {
  readonly claims: CallTokenClaims;
  readonly jws: CompactJws;
}

export interface VerifiedCallToken {
  readonly claims: CallTokenClaims;
  /** Thumbprint of the token key. */
  readonly kid: string;
  /** SHA-256 of the compact JWS: with an index it names an attempt. */
  readonly digest: Uint8Array;
}

interface WireClaims {
  readonly iss: string;
  readonly aud: string;
  readonly net: string;
  readonly jti: string;
  readonly nonce: string;
  readonly iat: number;
  readonly exp: number;
  readonly root: string;
  readonly n: number;
}

const wireShape: Shape<WireClaims> = refined(
  object<WireClaims>({
    iss: memberId,
    aud: memberId,
    net: digest,
    jti: bytes16,
    nonce: bytes16,
    iat: unixTime,
    exp: unixTime,
    root: key,
    n: integer({ min: 1, max: callStatementsMax }),
  }),
  ({ iat, exp }) => iat < exp,
);

function openJws(text: string): CompactJws {
  return openCompact(text, { typ: callTokenTyp, bytesMax: callTokenBytesMax });
}

interface ReadToken {
  readonly jws: CompactJws;
  readonly digest: Uint8Array;
  /** Once they were asked for and right. */
  claims?: CallTokenClaims;
}

// The calls of one turn carry the same token, and what it says is a matter of its text alone.
const readTokens = new Lru<string, ReadToken>(callTokensReadMax);

function readToken(text: string): ReadToken {
  const known = readTokens.get(text);
  if (known !== undefined) return known;
  const read: ReadToken = { jws: openJws(text), digest: callTokenDigest(text) };
  readTokens.set(text, read);
  return read;
}

function claimsOf(payload: Uint8Array): CallTokenClaims {
  const { jti, nonce, root, ...rest } = parseClaims(payload, wireShape);
  return {
    ...rest,
    jti: parseBase64url(jti) as Uint8Array,
    nonce: parseBase64url(nonce) as Uint8Array,
    root: parseBase64url(root) as Uint8Array,
  };
}

/** SHA-256 of the compact JWS (RECORDS, "What is hashed"). */
export function callTokenDigest(token: string): Uint8Array {
  return sha256(utf8(token));
}

/**
 * Signs a call token with the consumer gateway's token key.
 *
 * @throws CausewayError `TOKEN_CLAIMS_INVALID` when a claim is not as documented.
 */
export function createCallToken(claims: CallTokenClaims, signer: Signer): string {
  const { iss, aud, net, iat, exp, n } = claims;
  const [jti, nonce, root] = [claims.jti, claims.nonce, claims.root].map(toBase64url);
  const payload = utf8(formatJcs({ iss, aud, net, iat, exp, n, jti, nonce, root }));
  parseClaims(payload, wireShape);
  return createCompact(callTokenTyp, payload, signer);
}

/**
 * Opens a call token strictly, without looking at its signature.
 *
 * @throws CausewayError as {@link openCompact}, then `TOKEN_CLAIMS_INVALID`.
 */
export function openCallToken(token: string): OpenedCallToken {
  const jws = openJws(token);
  return { claims: claimsOf(jws.payload), jws };
}

/**
 * Whether a text that is a call token could have this issuer: `false` is certain, `true` is to be checked.
 * In RFC 8785 an id has one form only.
 */
export function mayBeOf(token: string, issuer: string): boolean {
  const payload = parseBase64url(token.split(".", 2)[1] ?? "");
  return payload !== undefined && parseUtf8(payload)?.includes(`"iss":"${issuer}"`) === true;
}

export interface ExpectedCallToken extends ExpectedParties {
  /** Boot of this process, 16 bytes. */
  readonly boot: Uint8Array;
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** How far clocks may be apart, in seconds. */
  readonly skewS: number;
  /** The longest life of a token, in seconds. */
  readonly lifeS: number;
}

function assertTimes({ iat, exp }: CallTokenClaims, expected: ExpectedCallToken): void {
  const { nowMs, skewS, lifeS } = expected;
  if (nowMs >= (exp + skewS) * 1000) throw new CausewayError("TOKEN_EXPIRED", "exp has passed");
  if (nowMs < (iat - skewS) * 1000) {
    throw new CausewayError("TOKEN_NOT_YET_VALID", "iat lies in the future");
  }
  if (exp - iat > lifeS) {
    throw new CausewayError("TOKEN_LIFE_TOO_LONG", `it lives longer than ${lifeS} seconds`);
  }
}

/**
 * Verifies a call token at the provider's gateway. Each failing step has a reason of its own, in the
 * order of RFC 8725: form, header, `alg`, `typ`, key, signature, claims, issuer, audience, network,
 * times; last `NONCE_STALE`, which is negotiation and is answered with this boot, not recorded.
 *
 * @param options.keyOf the raw token key in force that the ledger binds to the issuer under this
 * thumbprint, asked at each use.
 * @param options.remembered lets a token that many calls carry be verified once.
 * @throws CausewayError with the reason of the step that failed.
 */
export async function verifyCallToken(options: {
  readonly token: string;
  readonly expected: ExpectedCallToken;
  readonly keyOf: (kid: string, issuer: string) => Uint8Array | undefined;
  readonly verifier: Verifier;
  readonly remembered?: RememberedSignatures;
}): Promise<VerifiedCallToken> {
  const { token, expected, keyOf, verifier, remembered } = options;
  const read = readToken(token);
  const { jws, digest } = read;
  const publicKey = keyOf(jws.kid, expected.issuer);
  if (publicKey === undefined) {
    throw new CausewayError("TOKEN_KEY_UNKNOWN", "the issuer has no such token key");
  }
  const verify = (): Promise<void> => verifySignature(jws, publicKey, verifier);
  await (remembered === undefined ? verify() : remembered.once(token, verify));
  const claims = (read.claims ??= claimsOf(jws.payload));
  assertParties(claims, expected);
  assertTimes(claims, expected);
  if (!equalBytes(claims.nonce, expected.boot)) {
    throw new CausewayError("NONCE_STALE", "the token names another boot");
  }
  return { claims, kid: jws.kid, digest };
}

/**
 * Verifies only that a call token is well-formed and signed by `publicKey`: what an auditor asks of a
 * token that stands in a record.
 *
 * @throws CausewayError as {@link openCallToken} and {@link verifySignature}.
 */
export async function verifyCallTokenSignature(
  token: string,
  publicKey: Uint8Array,
  verifier: Verifier,
): Promise<VerifiedCallToken> {
  const { claims, jws } = openCallToken(token);
  await verifySignature(jws, publicKey, verifier);
  return { claims, kid: jws.kid, digest: callTokenDigest(token) };
}
