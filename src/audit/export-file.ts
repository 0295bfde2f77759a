/**
 * The export of a ledger: a stream of size-delimited `ExportItem`s (causeway.ledger.v1). Each item
 * stands after its length as a minimal varint; the first is the header and no other is one.
 */
import { concatBytes } from "../base/bytes.ts";
import { createMessage } from "../base/create-message.ts";
import { CausewayError } from "../base/errors.ts";
import { exportItemBytesMax } from "../base/limits.ts";
import {
  type ExportItem,
  ExportItemSchema,
  type ExportNote,
} from "../gen/causeway/ledger/v1/export_pb.ts";
import { decodeCanonical, encodeCanonical } from "../record/canonical.ts";

/** The version of export files that this release writes and reads. */
export const exportVersion: number = 1;

/** One item in the words of the ledger. Bytes that were read are views of a buffer: copy what is kept. */
export type ExportEntry =
  | { readonly kind: "header"; readonly network: Uint8Array }
  | { readonly kind: "blob"; readonly content: Uint8Array }
  | { readonly kind: "batch"; readonly leaf: Uint8Array; readonly records: readonly Uint8Array[] }
  | {
      readonly kind: "note";
      readonly note: Uint8Array;
      /** Registry digest after the note's size, as the exporter has it; 32 bytes. */
      readonly digest?: Uint8Array;
    };

/** The bytes of one item with its length before it. RangeError for what an export cannot carry. */
export function encodeExportEntry(entry: ExportEntry): Uint8Array {
  const item = encodeCanonical(ExportItemSchema, itemOf(entry));
  if (item.length > exportItemBytesMax) throw new RangeError("an item of an export is too large");
  return concatBytes(varint(item.length), item);
}

/** The bytes of an export, item by item. */
export async function* encodeExport(
  entries: AsyncIterable<ExportEntry> | Iterable<ExportEntry>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const entry of entries) yield encodeExportEntry(entry);
}

/**
 * The items of an export from its bytes, cut anywhere.
 *
 * Throws MALFORMED, NOT_CANONICAL or TOO_LARGE; the field `index` is the number of batches read before,
 * the first index that is lost.
 */
export async function* decodeExport(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<ExportEntry, void, undefined> {
  const buffer = new ItemBuffer();
  let batches = 0n;
  let items = 0;
  for await (const chunk of chunks) {
    buffer.push(chunk);
    for (;;) {
      const entry = takeEntry(buffer, batches, items === 0);
      if (entry === undefined) break;
      items += 1;
      if (entry.kind === "batch") batches += 1n;
      yield entry;
    }
  }
  if (!buffer.isEmpty) throw at(batches, "MALFORMED", "the file ends inside of an item");
  if (items === 0) throw at(0n, "MALFORMED", "the file is empty");
}

function takeEntry(buffer: ItemBuffer, index: bigint, isFirst: boolean): ExportEntry | undefined {
  try {
    const bytes = buffer.take();
    if (bytes === undefined) return undefined;
    const entry = entryOf(
      decodeCanonical(ExportItemSchema, bytes, { maxBytes: exportItemBytesMax }),
    );
    if (isFirst === (entry.kind === "header")) return entry;
    throw malformed("an export has one header, and it comes first");
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    throw at(index, cause.code, cause.message, cause);
  }
}

function entryOf({ item }: ExportItem): ExportEntry {
  switch (item.case) {
    case "header":
      if (item.value.version !== exportVersion || item.value.network.length !== 32) {
        throw malformed("not an export of this version");
      }
      return { kind: "header", network: item.value.network };
    case "batch":
      return { kind: "batch", leaf: item.value.leaf, records: item.value.records };
    case "note":
      return noteOf(item.value);
    case "blob":
      return { kind: "blob", content: item.value.content };
    case undefined:
      throw malformed("an empty item");
  }
}

function noteOf({ note, registryDigest: digest }: ExportNote): ExportEntry {
  if (digest.length === 0) return { kind: "note", note };
  if (digest.length !== 32) throw malformed("a registry digest has 32 bytes");
  return { kind: "note", note, digest };
}

function itemOf(entry: ExportEntry): ExportItem {
  switch (entry.kind) {
    case "header": {
      const value = { version: exportVersion, network: entry.network };
      return createMessage(ExportItemSchema, { item: { case: "header", value } });
    }
    case "batch": {
      const value = { leaf: entry.leaf, records: [...entry.records] };
      return createMessage(ExportItemSchema, { item: { case: "batch", value } });
    }
    case "note": {
      const { note, digest: registryDigest = new Uint8Array(0) } = entry;
      const value = { note, registryDigest };
      return createMessage(ExportItemSchema, { item: { case: "note", value } });
    }
    case "blob":
      return createMessage(ExportItemSchema, {
        item: { case: "blob", value: { content: entry.content } },
      });
  }
}

/** Bytes of the length before an item: below 2^28. */
const lengthBytesMax = 4;

/** Puts chunks together once an item is whole, so that long items are not copied again for each chunk. */
class ItemBuffer {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  /** Of the next item with its length before it; 0 while that is not known. */
  #needed = 0;
  #prefix = 0;

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /** The next item, `undefined` while it is not whole. Throws MALFORMED, NOT_CANONICAL or TOO_LARGE. */
  take(): Uint8Array | undefined {
    if (this.#needed === 0 && !this.#readLength()) return undefined;
    if (this.#bytes < this.#needed) return undefined;
    const whole = this.#join();
    const item = whole.subarray(this.#prefix, this.#needed);
    this.#chunks = whole.length === this.#needed ? [] : [whole.subarray(this.#needed)];
    this.#bytes -= this.#needed;
    this.#needed = 0;
    return item;
  }

  #join(): Uint8Array {
    const [first] = this.#chunks;
    if (first !== undefined && this.#chunks.length === 1) return first;
    const whole = concatBytes(...this.#chunks);
    this.#chunks = [whole];
    return whole;
  }

  #readLength(): boolean {
    if (this.#bytes === 0) return false;
    const first = this.#chunks[0] as Uint8Array;
    const bytes = first.length < lengthBytesMax ? this.#join() : first;
    let length = 0;
    for (let i = 0; i < lengthBytesMax; i++) {
      const byte = bytes[i];
      if (byte === undefined) return false;
      length |= (byte & 127) << (7 * i);
      if (byte > 127) continue;
      if (byte === 0 && i > 0)
        throw new CausewayError("NOT_CANONICAL", "a padded length of an item");
      if (length === 0) throw malformed("an empty item");
      if (length > exportItemBytesMax) throw tooLarge();
      this.#prefix = i + 1;
      this.#needed = i + 1 + length;
      return true;
    }
    throw tooLarge();
  }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  return Uint8Array.of(...bytes, rest);
}

function malformed(why: string): CausewayError {
  return new CausewayError("MALFORMED", why);
}

function tooLarge(): CausewayError {
  return new CausewayError("TOO_LARGE", `an item has at most ${exportItemBytesMax} bytes`);
}

function at(
  index: bigint,
  code: CausewayError["code"],
  message: string,
  cause?: unknown,
): CausewayError {
  const fields = { index: String(index) };
  return new CausewayError(code, `export, behind batch count ${index}: ${message}`, {
    cause,
    fields,
  });
}
