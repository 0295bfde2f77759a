/** gzip of single messages: small ones at once, others in the thread pool, so that none holds up the calls of others. */
import { constants, gunzip, gunzipSync, gzip, gzipSync } from "node:zlib";
import { CausewayError } from "../../base/errors.ts";
import { gzipAtOnceBytesMax } from "../../base/limits.ts";

// The lines between an agency system and its gateway are short: speed counts more than the last per cent.
const gzipOptions = { level: constants.Z_BEST_SPEED };
/** Inflating is quicker than deflating: its result may be this much larger for the same time. */
const inflatedAtOnceBytesMax = 4 * gzipAtOnceBytesMax;

/** The message as one gzip member; longer than the message where it cannot be made shorter. */
export function gzipMessage(message: Uint8Array): Uint8Array | Promise<Uint8Array> {
  if (message.length <= gzipAtOnceBytesMax) return gzipSync(message, gzipOptions);
  return new Promise((resolve, reject) => {
    gzip(message, gzipOptions, (error, body) => (error === null ? resolve(body) : reject(error)));
  });
}

/**
 * The message that `body` holds. Throws or rejects with MESSAGE_TOO_LARGE above `messageBytesMax`, before
 * more than that is inflated, and with PROTOCOL_ERROR for what is no gzip.
 */
export function gunzipMessage(
  body: Uint8Array,
  messageBytesMax: number,
): Uint8Array | Promise<Uint8Array> {
  const atOnceMax = Math.min(messageBytesMax, inflatedAtOnceBytesMax);
  if (
    body.length <= gzipAtOnceBytesMax &&
    Math.min(announcedBytes(body), messageBytesMax) <= atOnceMax
  ) {
    try {
      return withoutBuffer(gunzipSync(body, { maxOutputLength: Math.max(atOnceMax, 1) }));
    } catch (error) {
      // The announced length is not to be trusted: what is longer is inflated as a long message.
      if (!isTooLarge(error) || messageBytesMax === atOnceMax) {
        throw unreadable(error, messageBytesMax);
      }
    }
  }
  return new Promise((resolve, reject) => {
    gunzip(body, { maxOutputLength: Math.max(messageBytesMax, 1) }, (error, message) => {
      if (error === null) resolve(withoutBuffer(message));
      else reject(unreadable(error, messageBytesMax));
    });
  });
}

/** A view that is no Buffer: a Buffer compares unequal to the same bytes, and its `slice` is no copy. */
export function withoutBuffer(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** MESSAGE_TOO_LARGE with its limit as a field. */
export function messageTooLarge(messageBytesMax: number): CausewayError {
  return new CausewayError(
    "MESSAGE_TOO_LARGE",
    `a message has more than ${messageBytesMax} bytes`,
    { fields: { limit: String(messageBytesMax) } },
  );
}

// The last four bytes of a gzip member, modulo 2^32 (RFC 1952 section 2.3.1).
function announcedBytes(body: Uint8Array): number {
  if (body.length < 4) return 0;
  return new DataView(body.buffer, body.byteOffset + body.length - 4).getUint32(0, true);
}

function isTooLarge(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
}

function unreadable(cause: unknown, messageBytesMax: number): CausewayError {
  if (isTooLarge(cause)) return messageTooLarge(messageBytesMax);
  return new CausewayError("PROTOCOL_ERROR", "a message is not the gzip that it says", { cause });
}
