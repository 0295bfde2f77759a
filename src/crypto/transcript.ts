/** The running hash over the frames of a request or a response (RECORDS.md). */
import { concatBytes, u32be } from "../base/bytes.ts";
import { sha256 } from "../base/sha256.ts";

/** What a frame of a transcript is. */
export type FrameKind = "headers" | "message";

const kindBytes: Readonly<Record<FrameKind, Uint8Array>> = {
  headers: Uint8Array.of(1),
  message: Uint8Array.of(2),
};

/** t(0): 32 zero bytes. */
export function emptyTranscript(): Uint8Array {
  return new Uint8Array(32);
}

/** t(i) from t(i-1): SHA-256 of the value before, the kind, the length as u32 big-endian and the bytes. */
export function extendTranscript(
  before: Uint8Array,
  kind: FrameKind,
  bytes: Uint8Array,
): Uint8Array {
  return sha256(concatBytes(before, kindBytes[kind], u32be(bytes.length), bytes));
}

/** A transcript that grows frame by frame. Message bytes are uncompressed, as received. */
export class Transcript {
  #value: Uint8Array = emptyTranscript();
  #frames = 0;

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
