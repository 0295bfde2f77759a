/**
 * SHA-256 (FIPS 180-4) and HMAC-SHA256 (RFC 2104), synchronous.
 *
 * The runtime's own implementation is taken where it offers one without an import (Node), so that
 * this module also loads in a browser, where `@noble/hashes` computes the same.
 */
import { sha256 as portableSha256 } from "@noble/hashes/sha2.js";

interface NativeHash {
  update(data: Uint8Array): NativeHash;
  digest(encoding: "latin1"): string;
}
interface NativeCrypto {
  hash?(algorithm: string, data: Uint8Array, encoding: "latin1"): string;
  createHash(algorithm: string): NativeHash;
}
interface Runtime {
  getBuiltinModule?(id: string): NativeCrypto | undefined;
}

const runtime = (globalThis as { process?: Runtime }).process;
const native = runtime?.getBuiltinModule?.("node:crypto");

export const sha256: (data: Uint8Array) => Uint8Array =
  native?.hash === undefined ? portableSha256 : nativeSha256;

const digestBytes = 32;

function nativeSha256(data: Uint8Array): Uint8Array {
  return digestOf((native as Required<NativeCrypto>).hash("sha256", data, "latin1"));
}

/** SHA-256 of the concatenation of two byte strings of which the second is long: it is not copied. */
export function sha256OfLong(first: Uint8Array, long: Uint8Array): Uint8Array {
  if (native === undefined) return portableSha256.create().update(first).update(long).digest();
  return digestOf(native.createHash("sha256").update(first).update(long).digest("latin1"));
}

// A text with a character for each byte: the runtime makes it in less than half of the time that a
// buffer takes, which is most of the time of a short hash.
function digestOf(text: string): Uint8Array {
  const digest = new Uint8Array(digestBytes);
  for (let i = 0; i < digestBytes; i++) digest[i] = text.charCodeAt(i);
  return digest;
}

const blockBytes = 64;

// Hashing is synchronous and keeps nothing of its input.
const innerInput = new Uint8Array(4096);
const outerInput = new Uint8Array(blockBytes + digestBytes);

function writePad(key: Uint8Array, mask: number, input: Uint8Array): void {
  for (let i = 0; i < blockBytes; i++) input[i] = (key[i] ?? 0) ^ mask;
}

/** HMAC-SHA256 of the concatenation of `parts` under `key`, 32 bytes. */
export function hmacSha256(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const block = key.length > blockBytes ? sha256(key) : key;
  let length = blockBytes;
  for (const part of parts) length += part.length;
  const input = length > innerInput.length ? new Uint8Array(length) : innerInput;
  writePad(block, 0x36, input);
  let at = blockBytes;
  for (const part of parts) {
    input.set(part, at);
    at += part.length;
  }
  writePad(block, 0x5c, outerInput);
  outerInput.set(sha256(input.subarray(0, length)), blockBytes);
  return sha256(outerInput);
}
