/** Encryption of openings at rest: AES-256-GCM under a key for each id. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { concatBytes, utf8 } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { hmacSha256 } from "../../base/sha256.ts";

/** Bytes of the key that all others are derived from. */
export const openingsKeyBytes: number = 32;

const algorithm = "aes-256-gcm";
const nonceBytes = 12;
const tagBytes = 16;
const label = concatBytes(utf8("causeway/openings/v1"), Uint8Array.of(0));

/** The bytes of a row's own key. */
export const rowKeyBytes: number = 32;

/** A key for one row. */
export function createRowKey(): Uint8Array {
  return new Uint8Array(randomBytes(rowKeyBytes));
}

/** Which key a text is encrypted under, beside the key file. */
export interface CipherRow {
  readonly id: Uint8Array;
  /** Drawn for this row alone: without it the row is lost. Empty for a row that has none. */
  readonly rowKey: Uint8Array;
}

export interface OpeningsCipher {
  /** nonce ‖ ciphertext ‖ tag. */
  encrypt(row: CipherRow, plaintext: Uint8Array): Uint8Array;
  /** Throws KEY_LOCKED when the bytes were not encrypted under this key for this row, or were changed. */
  decrypt(row: CipherRow, sealed: Uint8Array): Uint8Array;
}

/**
 * A cipher under the 32 bytes of the key file. Each id and row has a derived key of its own, so that the
 * random nonces of a long life are never many under one key, and a row moved to another id is refused.
 */
export function createOpeningsCipher(key: Uint8Array): OpeningsCipher {
  if (key.length !== openingsKeyBytes) throw new RangeError("the key of the openings has 32 bytes");
  const keyOf = ({ id, rowKey }: CipherRow): Uint8Array => hmacSha256(key, label, id, rowKey);
  return {
    encrypt: (row, plaintext) => {
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv(algorithm, keyOf(row), nonce);
      return concatBytes(nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag());
    },
    decrypt: (row, sealed) => {
      try {
        const nonce = sealed.subarray(0, nonceBytes);
        const options = { authTagLength: tagBytes };
        const decipher = createDecipheriv(algorithm, keyOf(row), nonce, options);
        decipher.setAuthTag(sealed.subarray(-tagBytes));
        const ciphertext = sealed.subarray(nonceBytes, -tagBytes);
        return concatBytes(decipher.update(ciphertext), decipher.final());
      } catch (cause) {
        throw new CausewayError("KEY_LOCKED", "an opening does not decrypt under this key", {
          cause,
        });
      }
    },
  };
}
