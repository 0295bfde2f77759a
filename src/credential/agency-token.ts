/**
 * Tokens that an agency's own identity provider gives its programs: not of this network, so in no canonical
 * form, but read as strictly as a foreign token can be (RFC 8725, RFC 9068).
 */
import { compactVerify, errors } from "jose";
import { parseBase64url, utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { agencyTokenBytesMax } from "../base/limits.ts";
import type { KeySet } from "./key-set.ts";
import { membersOf, parseUniqueJson } from "./unique-json.ts";

/** `EdDSA` is the older name of `Ed25519` (RFC 9864); the curve is Ed25519 under both. */
export type AgencyTokenAlgorithm = "Ed25519" | "EdDSA" | "ES256";

export const agencyTokenAlgorithms: readonly [AgencyTokenAlgorithm, ...AgencyTokenAlgorithm[]] = [
  "Ed25519",
  "EdDSA",
  "ES256",
];

/** What a gateway expects of the tokens of one issuer. */
export interface AgencyTokenRules {
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly algorithms: readonly AgencyTokenAlgorithm[];
  /** Accepted `typ`, without `application/`. */
  readonly types: readonly string[];
  /** The claim that names the agency system. */
  readonly systemClaim: string;
  /** The claim that names the official, when one does. */
  readonly officialClaim?: string | undefined;
  /** Seconds after `iat` that a token is accepted. */
  readonly ageMaxS: number;
  /** Seconds that the issuer's clock may be off. */
  readonly skewS: number;
}

type Members = Readonly<Record<string, unknown>>;

/** A token whose header is right; nothing about its signature or claims is known yet. */
export interface OpenedAgencyToken {
  readonly text: string;
  readonly algorithm: AgencyTokenAlgorithm;
  readonly kid: string;
  /** In lower case, without `application/`. */
  readonly type: string | undefined;
  /** What it says of itself: only to be looked up among the issuers that are trusted. */
  readonly claimedIssuer: string;
  readonly claims: Members;
}

export interface AgencyToken {
  readonly issuer: string;
  /** Value of the claim that names the agency system. */
  readonly client: string;
  /** 1 to 256 bytes of UTF-8. */
  readonly official: string | undefined;
  /** SHA-256 of the one client certificate that may show it, base64url (RFC 8705). */
  readonly certificateDigest: string | undefined;
  /** Unix milliseconds from which on it is not accepted any more, skew included. */
  readonly acceptedUntilMs: number;
}

// What leads to a key, or changes what is signed: a token brings no key, URL or certificate, and no extension.
const refusedMembers = ["crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "enc"] as const;

const kidUnitsMax = 256;
const officialBytesMax = 256;
const nameUnitsMax = 256;

/**
 * Opens a token without looking at its signature.
 *
 * @throws CausewayError in the order of RFC 8725: `TOKEN_TOO_LARGE`, `TOKEN_MALFORMED`, `TOKEN_HEADER_INVALID`,
 * `TOKEN_ALG_NOT_ALLOWED`, `TOKEN_CLAIMS_INVALID` for claims that are not JSON with each member once, or lack `iss`.
 */
export function openAgencyToken(text: string): OpenedAgencyToken {
  if (text.length > agencyTokenBytesMax) {
    throw new CausewayError("TOKEN_TOO_LARGE", `longer than ${agencyTokenBytesMax} bytes`);
  }
  const segments = text.split(".", 4).map(parseBase64url);
  const [headerBytes, payload] = segments;
  if (segments.length !== 3 || segments.includes(undefined)) {
    throw new CausewayError("TOKEN_MALFORMED", "not three segments of canonical base64url");
  }
  const header = membersFrom(headerBytes as Uint8Array, "TOKEN_HEADER_INVALID");
  const refused = refusedMembers.find((name) => Object.hasOwn(header, name));
  if (refused !== undefined) {
    throw new CausewayError("TOKEN_HEADER_INVALID", `the header has ${refused}`);
  }
  const { alg, kid, typ } = header;
  if (typeof kid !== "string" || kid === "" || kid.length > kidUnitsMax) {
    throw new CausewayError("TOKEN_HEADER_INVALID", "the header names no key by kid");
  }
  const algorithm = agencyTokenAlgorithms.find((name) => name === alg);
  if (algorithm === undefined) throw algorithmNotAllowed();
  const claims = membersFrom(payload as Uint8Array, "TOKEN_CLAIMS_INVALID");
  const claimedIssuer = claims["iss"];
  if (typeof claimedIssuer !== "string") throw claimInvalid("iss");
  const type =
    typeof typ === "string" ? typ.toLowerCase().replace(/^application\//, "") : undefined;
  return { text, algorithm, kid, type, claimedIssuer, claims };
}

function membersFrom(
  bytes: Uint8Array,
  code: "TOKEN_HEADER_INVALID" | "TOKEN_CLAIMS_INVALID",
): Members {
  let json: unknown;
  try {
    json = parseUniqueJson(bytes);
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    throw new CausewayError(code, cause.message, { cause });
  }
  const members = membersOf(json);
  if (members === undefined) throw new CausewayError(code, "it is no JSON object");
  return members;
}

/**
 * Verifies a token of the issuer whose rules and keys these are. Each failing step has a reason of its own.
 *
 * @throws CausewayError in the order of RFC 8725: `TOKEN_ISSUER_WRONG`, `TOKEN_ALG_NOT_ALLOWED`, `TOKEN_TYP_WRONG`,
 * `TOKEN_KEY_UNKNOWN`, `TOKEN_SIGNATURE_INVALID`, `TOKEN_CLAIMS_INVALID`, `TOKEN_AUDIENCE_WRONG`, `TOKEN_EXPIRED`,
 * `TOKEN_NOT_YET_VALID`.
 */
export async function verifyAgencyToken(options: {
  readonly token: OpenedAgencyToken;
  readonly rules: AgencyTokenRules;
  readonly keys: KeySet;
  /** Unix milliseconds. */
  readonly nowMs: number;
}): Promise<AgencyToken> {
  const { token, rules, keys, nowMs } = options;
  assertHeader(token, rules);
  await verifySignature(token, keys);
  const read = readClaims(token.claims, rules);
  if (!read.audiences.some((audience) => rules.audiences.includes(audience))) {
    throw new CausewayError("TOKEN_AUDIENCE_WRONG", "aud is not this gateway");
  }
  const { client, official, certificateDigest } = read;
  const acceptedUntilMs = assertTimes(read, rules, nowMs);
  return { issuer: rules.issuer, client, official, certificateDigest, acceptedUntilMs };
}

function assertHeader(token: OpenedAgencyToken, rules: AgencyTokenRules): void {
  if (token.claimedIssuer !== rules.issuer) {
    throw new CausewayError("TOKEN_ISSUER_WRONG", "iss is another issuer");
  }
  if (!rules.algorithms.includes(token.algorithm)) throw algorithmNotAllowed();
  const { type } = token;
  if (type === undefined || !rules.types.some((name) => name.toLowerCase() === type)) {
    throw new CausewayError("TOKEN_TYP_WRONG", `typ is not ${rules.types.join(" or ")}`);
  }
}

async function verifySignature(token: OpenedAgencyToken, keys: KeySet): Promise<void> {
  const key = keys.get(token.kid);
  const wanted = token.algorithm === "ES256" ? "ES256" : "Ed25519";
  if (key === undefined || key.algorithm !== wanted) {
    throw new CausewayError("TOKEN_KEY_UNKNOWN", "the issuer has no such key for this algorithm");
  }
  try {
    await compactVerify(token.text, key.key, { algorithms: [token.algorithm] });
  } catch (cause) {
    if (!(cause instanceof errors.JOSEError)) throw cause;
    throw new CausewayError("TOKEN_SIGNATURE_INVALID", "the signature does not verify", { cause });
  }
}

interface ReadClaims {
  readonly audiences: readonly string[];
  readonly client: string;
  readonly official: string | undefined;
  readonly certificateDigest: string | undefined;
  /** Unix seconds, also fractions of one. */
  readonly exp: number;
  readonly iat: number;
  readonly nbf: number | undefined;
}

function readClaims(claims: Members, rules: AgencyTokenRules): ReadClaims {
  const { aud } = claims;
  const audiences: unknown[] = Array.isArray(aud) ? aud : [aud];
  if (!audiences.every((audience) => typeof audience === "string")) throw claimInvalid("aud");
  const client = claims[rules.systemClaim];
  if (typeof client !== "string" || client === "" || client.length > nameUnitsMax) {
    throw claimInvalid(rules.systemClaim);
  }
  return {
    audiences,
    client,
    official: officialOf(claims, rules),
    certificateDigest: certificateDigestOf(claims["cnf"]),
    exp: dateOf(claims, "exp"),
    iat: dateOf(claims, "iat"),
    nbf: claims["nbf"] === undefined ? undefined : dateOf(claims, "nbf"),
  };
}

function officialOf(claims: Members, { officialClaim }: AgencyTokenRules): string | undefined {
  const official = officialClaim === undefined ? undefined : claims[officialClaim];
  if (official === undefined) return undefined;
  const isRight =
    typeof official === "string" &&
    official !== "" &&
    !/\p{Surrogate}/u.test(official) &&
    utf8(official).length <= officialBytesMax;
  if (!isRight) throw claimInvalid(officialClaim as string);
  return official;
}

// A token that is bound in a way that is not checked here would be taken from whoever holds it.
function certificateDigestOf(cnf: unknown): string | undefined {
  if (cnf === undefined) return undefined;
  const members = membersOf(cnf);
  const digest = members?.["x5t#S256"];
  if (members === undefined || Object.keys(members).length !== 1 || typeof digest !== "string") {
    throw claimInvalid("cnf");
  }
  return digest;
}

function dateOf(claims: Members, name: string): number {
  const value = claims[name];
  if (typeof value !== "number" || !(value >= 0) || value > Number.MAX_SAFE_INTEGER) {
    throw claimInvalid(name);
  }
  return value;
}

/** Returns the time from which on the token is not accepted. */
function assertTimes(
  { exp, iat, nbf }: ReadClaims,
  rules: AgencyTokenRules,
  nowMs: number,
): number {
  const { ageMaxS, skewS } = rules;
  const acceptedUntilMs = (Math.min(exp, iat + ageMaxS) + skewS) * 1000;
  if (nowMs >= acceptedUntilMs) {
    const what = exp <= iat + ageMaxS ? "exp has passed" : `it is older than ${ageMaxS} seconds`;
    throw new CausewayError("TOKEN_EXPIRED", what);
  }
  if (nowMs < (Math.max(iat, nbf ?? iat) - skewS) * 1000) {
    throw new CausewayError("TOKEN_NOT_YET_VALID", "iat or nbf lies in the future");
  }
  return acceptedUntilMs;
}

function algorithmNotAllowed(): CausewayError {
  return new CausewayError("TOKEN_ALG_NOT_ALLOWED", "alg is none of the issuer's");
}

function claimInvalid(name: string): CausewayError {
  return new CausewayError("TOKEN_CLAIMS_INVALID", `the claim ${name} is missing or not right`);
}
