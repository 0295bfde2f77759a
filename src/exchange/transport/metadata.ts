/** Metadata between its proto form and HTTP/2 header fields, as a transparent proxy carries it. */
import type { OutgoingHttpHeaders } from "node:http2";
import { mapKey, toBase64 } from "../../base/bytes.ts";
import { createMessage } from "../../base/create-message.ts";
import { CausewayError } from "../../base/errors.ts";
import { metadataBytesMax } from "../../base/limits.ts";
import {
  type Metadata,
  type MetadataEntry,
  MetadataEntrySchema,
  MetadataSchema,
} from "../../gen/causeway/exchange/v1/frames_pb.ts";

/** Octets that HTTP/2 adds to name and value when it measures a header list (RFC 9113 section 6.5.2). */
const fieldOverheadBytes = 32;

/** Fields of one hop: HTTP's own, and those of the message framing. `grpc-*` and pseudo-headers besides. */
const hopFields: ReadonlySet<string> = new Set([
  "te",
  "content-type",
  "content-length",
  "content-encoding",
  "accept-encoding",
  "host",
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** Fields that node:http2 throws on when they are given twice; the rest of its list cannot be sent by a caller. */
const singleFields: ReadonlySet<string> = new Set([
  "access-control-allow-credentials",
  "access-control-max-age",
  "access-control-request-method",
  "age",
  "authorization",
  "content-language",
  "content-location",
  "content-md5",
  "content-range",
  "date",
  "dnt",
  "etag",
  "expires",
  "from",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "last-modified",
  "location",
  "max-forwards",
  "proxy-authorization",
  "range",
  "referer",
  "retry-after",
  "tk",
  "upgrade-insecure-requests",
  "user-agent",
  "x-content-type-options",
]);

function isHopField(key: string): boolean {
  return key.startsWith(":") || key.startsWith("grpc-") || hopFields.has(key);
}

/**
 * The metadata of a received header list, as node:http2 gives it raw: name, value, name, value.
 * Order is kept and every entry stands alone; `-bin` values are decoded, also when several came joined.
 * Throws METADATA_TOO_LARGE for the whole list, PROTOCOL_ERROR for a `-bin` value that is no base64.
 */
export function metadataFromFields(rawHeaders: readonly string[]): Metadata {
  assertFieldsFit(rawHeaders);
  const entries: MetadataEntry[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const key = (rawHeaders[i] as string).toLowerCase();
    const value = rawHeaders[i + 1] as string;
    if (isHopField(key)) continue;
    if (key.endsWith("-bin")) {
      for (const part of value.split(",")) entries.push(entry(key, decodeBinary(part)));
    } else {
      entries.push(entry(key, plain(Buffer.from(value, "latin1"))));
    }
  }
  return createMessage(MetadataSchema, { entries });
}

/** The value of a field of the framing in a raw header list; the first one counts. */
export function fieldOf(rawHeaders: readonly string[], name: string): string | undefined {
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    if (rawHeaders[i] === name) return rawHeaders[i + 1];
  }
  return undefined;
}

/**
 * The header fields of metadata, to be sent. Entries that belong to one hop are left out.
 * Throws PROTOCOL_ERROR for a key or value that HTTP/2 cannot carry, METADATA_TOO_LARGE.
 */
export function fieldsFromMetadata(metadata: Metadata | undefined): OutgoingHttpHeaders {
  const fields: OutgoingHttpHeaders = Object.create(null) as OutgoingHttpHeaders;
  let bytes = 0;
  for (const { key, value } of metadata?.entries ?? []) {
    if (isHopField(key)) continue;
    if (!/^[0-9a-z_.-]+$/.test(key)) throw notCarried();
    const text = key.endsWith("-bin") ? encodeBinary(value) : asciiValue(value);
    bytes += key.length + text.length + fieldOverheadBytes;
    append(fields, key, text);
  }
  if (bytes > metadataBytesMax) throw tooLarge(bytes);
  return fields;
}

/** Bytes of metadata as HTTP/2 measures a header list: names, encoded values, 32 for each entry. */
export function metadataBytes(metadata: Metadata): number {
  let bytes = 0;
  for (const { key, value } of metadata.entries) {
    const length = key.endsWith("-bin") ? Math.ceil(value.length / 3) * 4 : value.length;
    bytes += key.length + length + fieldOverheadBytes;
  }
  return bytes;
}

/** Throws as `fieldsFromMetadata` does, for a check before anything rests on the metadata. */
export function assertMetadata(metadata: Metadata): void {
  fieldsFromMetadata(metadata);
}

/** Base64 of a `-bin` value, padded or not, white space around it ignored. Throws PROTOCOL_ERROR. */
export function decodeBinary(text: string): Uint8Array {
  const bare = text.trim().replace(/={1,2}$/, "");
  if (!/^[A-Za-z0-9+/]*$/.test(bare) || bare.length % 4 === 1) {
    throw new CausewayError("PROTOCOL_ERROR", "a -bin entry is not base64");
  }
  return plain(Buffer.from(bare, "base64"));
}

/** Unpadded base64, as the gRPC protocol asks of senders. */
export function encodeBinary(value: Uint8Array): string {
  return toBase64(value).replace(/=+$/, "");
}

function append(fields: OutgoingHttpHeaders, key: string, text: string): void {
  const before = fields[key];
  if (before === undefined) fields[key] = text;
  else if (singleFields.has(key)) fields[key] = `${String(before)},${text}`;
  else if (Array.isArray(before)) before.push(text);
  else fields[key] = [String(before), text];
}

// Bytes from 0x80 pass as they are: HTTP/2 carries them, though gRPC asks for `-bin`.
function asciiValue(value: Uint8Array): string {
  const text = latin1(value);
  if (/[^\t\x20-\x7e\x80-\xff]|^[\t ]|[\t ]$/.test(text)) throw notCarried();
  return text;
}

/** A short array lies in the heap until something asks for its buffer. */
const inHeapBytesMax = 64;

function latin1(value: Uint8Array): string {
  if (value.length <= inHeapBytesMax) return mapKey(value);
  return Buffer.from(value.buffer, value.byteOffset, value.length).toString("latin1");
}

function assertFieldsFit(rawHeaders: readonly string[]): void {
  let bytes = (rawHeaders.length / 2) * fieldOverheadBytes;
  for (const text of rawHeaders) bytes += text.length;
  if (bytes > metadataBytesMax) throw tooLarge(bytes);
}

function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

function entry(key: string, value: Uint8Array): MetadataEntry {
  return createMessage(MetadataEntrySchema, { key, value });
}

function notCarried(): CausewayError {
  return new CausewayError("PROTOCOL_ERROR", "an entry that HTTP/2 cannot carry");
}

function tooLarge(bytes: number): CausewayError {
  return new CausewayError(
    "METADATA_TOO_LARGE",
    `a header list of ${bytes} bytes; the limit is ${metadataBytesMax}`,
  );
}
