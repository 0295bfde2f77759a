import { parseBase64url, toBase64url } from "../base/bytes.ts";

const keyBytes = 32;
const keyTextLength = 43;

/** Base64url of a raw 32-byte Ed25519 key, as statements and cards write it. */
export function formatKey(key: Uint8Array): string {
  if (key.length !== keyBytes) throw new RangeError("an Ed25519 key has 32 bytes");
  return toBase64url(key);
}

/** The 32 bytes of a key, tree root or thumbprint in canonical base64url, or `undefined`. */
export function parseKey(text: string): Uint8Array | undefined {
  return text.length === keyTextLength ? parseBase64url(text) : undefined;
}
