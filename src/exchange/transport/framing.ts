/** Length-prefixed messages of gRPC over HTTP/2: one byte of flags, four of length, the message. */
import { emptyBytes } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { gunzipMessage, messageTooLarge, withoutBuffer } from "./gzip.ts";

const prefixBytes = 5;
/** First size of the buffer for a message that comes in pieces: one of 64 KiB with its framing is not copied again. */
const partialBytesMin = 128 * 1024;
/** It grows by this factor up to the message's length: each step is copied, and garbage. */
const partialGrowth = 4;

/** The prefix of a message of this length, compressed or not. */
export function messagePrefix(length: number, compressed = false): Buffer {
  const prefix = Buffer.allocUnsafe(prefixBytes);
  prefix[0] = compressed ? 1 : 0;
  prefix.writeUInt32BE(length, 1);
  return prefix;
}

/** A message with its prefix, in one buffer. */
export function frameMessage(message: Uint8Array, compressed = false): Buffer {
  const framed = Buffer.allocUnsafe(prefixBytes + message.length);
  framed[0] = compressed ? 1 : 0;
  framed.writeUInt32BE(message.length, 1);
  framed.set(message, prefixBytes);
  return framed;
}

export interface MessageReaderOptions {
  /** Largest message, compressed or not. */
  readonly messageBytesMax: number;
  /** The `grpc-encoding` header; `identity` or absent for none. */
  readonly encoding: string | undefined;
  /** Where buffers for long messages come from, instead of being new ones. */
  readonly buffers?: MessageBuffers;
}

/** Gives buffers for messages that come in pieces. */
export interface MessageBuffers {
  /** One that is there already and as long as this, or longer. */
  kept(bytes: number): Uint8Array | undefined;
  /** A new one, as long as this or longer. */
  allocate(bytes: number): Uint8Array;
}

interface ReceivedFrame {
  readonly compressed: boolean;
  readonly body: Uint8Array;
}

/**
 * Cuts the bytes of one direction of a call into messages. Holds what it was given and did not give
 * away yet, as received: a message is inflated when its turn comes, one at a time. A message in part lies
 * in a buffer that grows with what has arrived, never with what was announced.
 */
export class MessageReader {
  readonly #messageBytesMax: number;
  readonly #encoding: string | undefined;
  readonly #buffers: MessageBuffers | undefined;
  readonly #prefix: Uint8Array = new Uint8Array(prefixBytes);
  #prefixHave = 0;
  /** Length of the message whose prefix is here. */
  #total = 0;
  #partial: Uint8Array = emptyBytes;
  #partialHave = 0;
  #frames: ReceivedFrame[] = [];
  #nextFrame = 0;
  #failure: CausewayError | undefined;

  constructor(options: MessageReaderOptions) {
    this.#messageBytesMax = options.messageBytesMax;
    this.#encoding = options.encoding;
    this.#buffers = options.buffers;
  }

  /**
   * The messages that `chunk` completes, at once: for a sender that does not compress long messages.
   * Throws as `next` does.
   */
  push(chunk: Uint8Array): Uint8Array[] {
    this.add(chunk);
    const messages: Uint8Array[] = [];
    for (let message = this.next(); message !== undefined; message = this.next()) {
      if (message instanceof Promise) throw new TypeError("a long compressed message");
      messages.push(message);
    }
    return messages;
  }

