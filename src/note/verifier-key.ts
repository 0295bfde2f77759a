/** Verifier keys and key ids (C2SP signed-note). */
import { concatBytes, parseBase64, toBase64, u32be, toHex, utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { sha256 } from "../base/sha256.ts";
import { isKeyName } from "./text.ts";

/** Type byte of a key that signs a note's text with Ed25519. */
export const ed25519Type = 0x01 as const;
/** Type byte of a key that cosigns checkpoints with Ed25519 and a timestamp. */
export const cosignatureType = 0x04 as const;

export type VerifierKeyType = typeof ed25519Type | typeof cosignatureType;

export interface VerifierKey {
  readonly name: string;
  readonly type: VerifierKeyType;
  /** Unsigned 32 bits, from the other three. */
  readonly keyId: number;
  /** Raw Ed25519 key, 32 bytes. */
  readonly publicKey: Uint8Array;
}

const publicKeyBytes = 32;

/** The verifier key of a public key. `RangeError` for a name or length that no key has. */
export function createVerifierKey(options: {
  readonly name: string;
  readonly type: VerifierKeyType;
  readonly publicKey: Uint8Array;
}): VerifierKey {
  const { name, type, publicKey } = options;
  if (!isKeyName(name)) throw new RangeError("not the name of a key");
  if (publicKey.length !== publicKeyBytes) throw new RangeError("an Ed25519 key has 32 bytes");
  const keyId = keyIdOf(concatBytes(utf8(`${name}\n`), Uint8Array.of(type), publicKey));
  return { name, type, keyId, publicKey };
}

/** The text `name+id+base64(type ‖ public key)`. */
export function formatVerifierKey(key: VerifierKey): string {
  const encoded = toBase64(concatBytes(Uint8Array.of(key.type), key.publicKey));
  return `${key.name}+${toHex(u32be(key.keyId))}+${encoded}`;
}

const textPattern = /^([^+]+)\+[0-9a-f]{8}\+([A-Za-z0-9+/]+={0,2})$/;

/**
 * The key of a verifier key text. Throws MALFORMED for text that `formatVerifierKey` would not print,
 * a key id that is not the key's among it, and for types other than 0x01 and 0x04.
 */
export function parseVerifierKey(text: string): VerifierKey {
  const [, name, encoded] = textPattern.exec(text) ?? [];
  const bytes = parseBase64(encoded ?? "");
  if (name === undefined || !isKeyName(name) || bytes?.length !== 1 + publicKeyBytes) {
    throw new CausewayError("MALFORMED", "not the text of a verifier key");
  }
  const type = bytes[0];
  if (type !== ed25519Type && type !== cosignatureType) {
    throw new CausewayError("MALFORMED", `verifier keys of type ${type} are not supported`);
  }
  const key = createVerifierKey({ name, type, publicKey: bytes.slice(1) });
  if (formatVerifierKey(key) !== text) {
    throw new CausewayError("MALFORMED", "the verifier key has another key id");
  }
  return key;
}

/** Type byte of a key that signs with ECDSA; the public key is its SPKI in DER. We parse it and verify nothing with it. */
export const ecdsaType = 0x02 as const;
/** Type byte of a key that cosigns with ML-DSA-44 and a timestamp. We parse it and verify nothing with it. */
export const mlDsaType = 0x06 as const;

const mlDsaPublicKeyBytes = 1312;
/** SPKI of P-256 has 91 bytes, of P-521 158; RSA is no type of these. */
const ecdsaPublicKeyBytesMax = 256;

/** A verifier key of any type that another log or witness may have. */
export interface NoteKey {
  readonly name: string;
  readonly type: VerifierKeyType | typeof ecdsaType | typeof mlDsaType;
  /** Unsigned 32 bits. */
  readonly keyId: number;
  readonly publicKey: Uint8Array;
}

/** Whether signatures of a key are verified by us; those of other keys are ignored in notes. */
export function isVerifiable(key: NoteKey): key is VerifierKey {
  return key.type === ed25519Type || key.type === cosignatureType;
}

/** The text `name+id+base64(type ‖ public key)` of a key of any type. */
export function formatNoteKey({ name, type, keyId, publicKey }: NoteKey): string {
  const encoded = toBase64(concatBytes(Uint8Array.of(type), publicKey));
  return `${name}+${toHex(u32be(keyId))}+${encoded}`;
}

/**
 * The key of a verifier key text of type 0x01, 0x02, 0x04 or 0x06. Throws MALFORMED for any other type, a
 * public key of another length than the type's, and a key id that is not the key's.
 */
export function parseNoteKey(text: string): NoteKey {
  const [, name, encoded] = textPattern.exec(text) ?? [];
  const bytes = parseBase64(encoded ?? "");
  if (name === undefined || !isKeyName(name) || bytes === undefined || bytes.length < 2) {
    throw new CausewayError("MALFORMED", "not the text of a verifier key");
  }
  const publicKey = bytes.slice(1);
  const key = noteKeyOf(name, bytes[0] as number, publicKey);
  if (formatNoteKey(key) === text) return key;
  throw new CausewayError("MALFORMED", "the verifier key has another key id");
}

function noteKeyOf(name: string, type: number, publicKey: Uint8Array): NoteKey {
  const { length } = publicKey;
  if ((type === ed25519Type || type === cosignatureType) && length === publicKeyBytes) {
    return createVerifierKey({ name, type, publicKey });
  }
  if (type === ecdsaType && length <= ecdsaPublicKeyBytesMax) {
    return { name, type, keyId: keyIdOf(publicKey), publicKey };
  }
  if (type === mlDsaType && length === mlDsaPublicKeyBytes) {
    const hashed = concatBytes(utf8(`${name}\n`), Uint8Array.of(type), publicKey);
    return { name, type, keyId: keyIdOf(hashed), publicKey };
  }
  throw new CausewayError("MALFORMED", `no verifier key has type ${type} and ${length} bytes`);
}

function keyIdOf(hashed: Uint8Array): number {
  const digest = sha256(hashed);
  return new DataView(digest.buffer, digest.byteOffset).getUint32(0);
}
