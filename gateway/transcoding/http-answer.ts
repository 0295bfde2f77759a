/** What an HTTP service answered, as a message or a gRPC status. */
import {
  createRegistry,
  type DescMethod,
  fromJson,
  type JsonValue,
  type Registry,
  toBinary,
} from "@bufbuild/protobuf";
import {
  ErrorInfoSchema,
  HelpSchema,
  LocalizedMessageSchema,
} from "../../src/gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";
import type { Json, JsonObject } from "./field-path.ts";
import type { HttpBinding } from "./http-binding.ts";
import { grpcCodeNames, grpcCodeOf } from "./http-status.ts";
import { messageOfJson, wrapped } from "./message-json.ts";

/**
 * The encoded message of a successful answer; of a raw body `body` is the JSON of its message. Members that the message does not have are left out: they
 * are not part of what the service publishes. Throws MALFORMED.
 */
export function messageOfHttpAnswer(
  method: DescMethod,
  binding: HttpBinding,
  body: string,
  registry: Registry,
): Uint8Array {
  const { responseBody } = binding;
  const text = body === "" ? "{}" : responseBody === undefined ? body : wrapped(responseBody, body);
  return messageOfJson(method.output, text, { registry, unknown: "ignored" });
}

export interface HttpErrorStatus {
  readonly grpcCode: number;
  readonly message: string;
  /** Encoded `google.rpc.Status`; empty when the service gave none. */
  readonly details: Uint8Array;
}

const details = createRegistry(ErrorInfoSchema, LocalizedMessageSchema, HelpSchema);

/**
 * The status of an answer that is no success. A body that is a `google.rpc.Status` in JSON, by itself or
 * as the member `error` with a name in `status`, is taken at its word; of any other body nothing passes.
 */
export function statusOfHttpAnswer(
  httpStatus: number,
  body: string,
  registry: Registry,
): HttpErrorStatus {
  const told = statusOfBody(body, registry);
  if (told === undefined) {
    const message = `HTTP status ${httpStatus}`;
    return { grpcCode: grpcCodeOf(httpStatus), message, details: new Uint8Array(0) };
  }
  const { code: grpcCode, message } = told;
  return {
    grpcCode,
    message,
    details: told.details.length === 0 ? new Uint8Array(0) : toBinary(StatusSchema, told),
  };
}

function statusOfBody(body: string, registry: Registry): Status | undefined {
  const json = parsedObject(body);
  if (json === undefined) return undefined;
  const inner = json["error"];
  const form = isObject(inner) ? { ...inner, code: codeNamed(inner["status"]) } : json;
  const { code, message = "", details: given } = form as Record<string, Json | undefined>;
  if (typeof code !== "number" || !Number.isInteger(code) || code < 1 || code > 16)
    return undefined;
  if (typeof message !== "string") return undefined;
  return (
    statusWith({ code, message, details: Array.isArray(given) ? given : [] }, registry) ??
    statusWith({ code, message }, registry)
  );
}

// A detail of a type that nobody published cannot be encoded: then the status goes without details.
function statusWith(json: JsonObject, registry: Registry): Status | undefined {
  try {
    const known = createRegistry(registry, details);
    return fromJson(StatusSchema, json as JsonValue, { registry: known });
  } catch {
    return undefined;
  }
}

function codeNamed(name: Json | undefined): number | null {
  const code = typeof name === "string" ? grpcCodeNames.indexOf(name) : -1;
  return code < 0 ? null : code;
}

function parsedObject(text: string): JsonObject | undefined {
  try {
    const json = JSON.parse(text) as Json;
    return isObject(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

function isObject(json: Json | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
