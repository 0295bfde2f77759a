import { parseBase64url, toBase64url, utf8 } from "../base/bytes.ts";
import { sha256 } from "../base/sha256.ts";

const keyBytes = 32;
const keyTextLength = 43;

/** Base64url of a raw 32-byte Ed25519 key, as statements and cards write it. */
export function formatKey(key: Uint8Array): string {
  if (key.length !== keyBytes) throw new RangeError("an Ed25519 key has 32 bytes");
  return toBase64url(key);
}

/** The 32 bytes of a key, digest or thumbprint in canonical base64url, or `undefined`. */
export function parseKey(text: string): Uint8Array | undefined {
  return text.length === keyTextLength ? parseBase64url(text) : undefined;
}

/** The key id of an Ed25519 key: base64url of its RFC 7638 thumbprint (members as RFC 8037 lists them). */
export function keyId(key: Uint8Array): string {
  return toBase64url(sha256(utf8(`{"crv":"Ed25519","kty":"OKP","x":"${formatKey(key)}"}`)));
}
