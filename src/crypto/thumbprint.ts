import { toBase64url, utf8 } from "../base/bytes.ts";
import { sha256 } from "../base/sha256.ts";
import { ed25519KeyBytes } from "./ed25519-key.ts";

/** The `kid` of a raw 32-byte Ed25519 key: its JWK thumbprint (RFC 7638, RFC 8037 appendix A.3). */
export function thumbprint(publicKey: Uint8Array): string {
  if (publicKey.length !== ed25519KeyBytes) {
    throw new RangeError("an Ed25519 public key has 32 bytes");
  }
  const jwk = `{"crv":"Ed25519","kty":"OKP","x":"${toBase64url(publicKey)}"}`;
  return toBase64url(sha256(utf8(jwk)));
}
