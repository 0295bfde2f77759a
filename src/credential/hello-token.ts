import { parseBase64url, toBase64url, utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { callTokenBytesMax } from "../base/limits.ts";
import type { Signer, Verifier } from "../crypto/ports.ts";
import { bytes16, digest, memberId, unixTime } from "./atoms.ts";
import { createCompact, openCompact } from "./compact.ts";
import { formatJcs } from "./jcs.ts";
import { object, optional, refined, type Shape } from "./shape.ts";
import { verifySignature } from "./signature.ts";
import { assertParties, parseClaims, type ExpectedParties } from "./token-claims.ts";

/** The type of hello tokens. */
export const helloTokenTyp = "causeway-hello+jwt" as const;

/** What a gateway says of itself as the first message on a link (DESIGN section 4, Hello). */
export interface HelloClaims {
  /** Gateway id of the sender. */
  readonly iss: string;
  /** Gateway id of the receiver. */
  readonly aud: string;
  /** Network id, 64 hex digits. */
  readonly net: string;
  /** Boot of the sender's process, 16 bytes. */
  readonly boot: Uint8Array;
  /** The sender's clock, Unix milliseconds. */
  readonly clock: number;
  /** SHA-256 of the newest final checkpoint's note that comes with it, 64 hex digits. */
  readonly checkpoint?: string;
  /** SHA-256 of the receiver's newest leaf that comes with it, 64 hex digits. */
  readonly leaf?: string;
}

interface WireClaims extends Omit<HelloClaims, "boot"> {
  readonly boot: string;
  readonly iat: number;
}

const wireShape: Shape<WireClaims> = refined(
  object<WireClaims>({
    iss: memberId,
    aud: memberId,
    net: digest,
    iat: unixTime,
    boot: bytes16,
    clock: unixTime,
    checkpoint: optional(digest),
    leaf: optional(digest),
  }),
  ({ iat, clock }) => iat === Math.floor(clock / 1000),
);

/**
 * Signs a hello with the gateway's token key; `iat` is the clock in seconds.
 *
 * @throws CausewayError `TOKEN_CLAIMS_INVALID` when a claim is not as documented.
 */
export function createHelloToken(claims: HelloClaims, signer: Signer): string {
  const iat = Math.floor(claims.clock / 1000);
  const payload = utf8(formatJcs({ ...claims, boot: toBase64url(claims.boot), iat }));
  parseClaims(payload, wireShape);
  return createCompact(helloTokenTyp, payload, signer);
}

/**
 * Verifies a hello. Its clock is not judged: a gateway learns from the hellos of its peers that its own
 * clock is off (DESIGN section 10), and the link's TLS binds them to this connection.
 *
 * @throws CausewayError with the reason of the step that failed, in the order of RFC 8725.
 */
export async function verifyHelloToken(options: {
  readonly token: string;
  readonly expected: ExpectedParties;
  readonly keyOf: (kid: string, issuer: string) => Uint8Array | undefined;
  readonly verifier: Verifier;
}): Promise<HelloClaims> {
  const { token, expected, keyOf, verifier } = options;
  const jws = openCompact(token, { typ: helloTokenTyp, bytesMax: callTokenBytesMax });
  const publicKey = keyOf(jws.kid, expected.issuer);
  if (publicKey === undefined) {
    throw new CausewayError("TOKEN_KEY_UNKNOWN", "the issuer has no such token key");
  }
  await verifySignature(jws, publicKey, verifier);
  const { iat: _iat, boot, ...rest } = parseClaims(jws.payload, wireShape);
  assertParties(rest, expected);
  return { ...rest, boot: parseBase64url(boot) as Uint8Array };
}
