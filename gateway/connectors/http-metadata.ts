/** Metadata of a call as header fields of HTTP/1.1, and back: lists of what passes, so that nothing of one hop does. */
import { create } from "@bufbuild/protobuf";
import { CausewayError } from "../../src/base/errors.ts";
import { metadataBytesMax } from "../../src/base/limits.ts";
import { reservedPrefix } from "../../src/exchange/call-metadata.ts";
import {
  decodeBinary,
  encodeBinary,
  metadataBytes,
} from "../../src/exchange/transport/metadata.ts";
import {
  type Metadata,
  MetadataEntrySchema,
  MetadataSchema,
} from "../../src/gen/causeway/exchange/v1/frames_pb.ts";

/** What passes towards a service beside the facts of the call. */
export const requestFields: readonly string[] = [
  "accept-language",
  "baggage",
  "traceparent",
  "tracestate",
  "x-request-id",
];

/** What passes back. */
export const answerFields: readonly string[] = [
  "content-language",
  "etag",
  "last-modified",
  "retry-after",
  "x-request-id",
];

/** Fields that belong to one hop, to its body or to its credentials, whatever a configuration lists. */
const neverPassed: ReadonlySet<string> = new Set([
  "authorization",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "cookie",
  "expect",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "set-cookie",
  "set-cookie2",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Whether a configuration may list the field. */
export function mayPass(name: string): boolean {
  return (
    /^[a-z0-9][a-z0-9_.-]{0,63}$/.test(name) &&
    !neverPassed.has(name) &&
    !name.startsWith(reservedPrefix) &&
    !name.startsWith("grpc-")
  );
}

/** Header fields of metadata: the facts of the call, and what stands in `passed`. */
export function fieldsOfMetadata(
  metadata: Metadata,
  passed: ReadonlySet<string>,
): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = Object.create(null) as Record<string, string[]>;
  for (const { key, value } of metadata.entries) {
    if (!key.startsWith(reservedPrefix) && !passed.has(key)) continue;
    const text = key.endsWith("-bin") ? encodeBinary(value) : Buffer.from(value).toString("latin1");
    const before = fields[key];
    fields[key] = before === undefined ? text : [...[before].flat(), text];
  }
  return fields;
}

/**
 * The metadata of raw header fields, name and value in turn, of which `passes` says which count.
 * Throws METADATA_TOO_LARGE, PROTOCOL_ERROR for a `-bin` value that is no base64.
 */
export function metadataOfFields(
  raw: readonly string[],
  passes: (name: string) => boolean,
): Metadata {
  const metadata = create(MetadataSchema);
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const key = (raw[i] as string).toLowerCase();
    if (!passes(key)) continue;
    const text = (raw[i + 1] as string).trim();
    const values = key.endsWith("-bin")
      ? text.split(",").map(decodeBinary)
      : [new Uint8Array(Buffer.from(text, "latin1"))];
    for (const value of values) metadata.entries.push(create(MetadataEntrySchema, { key, value }));
  }
  if (metadataBytes(metadata) > metadataBytesMax) {
    throw new CausewayError("METADATA_TOO_LARGE", "the header fields are larger than their limit");
  }
  return metadata;
}
