/** Writes a protobuf message from its last byte to its first: every length is known when it is due. */
import { utf8 } from "./bytes.ts";

/** Bytes of the buffer that is kept between messages: most messages fit. */
const keptBytesMax = 128 * 1024;
/** Room for the tags and lengths around a value that is larger than the buffer. */
const aroundBytes = 1024;
/** Up to this length a loop writes a text faster than the encoder does. */
const loopTextMax = 64;

/** One buffer for one message after another: what a message is written to is copied out at its end. */
export class BackwardWriter {
  #buffer: Uint8Array = new Uint8Array(keptBytesMax);
  #at: number = keptBytesMax;

  /** Forgets what was written. */
  start(): void {
    if (this.#buffer.length > keptBytesMax) this.#buffer = new Uint8Array(keptBytesMax);
    this.#at = this.#buffer.length;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#buffer.length - this.#at;
  }

  /** All that was written. */
  finish(): Uint8Array {
    return this.#buffer.slice(this.#at);
  }

  /** A view, valid until the next write, of the bytes between two lengths. */
  between(shorter: number, longer: number): Uint8Array {
    const end = this.#buffer.length;
    return this.#buffer.subarray(end - longer, end - shorter);
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#at -= bytes.length;
    this.#buffer.set(bytes, this.#at);
  }

  /** The UTF-8 encoding of a text. */
  text(text: string): void {
    const before = this.length;
    if (text.length <= loopTextMax && this.codes(text, 0, 0x7f)) return;
    // Counted from the end: the buffer may have grown.
    this.#at = this.#buffer.length - before;
    this.bytes(utf8(text));
  }

  /** A text whose characters are of `first` to `last`, at most 0x7F; false when one is not. */
  codes(text: string, first: number, last: number): boolean {
    this.#reserve(text.length);
    const buffer = this.#buffer;
    let at = this.#at;
    // Negative as soon as one character lies outside.
    let outside = 0;
    for (let i = text.length - 1; i >= 0; i--) {
      const code = text.charCodeAt(i);
      outside |= (code - first) | (last - code);
      buffer[--at] = code;
    }
    this.#at = at;
    return outside >= 0;
  }

  /** A minimal varint of at most 53 bits. */
  number(value: number): void {
    this.#reserve(8);
    if (value < 128) {
      this.#buffer[--this.#at] = value;
      return;
    }
    let length = 2;
    for (let rest = value / 16384; rest >= 1; rest /= 128) length++;
    const buffer = this.#buffer;
    const first = this.#at - length;
    let rest = value;
    for (let i = first; i < first + length - 1; i++) {
      buffer[i] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    buffer[first + length - 1] = rest;
    this.#at = first;
  }

  /** A minimal varint of at most 64 bits. */
  bigint(value: bigint): void {
    if (value <= 0x1f_ffff_ffff_ffffn) {
      this.number(Number(value));
      return;
    }
    this.#reserve(10);
    const groups: number[] = [];
    for (let rest = value; rest > 0n; rest >>= 7n) groups.push(Number(rest & 127n));
    for (let i = groups.length - 1; i >= 0; i--) {
      this.#buffer[--this.#at] = (groups[i] as number) | (i < groups.length - 1 ? 128 : 0);
    }
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#at) return;
    const written = this.length;
    const larger = new Uint8Array(Math.max(2 * this.#buffer.length, written + bytes + aroundBytes));
    larger.set(this.#buffer.subarray(this.#at), larger.length - written);
    this.#at = larger.length - written;
    this.#buffer = larger;
  }
}