  /** Takes more bytes, and keeps views of them. What is wrong with them shows at its place, in `next`. */
  add(chunk: Uint8Array): void {
    if (this.#failure !== undefined) return;
    try {
      let at = 0;
      while (at < chunk.length) at = this.#cut(chunk, at);
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
      this.#failure = error;
      this.#partial = emptyBytes;
    }
  }

  /** Whether `next` has something to say. */
  get waiting(): boolean {
    return this.#nextFrame < this.#frames.length || this.#failure !== undefined;
  }

  /**
   * The next message, or a promise of it while it is inflated; `undefined` when more bytes are needed.
   * It may be a view of a chunk: copy what is kept. Throws or rejects with MESSAGE_TOO_LARGE,
   * COMPRESSION_UNSUPPORTED and PROTOCOL_ERROR; the reader is then of no more use.
   */
  next(): Uint8Array | Promise<Uint8Array> | undefined {
    const frame = this.#frames[this.#nextFrame];
    if (frame === undefined) {
      if (this.#failure !== undefined) throw this.#failure;
      return undefined;
    }
    this.#nextFrame++;
    if (this.#nextFrame === this.#frames.length) {
      this.#frames = [];
      this.#nextFrame = 0;
    }
    return frame.compressed ? this.#inflate(frame.body) : withoutBuffer(frame.body);
  }

  /** To be called when the other side has ended. Throws PROTOCOL_ERROR inside a message. */
  finish(): void {
    if (this.#prefixHave > 0)
      throw new CausewayError("PROTOCOL_ERROR", "the last message is cut off");
  }

  #cut(chunk: Uint8Array, at: number): number {
    if (this.#prefixHave === 0 && chunk.length - at >= prefixBytes) {
      const start = at + prefixBytes;
      const end = start + this.#lengthAt(chunk, at);
      if (end <= chunk.length) {
        this.#frames.push({ compressed: chunk[at] === 1, body: chunk.subarray(start, end) });
        return end;
      }
    }
    return this.#absorb(chunk, at);
  }

  #absorb(chunk: Uint8Array, from: number): number {
    let at = from;
    while (this.#prefixHave < prefixBytes) {
      if (at === chunk.length) return at;
      this.#prefix[this.#prefixHave++] = chunk[at++] as number;
      if (this.#prefixHave === prefixBytes) this.#total = this.#lengthAt(this.#prefix, 0);
    }
    const total = this.#total;
    const end = Math.min(at + total - this.#partialHave, chunk.length);
    const have = this.#partialHave + end - at;
    this.#grow(have, total);
    this.#partial.set(chunk.subarray(at, end), this.#partialHave);
    this.#partialHave = have;
    if (have === total) {
      const body = this.#partial.subarray(0, total);
      this.#frames.push({ compressed: this.#prefix[0] === 1, body });
      this.#partial = emptyBytes;
      this.#partialHave = 0;
      this.#prefixHave = 0;
    }
    return end;
  }

  #grow(needed: number, total: number): void {
    if (needed <= this.#partial.length) return;
    const wanted = Math.max(needed, partialGrowth * this.#partial.length, partialBytesMin);
    const grown = this.#bufferOf(Math.min(wanted, total), total);
    grown.set(this.#partial.subarray(0, this.#partialHave));
    this.#partial = grown;
  }

  #bufferOf(bytes: number, total: number): Uint8Array {
    const kept = this.#buffers?.kept(total);
    if (kept !== undefined) return kept;
    // A buffer that may be kept is as long as its message at last: those on the way there are short-lived.
    if (this.#buffers !== undefined && bytes === total) return this.#buffers.allocate(total);
    return Buffer.allocUnsafeSlow(bytes);
  }

  #lengthAt(bytes: Uint8Array, at: number): number {
    const flags = bytes[at] as number;
    if (flags > 1) throw new CausewayError("PROTOCOL_ERROR", "unknown flags of a message");
    const high = (bytes[at + 1] as number) * 0x1000000;
    const length =
      high +
      ((bytes[at + 2] as number) << 16) +
      ((bytes[at + 3] as number) << 8) +
      (bytes[at + 4] as number);
    if (length > this.#messageBytesMax) throw messageTooLarge(this.#messageBytesMax);
    return length;
  }

  #inflate(body: Uint8Array): Uint8Array | Promise<Uint8Array> {
    if (this.#encoding === undefined || this.#encoding === "identity") {
      throw new CausewayError("PROTOCOL_ERROR", "a compressed message without grpc-encoding");
    }
    if (this.#encoding !== "gzip") {
      throw new CausewayError("COMPRESSION_UNSUPPORTED", "gzip is the only encoding that is read");
    }
    return gunzipMessage(body, this.#messageBytesMax);
  }
}
