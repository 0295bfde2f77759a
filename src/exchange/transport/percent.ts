/** The percent-encoding of `grpc-message`: printable ASCII stands, all else is `%XX`. */

const hex: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  byte.toString(16).toUpperCase().padStart(2, "0"),
);

/**
 * The header value for a status message. Spaces at either end are encoded too: an HTTP/2 field value
 * may not begin or end with one (RFC 9113 section 8.2.1).
 */
export function percentEncode(message: Uint8Array): string {
  let out = "";
  for (let i = 0; i < message.length; i++) {
    const byte = message[i] as number;
    const atEnd = i === 0 || i === message.length - 1;
    const stands = byte > 0x20 && byte < 0x7f && byte !== 0x25;
    out += stands || (byte === 0x20 && !atEnd) ? String.fromCharCode(byte) : `%${hex[byte]}`;
  }
  return out;
}

/** The bytes of a header value; what is no valid escape stands for itself, since a status must not be lost. */
export function percentDecode(value: string): Uint8Array {
  const out = new Uint8Array(value.length);
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digits = value[i] === "%" ? value.slice(i + 1, i + 3) : "";
    if (/^[0-9A-Fa-f]{2}$/.test(digits)) {
      out[length++] = Number.parseInt(digits, 16);
      i += 2;
    } else {
      out[length++] = value.charCodeAt(i);
    }
  }
  return out.slice(0, length);
}
