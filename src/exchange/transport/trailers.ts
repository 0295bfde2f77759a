/** The status of a call between its frame and the HTTP/2 trailers that carry it. */
import { constants, type OutgoingHttpHeaders } from "node:http2";
import { emptyBytes, utf8 } from "../../base/bytes.ts";
import { createMessage } from "../../base/create-message.ts";
import { CausewayError } from "../../base/errors.ts";
import { metadataBytesMax } from "../../base/limits.ts";
import {
  MetadataSchema,
  type StatusFrame,
  StatusFrameSchema,
} from "../../gen/causeway/exchange/v1/frames_pb.ts";
import {
  decodeBinary,
  encodeBinary,
  fieldOf,
  fieldsFromMetadata,
  metadataFromFields,
} from "./metadata.ts";
import { percentDecode, percentEncode } from "./percent.ts";

const statusKey = "grpc-status";
const messageKey = "grpc-message";
const detailsKey = "grpc-status-details-bin";

/**
 * The trailers of a status. Throws METADATA_TOO_LARGE when they exceed the limit together, and
 * PROTOCOL_ERROR for entries that HTTP/2 cannot carry.
 */
export function trailersFromStatus(status: StatusFrame): OutgoingHttpHeaders {
  const fields = fieldsFromMetadata(status.trailers);
  fields[statusKey] = String(status.code);
  let bytes = 0;
  if (status.message.length > 0) {
    const message = percentEncode(status.message);
    fields[messageKey] = message;
    bytes += messageKey.length + message.length + 32;
  }
  if (status.details.length > 0) {
    const details = encodeBinary(status.details);
    fields[detailsKey] = details;
    bytes += detailsKey.length + details.length + 32;
  }
  if (bytes > metadataBytesMax) {
    throw new CausewayError("METADATA_TOO_LARGE", "the status is larger than its limit");
  }
  return fields;
}

/** Whether a raw header list ends a call: trailers, or a trailers-only answer. */
export function hasStatus(rawHeaders: readonly string[]): boolean {
  return fieldOf(rawHeaders, statusKey) !== undefined;
}

/**
 * The status that a raw header list carries. A code that is no gRPC code is UNKNOWN, details that
 * are no base64 are left out: a status is not to be lost. Throws METADATA_TOO_LARGE, PROTOCOL_ERROR.
 */
export function statusFromTrailers(rawHeaders: readonly string[]): StatusFrame {
  const code = fieldOf(rawHeaders, statusKey) ?? "";
  const details = fieldOf(rawHeaders, detailsKey);
  return createMessage(StatusFrameSchema, {
    code: /^(?:\d|1[0-6])$/.test(code) ? Number(code) : grpcCode.UNKNOWN,
    message: percentDecode(fieldOf(rawHeaders, messageKey) ?? ""),
    details: details === undefined ? emptyBytes : lenientBinary(details),
    trailers: metadataFromFields(rawHeaders),
  });
}

function lenientBinary(text: string): Uint8Array {
  try {
    return decodeBinary(text);
  } catch {
    return emptyBytes;
  }
}

const grpcCode = {
  CANCELLED: 1,
  UNKNOWN: 2,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

/** The status of an answer that carries none, by its HTTP status (gRPC's http-grpc-status-mapping). */
export function statusFromHttp(httpStatus: number): StatusFrame {
  const codes: Readonly<Record<number, number>> = {
    400: grpcCode.INTERNAL,
    401: grpcCode.UNAUTHENTICATED,
    403: grpcCode.PERMISSION_DENIED,
    404: grpcCode.UNIMPLEMENTED,
    429: grpcCode.UNAVAILABLE,
    502: grpcCode.UNAVAILABLE,
    503: grpcCode.UNAVAILABLE,
    504: grpcCode.UNAVAILABLE,
  };
  return plainStatus(codes[httpStatus] ?? grpcCode.UNKNOWN, `HTTP status ${httpStatus}`);
}

/** The status of a stream that was reset (gRPC over HTTP/2, "Errors"). */
export function statusFromReset(http2Code: number): StatusFrame {
  const codes: Readonly<Record<number, number>> = {
    [constants.NGHTTP2_REFUSED_STREAM]: grpcCode.UNAVAILABLE,
    [constants.NGHTTP2_CANCEL]: grpcCode.CANCELLED,
    [constants.NGHTTP2_ENHANCE_YOUR_CALM]: grpcCode.RESOURCE_EXHAUSTED,
    [constants.NGHTTP2_INADEQUATE_SECURITY]: grpcCode.PERMISSION_DENIED,
  };
  return plainStatus(codes[http2Code] ?? grpcCode.INTERNAL, `the stream was reset: ${http2Code}`);
}

/** A status of the transport itself, in English, without details. */
export function plainStatus(code: number, message: string): StatusFrame {
  return createMessage(StatusFrameSchema, {
    code,
    message: utf8(message),
    details: emptyBytes,
    trailers: createMessage(MetadataSchema, {}),
  });
}
