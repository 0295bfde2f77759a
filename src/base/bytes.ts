/** Byte strings: comparison, concatenation, fixed-width integers and the three text encodings in use. */

const utf8Encoder = new TextEncoder();
const utf8Decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const emptyBytes: Uint8Array = new Uint8Array(0);

// Short texts are the usual ones, and a buffer of its own for each would cost more than its encoding.
// Nothing here runs while another function of this module does.
const scratch = new Uint8Array(4096);

/** A code unit has at most 3 bytes of UTF-8. */
const unitBytesMax = 3;

/** The UTF-8 encoding of `text`. */
export function utf8(text: string): Uint8Array {
  if (text.length * unitBytesMax > scratch.length) return utf8Encoder.encode(text);
  return scratch.slice(0, utf8Encoder.encodeInto(text, scratch).written);
}

/** The text that `bytes` encode, or `undefined` when they are not well-formed UTF-8. */
export function parseUtf8(bytes: Uint8Array): string | undefined {
  try {
    return utf8Decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Order by unsigned bytes, a prefix before what it begins: negative, zero or positive. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Order of two texts by the bytes of their UTF-8 encoding. */
export function compareText(a: string, b: string): number {
  return compareBytes(utf8(a), utf8(b));
}

export function u32be(value: number): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new RangeError(`not an unsigned 32-bit integer: ${value}`);
  }
  return Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

// A view of a short array moves it out of the heap, which costs more than all else here.
const u64View = new DataView(new ArrayBuffer(8));
const u64Bytes = new Uint8Array(u64View.buffer);

export function u64be(value: bigint): Uint8Array {
  if (value < 0n || value > 0xffffffffffffffffn) {
    throw new RangeError(`not an unsigned 64-bit integer: ${value}`);
  }
  u64View.setBigUint64(0, value);
  return u64Bytes.slice();
}

/** Where `length` codes of ASCII are written, for {@link textOf}. */
function codesOf(length: number): Uint8Array {
  return length > scratch.length ? new Uint8Array(length) : scratch;
}

function textOf(codes: Uint8Array, length: number): string {
  return utf8Decoder.decode(codes.subarray(0, length));
}

const hexCodes: Uint8Array = utf8("0123456789abcdef");

export function toHex(bytes: Uint8Array): string {
  const length = 2 * bytes.length;
  const codes = codesOf(length);
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    codes[2 * i] = hexCodes[byte >> 4] as number;
    codes[2 * i + 1] = hexCodes[byte & 15] as number;
  }
  return textOf(codes, length);
}

/**
 * A text with one character for each of a few `bytes`, such as a digest: the key of a map that has no
 * text to show.
 */
export function mapKey(bytes: Uint8Array): string {
  return String.fromCharCode.apply(undefined, bytes as unknown as number[]);
}

/** The value of each ASCII code as a digit of `alphabet`; -1 for a code that is none. */
function digitsOf(alphabet: Uint8Array): Int8Array {
  const digits = new Int8Array(128).fill(-1);
  for (const [value, code] of alphabet.entries()) digits[code] = value;
  return digits;
}

/** Negative for what is no digit, so that the sign of a whole group tells whether all of it are. */
function digitAt(digits: Int8Array, text: string, at: number): number {
  return digits[text.charCodeAt(at)] ?? -1;
}

const hexDigits = digitsOf(hexCodes);

/** The bytes of lower-case hexadecimal text, or `undefined` when it is anything else. */
export function parseHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0) return undefined;
  const out = new Uint8Array(text.length / 2);
  for (let i = 0; i < out.length; i++) {
    const byte = (digitAt(hexDigits, text, 2 * i) << 4) | digitAt(hexDigits, text, 2 * i + 1);
    if (byte < 0) return undefined;
    out[i] = byte;
  }
  return out;
}

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const standardCodes: Uint8Array = utf8(`${alphanumeric}+/`);
const urlCodes: Uint8Array = utf8(`${alphanumeric}-_`);
const standardDigits = digitsOf(standardCodes);
const urlDigits = digitsOf(urlCodes);
const padding = "=".charCodeAt(0);

/** Standard base64 with padding (RFC 4648 section 4). */
export function toBase64(bytes: Uint8Array): string {
  const length = 4 * Math.ceil(bytes.length / 3);
  const codes = codesOf(length);
  codes.fill(padding, writeBase64(bytes, standardCodes, codes), length);
  return textOf(codes, length);
}

/** Base64url without padding (RFC 4648 section 5, RFC 7515 section 2). */
export function toBase64url(bytes: Uint8Array): string {
  const codes = codesOf(4 * Math.ceil(bytes.length / 3));
  return textOf(codes, writeBase64(bytes, urlCodes, codes));
}

/** Writes the digits of `bytes` and returns how many there are. */
function writeBase64(bytes: Uint8Array, alphabet: Uint8Array, codes: Uint8Array): number {
  let length = 0;
  for (let i = 0; i < bytes.length; i += 3) {
    const group = ((bytes[i] as number) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    codes[length++] = alphabet[group >> 18] as number;
    codes[length++] = alphabet[(group >> 12) & 63] as number;
    codes[length++] = alphabet[(group >> 6) & 63] as number;
    codes[length++] = alphabet[group & 63] as number;
  }
  const missing = (3 - (bytes.length % 3)) % 3;
  return length - missing;
}

/** The bytes of canonical standard base64, or `undefined`: padding present, unused bits zero, no white space. */
export function parseBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined;
  const padded = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  return readBase64(text, text.length - padded, standardDigits);
}

/** The bytes of canonical base64url, or `undefined`: no padding, unused bits zero, no white space. */
export function parseBase64url(text: string): Uint8Array | undefined {
  return readBase64(text, text.length, urlDigits);
}

/** The bytes of the first `length` characters, all of them digits, the bits after the last byte zero. */
function readBase64(text: string, length: number, digits: Int8Array): Uint8Array | undefined {
  const left = length % 4;
  if (left === 1) return undefined;
  const out = new Uint8Array(Math.floor((length * 3) / 4));
  let bytes = 0;
  let at = 0;
  for (; at < length - left; at += 4) {
    const group =
      (digitAt(digits, text, at) << 18) |
      (digitAt(digits, text, at + 1) << 12) |
      (digitAt(digits, text, at + 2) << 6) |
      digitAt(digits, text, at + 3);
    if (group < 0) return undefined;
    out[bytes++] = group >> 16;
    out[bytes++] = group >> 8;
    out[bytes++] = group;
  }
  if (left === 0) return out;
  const last = left === 3 ? digitAt(digits, text, at + 2) : 0;
  const group =
    (digitAt(digits, text, at) << 18) | (digitAt(digits, text, at + 1) << 12) | (last << 6);
  if (group < 0 || (group & (left === 3 ? 0xff : 0xffff)) !== 0) return undefined;
  out[bytes] = group >> 16;
  if (left === 3) out[bytes + 1] = group >> 8;
  return out;
}
