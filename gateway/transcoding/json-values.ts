/** A stream of JSON values, one behind the other or the elements of one array, cut into the values' texts. */
import { CausewayError } from "../../src/base/errors.ts";

const quote = 0x22;
const backslash = 0x5c;
const comma = 0x2c;
const opening: ReadonlySet<number> = new Set([0x5b, 0x7b]);
const closing: ReadonlySet<number> = new Set([0x5d, 0x7d]);
const arrayOpens = 0x5b;
const arrayCloses = 0x5d;

const isSpace = (byte: number): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/**
 * Finds where values end and parses none of them: what stands between two ends is for the JSON parser
 * to judge. The values are objects: what else stands at the top level is refused.
 */
export class JsonValues {
  readonly #valueBytesMax: number;
  #inArray = false;
  #begun = false;
  #ended = false;
  /** Of an array. */
  #expects: "first" | "value" | "comma" = "first";
  #depth = 0;
  #inText = false;
  #escaped = false;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(valueBytesMax: number) {
    this.#valueBytesMax = valueBytesMax;
  }

  /** The values that end in this chunk. Throws PROTOCOL_ERROR, MESSAGE_TOO_LARGE. */
  push(chunk: Uint8Array): readonly Uint8Array[] {
    const values: Uint8Array[] = [];
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      if (this.#depth === 0) {
        if (this.#between(byte)) from = at;
      } else if (this.#inside(byte)) {
        this.#keep(chunk.subarray(from, at + 1));
        values.push(this.#take());
      }
    }
    if (this.#depth > 0) this.#keep(chunk.subarray(from));
    return values;
  }

  /** Throws PROTOCOL_ERROR when the stream ended inside a value or its array. */
  finish(): void {
    if (this.#depth > 0 || (this.#inArray && !this.#ended)) throw broken();
  }

  /** Whether a value begins with this byte. */
  #between(byte: number): boolean {
    if (isSpace(byte) || (byte === 0x1e && !this.#inArray)) return false;
    if (this.#ended) throw broken();
    if (!this.#begun && byte === arrayOpens) {
      this.#begun = true;
      this.#inArray = true;
      return false;
    }
    if (this.#inArray && byte === comma && this.#expects === "comma") {
      this.#expects = "value";
      return false;
    }
    if (this.#inArray && byte === arrayCloses && this.#expects !== "value") {
      this.#ended = true;
      return false;
    }
    if (byte !== 0x7b || (this.#inArray && this.#expects === "comma")) throw broken();
    this.#begun = true;
    this.#depth = 1;
    return true;
  }

  /** Whether the value ends with this byte. */
  #inside(byte: number): boolean {
    if (this.#inText) {
      if (this.#escaped) this.#escaped = false;
      else if (byte === backslash) this.#escaped = true;
      else if (byte === quote) this.#inText = false;
    } else if (byte === quote) this.#inText = true;
    else if (opening.has(byte)) this.#depth += 1;
    else if (closing.has(byte)) this.#depth -= 1;
    return this.#depth === 0;
  }

  #keep(part: Uint8Array): void {
    this.#bytes += part.length;
    if (this.#bytes > this.#valueBytesMax) {
      throw new CausewayError("MESSAGE_TOO_LARGE", "a value of the stream exceeds its limit");
    }
    this.#parts.push(part);
  }

  #take(): Uint8Array {
    const value = Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    this.#expects = "comma";
    return value;
  }
}

function broken(): CausewayError {
  return new CausewayError("PROTOCOL_ERROR", "the stream is no sequence of JSON objects");
}
