/** The running hash over the frames of a request or a response (RECORDS.md). */
import { u32be } from "../base/bytes.ts";
import { sha256, sha256OfLong } from "../base/sha256.ts";
import { hashBytes } from "../merkle/hash.ts";

/** What a frame of a transcript is. */
export type FrameKind = "headers" | "message";

const kindBytes: Readonly<Record<FrameKind, number>> = { headers: 1, message: 2 };

/** t(0): 32 zero bytes. */
export function emptyTranscript(): Uint8Array {
  return new Uint8Array(hashBytes);
}

const prefixBytes = hashBytes + 1 + 4;
// Hashing is synchronous and keeps nothing of its input.
const input = new Uint8Array(4096);

/** t(i) from t(i-1): SHA-256 of the value before, the kind, the length as u32 big-endian and the bytes. */
export function extendTranscript(
  before: Uint8Array,
  kind: FrameKind,
  bytes: Uint8Array,
): Uint8Array {
  if (before.length !== hashBytes) throw new RangeError("a transcript has 32 bytes");
  const length = prefixBytes + bytes.length;
  input.set(before);
  input[hashBytes] = kindBytes[kind];
  input.set(u32be(bytes.length), hashBytes + 1);
  if (length > input.length) return sha256OfLong(input.subarray(0, prefixBytes), bytes);
  input.set(bytes, prefixBytes);
  return sha256(input.subarray(0, length));
}

/** A transcript that grows frame by frame. Message bytes are uncompressed, as received. */
export class Transcript {
  #value: Uint8Array = emptyTranscript();
  #frames = 0;

  /** Another one of the same frames, which grows by itself. */
  copy(): Transcript {
    const copy = new Transcript();
    copy.#value = this.#value;
    copy.#frames = this.#frames;
    return copy;
  }

  /** Adds an encoded `Metadata`. */
  addHeaders(encoded: Uint8Array): this {
    return this.#add("headers", encoded);
  }

  addMessage(message: Uint8Array): this {
    return this.#add("message", message);
  }

  /** t(n) of the frames so far: what a commitment labelled `request`, `response` or `upstream` commits to. */
  get value(): Uint8Array {
    return this.#value;
  }

  /** Number of frames so far. */
  get frames(): number {
    return this.#frames;
  }

  #add(kind: FrameKind, bytes: Uint8Array): this {
    this.#value = extendTranscript(this.#value, kind, bytes);
    this.#frames += 1;
    return this;
  }
}

/** t(n) of headers and messages, the common form of a request or a response. */
export function transcriptOf(headers: Uint8Array, messages: readonly Uint8Array[]): Uint8Array {
  const transcript = new Transcript().addHeaders(headers);
  for (const message of messages) transcript.addMessage(message);
  return transcript.value;
}
