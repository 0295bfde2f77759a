/** The status of a call as the JSON of `google.rpc.Status`, for callers that speak HTTP. */
import {
  createRegistry,
  fromBinary,
  type JsonValue,
  type Registry,
  toJson,
} from "@bufbuild/protobuf";
import { parseUtf8 } from "../../src/base/bytes.ts";
import type { CausewayError } from "../../src/base/errors.ts";
import type { StatusFrame } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import {
  ErrorInfoSchema,
  HelpSchema,
  LocalizedMessageSchema,
} from "../../src/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";

const known: Registry = createRegistry(ErrorInfoSchema, HelpSchema, LocalizedMessageSchema);

const invalidArgument = 3;
const descriptionMax = 300;

/**
 * Details of a type that is not known here keep their type, and their bytes in base64 as `value`.
 *
 * @param fault what is wrong with the request, where it was found while the caller's own bytes were read: it
 * is told to that caller, and to nobody else.
 */
export function errorJson(status: StatusFrame, fault?: CausewayError): JsonValue {
  const plain = { code: status.code, message: parseUtf8(status.message) ?? "" };
  if (status.details.length === 0) return plain;
  try {
    const { details } = fromBinary(StatusSchema, status.details);
    const violations =
      status.code === invalidArgument && fault !== undefined ? [violationJson(fault)] : [];
    return { ...plain, details: [...details.map(detailJson), ...violations] };
  } catch {
    // What the bytes say of themselves is their sender's; the code stands.
    return plain;
  }
}

/** As `google.rpc.BadRequest`. */
function violationJson(fault: CausewayError): JsonValue {
  const { cause, fields, message } = fault;
  const text = cause instanceof Error ? `${message}: ${cause.message}` : message;
  const description = text.length > descriptionMax ? `${text.slice(0, descriptionMax)}…` : text;
  const { field } = fields;
  return {
    "@type": "type.googleapis.com/google.rpc.BadRequest",
    fieldViolations: [{ ...(field === undefined ? {} : { field }), description }],
  };
}

function detailJson({ typeUrl, value }: { typeUrl: string; value: Uint8Array }): JsonValue {
  const type = known.getMessage(typeUrl.slice(typeUrl.lastIndexOf("/") + 1));
  if (type !== undefined) {
    const json = toJson(type, fromBinary(type, value)) as Record<string, JsonValue>;
    return { "@type": typeUrl, ...json };
  }
  return { "@type": typeUrl, value: Buffer.from(value).toString("base64") };
}
