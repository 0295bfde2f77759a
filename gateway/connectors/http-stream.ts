/** Calls of an HTTP service that are open: one request, and an answer of one JSON value or many. */
import type { IncomingMessage } from "node:http";
import { parseUtf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { jsonBytesPerMessageByte } from "../../src/base/limits.ts";
import type {
  UpstreamListener,
  UpstreamStream,
  UpstreamStreamCall,
} from "../../src/exchange/transport/ports.ts";
import { plainStatus } from "../../src/exchange/transport/trailers.ts";
import type { StatusFrame } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { messageOfHttpAnswer } from "../transcoding/http-answer.ts";
import { JsonValues } from "../transcoding/json-values.ts";
import { hasRawAnswer, jsonTextOfRaw } from "../transcoding/raw-body.ts";
import { decodedBody, isJsonType, readText } from "./http-body.ts";
import { metadataOfFields } from "./http-metadata.ts";
import {
  type HttpUpstream,
  isPrepared,
  isSuccess,
  messageOf,
  methodAt,
  prepare,
  type PreparedCall,
  readAnswer,
  statusOf,
} from "./http-prepare.ts";
import { type AnswerSink, openFailed, openOneRequest } from "./one-request.ts";

export function openHttpStream(
  upstream: HttpUpstream,
  call: UpstreamStreamCall,
  listener: UpstreamListener,
): UpstreamStream {
  const fault = faultOf(upstream, call.path);
  if (fault !== undefined) return openFailed(listener, fault);
  const { calls, options } = upstream;
  return openOneRequest(call, listener, options.scheduler, (message, sink, signal) =>
    calls.run(() => relayCall(upstream, call, { message, sink, signal })),
  );
}

async function relayCall(
  upstream: HttpUpstream,
  { path, headers, messageBytesMax }: UpstreamStreamCall,
  request: {
    readonly message: Uint8Array;
    readonly sink: AnswerSink;
    readonly signal: AbortSignal;
  },
): Promise<StatusFrame> {
  const { message, sink, signal } = request;
  const prepared = prepare(upstream, { path, headers, message, timeoutMs: undefined, signal });
  if (!isPrepared(prepared)) return prepared;
  const sent = prepared.send();
  try {
    const response = await sent.response;
    const relay = prepared.method.proto.serverStreaming ? relayValues : relayOne;
    const status = await relay(upstream, { prepared, response, sink, messageBytesMax });
    sent.finish();
    return status;
  } catch (error) {
    sent.abandon();
    throw sent.explain(error);
  }
}

function faultOf(upstream: HttpUpstream, path: string): CausewayError | undefined {
  try {
    const { method } = methodAt(upstream, path);
    return method?.proto.clientStreaming === true
      ? new CausewayError("CALL_TYPE_UNSUPPORTED", "HTTP/JSON takes one request message")
      : undefined;
  } catch (error) {
    if (error instanceof CausewayError) return error;
    throw error;
  }
}

interface Relay {
  readonly prepared: PreparedCall;
  readonly response: IncomingMessage;
  readonly sink: AnswerSink;
  readonly messageBytesMax: number;
}

async function relayOne(upstream: HttpUpstream, relay: Relay): Promise<StatusFrame> {
  const { prepared, response, sink, messageBytesMax } = relay;
  const { headers, messages, status } = await readAnswer(
    upstream,
    prepared,
    response,
    messageBytesMax,
  );
  sink.headers(headers);
  for (const message of messages) await sink.message(message);
  return status;
}

async function relayValues(upstream: HttpUpstream, relay: Relay): Promise<StatusFrame> {
  const { prepared, response, sink, messageBytesMax } = relay;
  const headers = metadataOfFields(response.rawHeaders, (name) => upstream.answered.has(name));
  const textMax = messageBytesMax * jsonBytesPerMessageByte;
  if (!isSuccess(response)) {
    const status = statusOf(prepared, response, await readText(response, textMax));
    sink.headers(headers);
    return status as StatusFrame;
  }
  if (hasRawAnswer(prepared.method, prepared.binding)) {
    sink.headers(headers);
    return relayBytes(relay);
  }
  if (!isJsonType(response.headers["content-type"])) {
    throw new CausewayError("PROTOCOL_ERROR", "the answer is not JSON by its content-type");
  }
  sink.headers(headers);
  const values = new JsonValues(textMax);
  for await (const chunk of decodedBody(response)) {
    for (const value of values.push(chunk as Uint8Array)) {
      await sink.message(oneMessage(prepared, value, messageBytesMax));
    }
  }
  values.finish();
  return plainStatus(0, "");
}

/** Each piece of a raw answer is a message; the first one says its type. */
async function relayBytes({
  prepared,
  response,
  sink,
  messageBytesMax,
}: Relay): Promise<StatusFrame> {
  let contentType = response.headers["content-type"] ?? "";
  const encode = (data: Uint8Array): Uint8Array => {
    const text = jsonTextOfRaw({ contentType, data });
    contentType = "";
    return oneMessage(prepared, Buffer.from(text), messageBytesMax);
  };
  // With room for the type, and for the framing of both.
  const pieceBytesMax = Math.max(1, messageBytesMax - contentType.length - 32);
  for await (const chunk of decodedBody(response)) {
    const bytes = chunk as Uint8Array;
    for (let at = 0; at < bytes.length; at += pieceBytesMax) {
      await sink.message(encode(bytes.subarray(at, at + pieceBytesMax)));
    }
  }
  if (contentType !== "") await sink.message(encode(new Uint8Array(0)));
  return plainStatus(0, "");
}

function oneMessage(
  { method, binding, descriptors }: PreparedCall,
  value: Uint8Array,
  messageBytesMax: number,
): Uint8Array {
  const text = parseUtf8(value);
  if (text === undefined) throw new CausewayError("PROTOCOL_ERROR", "the answer is no UTF-8");
  const message = messageOf(() => messageOfHttpAnswer(method, binding, text, descriptors.registry));
  if (message.length > messageBytesMax) {
    throw new CausewayError("MESSAGE_TOO_LARGE", "a message is larger than its limit");
  }
  return message;
}
