/** W3C trace context in the metadata of a call: read strictly, passed on as it came unless a span is recorded. */
import { utf8 } from "../base/bytes.ts";
import { createMessage } from "../base/create-message.ts";
import {
  type Metadata,
  MetadataEntrySchema,
  MetadataSchema,
} from "../gen/causeway/exchange/v1/frames_pb.ts";

const key = "traceparent";

/** Version 00: version, trace id, parent id and flags, in lower-case hex. */
const format = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Whether `text` is a `traceparent` of version 00. */
export function isTraceparent(text: string): boolean {
  return format.test(text);
}

/** The `traceparent` of a call's headers; `undefined` when there is none, several, or one of another form. */
export function traceparentOf(headers: Metadata): string | undefined {
  const found = headers.entries.filter((entry) => entry.key === key);
  const [entry] = found;
  if (entry === undefined || found.length > 1) return undefined;
  const text = String.fromCharCode(...entry.value.subarray(0, 64));
  return isTraceparent(text) ? text : undefined;
}

/**
 * The headers with a span's `traceparent` in the place of the one before; `tracestate` stays when there
 * was one. Without a span the very same headers.
 */
export function withTraceparent(headers: Metadata, trace: string | undefined): Metadata {
  if (trace === undefined) return headers;
  const replaced = createMessage(MetadataEntrySchema, { key, value: utf8(trace) });
  const isContinued = traceparentOf(headers) !== undefined;
  const others = headers.entries.filter(
    (entry) => entry.key !== key && (isContinued || entry.key !== "tracestate"),
  );
  return createMessage(MetadataSchema, { entries: [...others, replaced] });
}
