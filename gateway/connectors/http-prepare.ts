/** What a call becomes for an HTTP service, and what the service's answer is for the call. */
import type { IncomingMessage } from "node:http";
import type { DescMethod } from "@bufbuild/protobuf";
import type { ClientTls } from "../../src/exchange/transport/client-tls.ts";
import { utf8 } from "../../src/base/bytes.ts";
import type { Scheduler } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { jsonBytesPerMessageByte } from "../../src/base/limits.ts";
import type { UnaryAnswer, UpstreamCall } from "../../src/exchange/transport/ports.ts";
import { plainStatus } from "../../src/exchange/transport/trailers.ts";
import type { StatusFrame } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { messageOfHttpAnswer, statusOfHttpAnswer } from "../transcoding/http-answer.ts";
import { bindingsOf, type HttpBinding } from "../transcoding/http-binding.ts";
import { httpRequestOf } from "../transcoding/http-request.ts";
import type { FieldNames } from "../transcoding/message-json.ts";
import type { ServiceDescriptors } from "../transcoding/service-descriptors.ts";
import { hasRawAnswer, jsonTextOfRaw } from "../transcoding/raw-body.ts";
import { isJsonType, readBytes, readText } from "./http-body.ts";
import { type HttpCall, type HttpOrigin, sendHttp } from "./http-call.ts";
import { fieldsOfMetadata, metadataOfFields } from "./http-metadata.ts";
import type { OpenCalls } from "./open-calls.ts";

export interface HttpUpstreamOptions {
  /** Absolute `http:` or `https:` URL without query; its path is put before every method's. */
  readonly baseUrl: string;
  /** The service's published types; `undefined` while nothing is published here. */
  descriptors(): ServiceDescriptors | undefined;
  readonly scheduler: Scheduler;
  readonly names: FieldNames;
  /** Value of the `authorization` field of every request. */
  readonly authorization?: string | undefined;
  /** PEM, for `https:`. */
  readonly tls?: ClientTls | undefined;
  /** Fields that pass beside the standing ones, in lower case. */
  readonly requestFields?: readonly string[] | undefined;
  readonly answerFields?: readonly string[] | undefined;
  readonly connectionsMax: number;
}

/** What the calls of one connector share. */
export interface HttpUpstream {
  readonly origin: HttpOrigin;
  readonly calls: OpenCalls;
  readonly options: HttpUpstreamOptions;
  readonly passed: ReadonlySet<string>;
  readonly answered: ReadonlySet<string>;
}

/** A call that is ready to be sent, with what its answer is read by. */
export interface PreparedCall {
  readonly method: DescMethod;
  readonly binding: HttpBinding;
  readonly descriptors: ServiceDescriptors;
  send(): HttpCall;
}

const bindings = new WeakMap<DescMethod, readonly HttpBinding[]>();

function bindingsFor(method: DescMethod): readonly HttpBinding[] {
  const known = bindings.get(method) ?? bindingsOf(method);
  bindings.set(method, known);
  return known;
}

/** The service's method at a path. Throws UPSTREAM_UNAVAILABLE while nothing is published here. */
export function methodAt(
  upstream: HttpUpstream,
  path: string,
): { readonly descriptors: ServiceDescriptors; readonly method: DescMethod | undefined } {
  const descriptors = upstream.options.descriptors();
  if (descriptors === undefined) {
    throw new CausewayError("UPSTREAM_UNAVAILABLE", "the service is not published here yet", {
      fields: { sent: "no" },
    });
  }
  return { descriptors, method: descriptors.method(path) };
}

