/** Length-prefixed messages of gRPC over HTTP/2: one byte of flags, four of length, the message. */
import { gunzipSync } from "node:zlib";
import { CausewayError } from "../../base/errors.ts";

const prefixBytes = 5;
/** First size of the buffer for a message that comes in pieces; it doubles up to the message's length. */
const partialBytesMin = 4096;

/** The prefix of an uncompressed message of this length. */
export function messagePrefix(length: number): Buffer {
  const prefix = Buffer.allocUnsafe(prefixBytes);
  prefix[0] = 0;
  prefix.writeUInt32BE(length, 1);
  return prefix;
}

/** An uncompressed message with its prefix, in one buffer. */
export function frameMessage(message: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(prefixBytes + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, prefixBytes);
  return framed;
}

export interface MessageReaderOptions {
  /** Largest message, compressed or not. */
  readonly messageBytesMax: number;
  /** The `grpc-encoding` header; `identity` or absent for none. */
  readonly encoding: string | undefined;
}

/**
 * Cuts the bytes of one direction of a call into messages. Holds at most one message in part, in a
 * buffer that grows with what has arrived, never with what was announced.
 */
export class MessageReader {
  readonly #messageBytesMax: number;
  readonly #encoding: string | undefined;
  #partial: Buffer = Buffer.alloc(0);
  #have = 0;

  constructor(options: MessageReaderOptions) {
    this.#messageBytesMax = options.messageBytesMax;
    this.#encoding = options.encoding;
  }

  /**
   * The messages that `chunk` completes, uncompressed. They may be views of `chunk`: copy what is kept.
   * Throws MESSAGE_TOO_LARGE, COMPRESSION_UNSUPPORTED and PROTOCOL_ERROR; the reader is then of no more use.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    const messages: Uint8Array[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#have === 0 && chunk.length - at >= prefixBytes) {
        const start = at + prefixBytes;
        const end = start + this.#lengthAt(chunk, at);
        if (end <= chunk.length) {
          messages.push(this.#decode(chunk[at] as number, chunk.subarray(start, end)));
          at = end;
          continue;
        }
      }
      at = this.#absorb(chunk, at, messages);
    }
    return messages;
  }

  /** To be called when the other side has ended. Throws PROTOCOL_ERROR inside a message. */
  finish(): void {
    if (this.#have > 0) throw new CausewayError("PROTOCOL_ERROR", "the last message is cut off");
  }

  #absorb(chunk: Uint8Array, from: number, messages: Uint8Array[]): number {
    let at = this.#take(chunk, from, prefixBytes);
    if (this.#have < prefixBytes) return at;
    const total = prefixBytes + this.#lengthAt(this.#partial, 0);
    at = this.#take(chunk, at, total);
    if (this.#have === total) {
      const body = this.#partial.subarray(prefixBytes, total);
      messages.push(this.#decode(this.#partial[0] as number, body));
      this.#partial = Buffer.alloc(0);
      this.#have = 0;
    }
    return at;
  }

  // Copies from `chunk` until `total` bytes are held, or the chunk is used up.
  #take(chunk: Uint8Array, from: number, total: number): number {
    const count = Math.min(Math.max(total - this.#have, 0), chunk.length - from);
    const needed = this.#have + count;
    if (needed > this.#partial.length) {
      const capacity = Math.max(needed, 2 * this.#partial.length, partialBytesMin);
      const grown = Buffer.allocUnsafe(capacity);
      this.#partial.copy(grown, 0, 0, this.#have);
      this.#partial = grown;
    }
    this.#partial.set(chunk.subarray(from, from + count), this.#have);
    this.#have = needed;
    return from + count;
  }

  #lengthAt(bytes: Uint8Array, at: number): number {
    const flags = bytes[at] as number;
    if (flags > 1) throw new CausewayError("PROTOCOL_ERROR", "unknown flags of a message");
    const length = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(1);
    if (length > this.#messageBytesMax) throw tooLarge(this.#messageBytesMax);
    return length;
  }

  #decode(flags: number, body: Uint8Array): Uint8Array {
    if (flags === 0) return plain(body);
    if (this.#encoding === undefined || this.#encoding === "identity") {
      throw new CausewayError("PROTOCOL_ERROR", "a compressed message without grpc-encoding");
    }
    if (this.#encoding !== "gzip") {
      throw new CausewayError("COMPRESSION_UNSUPPORTED", "gzip is the only encoding that is read");
    }
    return gunzip(body, this.#messageBytesMax);
  }
}

// A view that is no Buffer: a Buffer compares unequal to the same bytes, and its `slice` is no copy.
function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

function gunzip(body: Uint8Array, messageBytesMax: number): Uint8Array {
  try {
    return plain(gunzipSync(body, { maxOutputLength: Math.max(messageBytesMax, 1) }));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
      throw tooLarge(messageBytesMax);
    }
    throw new CausewayError("PROTOCOL_ERROR", "a message is not the gzip that it says", { cause });
  }
}

function tooLarge(messageBytesMax: number): CausewayError {
  return new CausewayError(
    "MESSAGE_TOO_LARGE",
    `a message has more than ${messageBytesMax} bytes`,
    { fields: { limit: String(messageBytesMax) } },
  );
}
