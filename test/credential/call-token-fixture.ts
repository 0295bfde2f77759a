import { toBase64url } from "../../src/base/bytes.ts";
import {
  createCallToken,
  verifyCallToken,
  type CallTokenClaims,
  type ExpectedCallToken,
  type VerifiedCallToken,
} from "../../src/credential/call-token.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import type { Signer, Verifier } from "../../src/crypto/ports.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { keyOfSigners, networkHex, signerOf } from "./fixtures.ts";

export const verifier: Verifier = createNodeVerifier();
export const signer: Signer = signerOf("token");
export const kid: string = thumbprint(signer.publicKey);
export const boot: Uint8Array = new Uint8Array(16).fill(7);
export const iat: number = 1_795_219_200;
export const claims: CallTokenClaims = {
  iss: "shenzhen/market-regulation/gw1",
  aud: "hangzhou/civil-affairs/gw1",
  net: networkHex,
  jti: new Uint8Array(16).fill(1),
  nonce: boot,
  iat,
  exp: iat + 60,
  root: new Uint8Array(32).fill(2),
  n: 3,
};
export const expected: ExpectedCallToken = {
  issuer: claims.iss,
  audience: claims.aud,
  network: networkHex,
  boot,
  nowMs: iat * 1000,
  skewS: 5,
  lifeS: 60,
};
/** The claims as they stand in the payload. */
export const wire: Readonly<Record<string, unknown>> = {
  iss: claims.iss,
  aud: claims.aud,
  net: claims.net,
  jti: toBase64url(claims.jti),
  nonce: toBase64url(claims.nonce),
  iat,
  exp: iat + 60,
  root: toBase64url(claims.root),
  n: 3,
};
export const header: Readonly<Record<"alg" | "kid" | "typ", string>> = {
  alg: "Ed25519",
  kid,
  typ: "causeway-call+jwt",
};

/** Verifies with what the fixture expects, save for what is changed. */
export function verify(
  token: string,
  changed: Partial<ExpectedCallToken> = {},
): Promise<VerifiedCallToken> {
  return verifyCallToken({
    token,
    expected: { ...expected, ...changed },
    keyOf: keyOfSigners("token"),
    verifier,
  });
}

export const token: string = createCallToken(claims, signer);