/** The HTTP request of a call, or the status that it has without one. */
export function prepare(
  upstream: HttpUpstream,
  call: Pick<UpstreamCall, "path" | "headers" | "message" | "timeoutMs" | "signal">,
): PreparedCall | StatusFrame {
  const { descriptors, method } = methodAt(upstream, call.path);
  const { names, authorization } = upstream.options;
  const { registry } = descriptors;
  let found: readonly HttpBinding[];
  try {
    found = method === undefined ? [] : bindingsFor(method);
  } catch {
    return plainStatus(13, "the HTTP annotation of the method is not valid");
  }
  const [binding] = found;
  if (method === undefined || binding === undefined) {
    return plainStatus(12, "the method has no HTTP annotation");
  }
  let parts: ReturnType<typeof httpRequestOf>;
  try {
    parts = httpRequestOf(method, found, call.message, { registry, names });
  } catch {
    return plainStatus(3, "the request is not a message of the method");
  }
  if (parts === undefined) return plainStatus(3, "the request does not fit the method's path");
  const { verb, target } = parts;
  const body = parts.body === undefined ? undefined : Buffer.from(parts.body.data);
  const headers: Record<string, string | string[]> = {
    ...fieldsOfMetadata(call.headers, upstream.passed),
    accept: acceptedOf(method, parts.binding),
    "accept-encoding": "gzip",
    "user-agent": "causeway",
    ...(authorization === undefined ? {} : { authorization }),
    ...(body === undefined
      ? {}
      : {
          "content-type": parts.body?.contentType as string,
          "content-length": String(body.length),
        }),
  };
  const { timeoutMs, signal } = call;
  return {
    method,
    binding: parts.binding,
    descriptors,
    send: () => sendHttp(upstream.origin, { verb, target, headers, body, timeoutMs, signal }),
  };
}

function acceptedOf(method: DescMethod, binding: HttpBinding): string {
  if (hasRawAnswer(method, binding)) return "*/*";
  const isStream = method.proto.serverStreaming;
  return isStream ? "application/x-ndjson, application/json" : "application/json";
}

/** Whether a call is to be sent. */
export function isPrepared(prepared: PreparedCall | StatusFrame): prepared is PreparedCall {
  return "send" in prepared;
}

/** The answer of a method with one message. */
export async function readAnswer(
  upstream: HttpUpstream,
  prepared: PreparedCall,
  response: IncomingMessage,
  answerBytesMax: number,
): Promise<UnaryAnswer> {
  const headers = metadataOfFields(response.rawHeaders, (name) => upstream.answered.has(name));
  const { method, binding, descriptors } = prepared;
  const isRaw = hasRawAnswer(method, binding) && isSuccess(response);
  const text = isRaw
    ? await readRaw(response, answerBytesMax)
    : await readText(response, answerBytesMax * jsonBytesPerMessageByte);
  const status = statusOf(prepared, response, text);
  if (status !== undefined) return { headers, messages: [], status };
  if (!isRaw && text !== "" && !isJsonType(response.headers["content-type"])) {
    throw new CausewayError("PROTOCOL_ERROR", "the answer is not JSON by its content-type");
  }
  const message = messageOf(() => messageOfHttpAnswer(method, binding, text, descriptors.registry));
  if (message.length > answerBytesMax) {
    throw new CausewayError("MESSAGE_TOO_LARGE", "the answer is larger than its limit");
  }
  return { headers, messages: [message], status: plainStatus(0, "") };
}

/** The JSON of the message that a raw answer is. */
async function readRaw(response: IncomingMessage, bytesMax: number): Promise<string> {
  const data = await readBytes(response, bytesMax);
  return jsonTextOfRaw({ contentType: response.headers["content-type"] ?? "", data });
}

export function isSuccess({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
}

/** What an answer of JSON that is no message of the method means here. */
export function messageOf(decode: () => Uint8Array): Uint8Array {
  try {
    return decode();
  } catch (cause) {
    throw new CausewayError("PROTOCOL_ERROR", "the answer is no message of the method", { cause });
  }
}

/** The status of an answer that is no success. */
export function statusOf(
  { descriptors }: PreparedCall,
  response: IncomingMessage,
  text: string,
): StatusFrame | undefined {
  if (isSuccess(response)) return undefined;
  const httpStatus = response.statusCode ?? 0;
  const isJson = isJsonType(response.headers["content-type"]);
  const told = statusOfHttpAnswer(httpStatus, isJson ? text : "", descriptors.registry);
  const status = plainStatus(told.grpcCode, "");
  status.message = utf8(told.message);
  status.details = told.details;
  return status;
}
