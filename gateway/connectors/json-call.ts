/** A call of a program that speaks HTTP and JSON, as the consumer's side takes it. */
import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import { create } from "@bufbuild/protobuf";
import { CausewayError } from "../../src/base/errors.ts";
import { jsonBytesPerMessageByte } from "../../src/base/limits.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { statusOf } from "../../src/exchange/status.ts";
import type { IncomingCall } from "../../src/exchange/transport/ports.ts";
import {
  type Metadata,
  MetadataSchema,
  type StatusFrame,
} from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import type { RoutedMethod } from "../transcoding/catalogue-routes.ts";
import { errorJson } from "../transcoding/error-json.ts";
import { httpStatusOf } from "../transcoding/http-status.ts";
import { messageOfHttpRequest } from "../transcoding/http-request.ts";
import { jsonOfField, jsonOfMessage } from "../transcoding/message-json.ts";
import {
  anyContentType,
  hasRawAnswer,
  hasRawRequest,
  isContentType,
  jsonTextOfRaw,
  rawOfJson,
} from "../transcoding/raw-body.ts";
import type { RouteMatch } from "../transcoding/routes.ts";
import { isJsonType, readBytes, readText } from "./http-body.ts";
import { fieldsOfMetadata } from "./http-metadata.ts";

export type JsonRequest = IncomingMessage | Http2ServerRequest;
/** Responses of both versions, as far as they are used here. */
export interface JsonResponse {
  readonly headersSent: boolean;
  /** Of HTTP/2, what stands for it; none once the response is over. */
  readonly socket: { readonly destroyed: boolean } | null | undefined;
  writeHead(status: number, headers: OutgoingHttpHeaders): unknown;
  write(data: string | Uint8Array, left?: (error?: Error | null) => void): boolean;
  addTrailers(trailers: OutgoingHttpHeaders): unknown;
  end(data: string | Uint8Array): unknown;
  destroy(): unknown;
  on(event: "error", listener: () => void): unknown;
  once(event: "close" | "drain", listener: () => void): unknown;
  off(event: "close" | "drain", listener: () => void): unknown;
}

/** Where a request leads, or why it leads nowhere. */
export type JsonRoute = RouteMatch<RoutedMethod> | CausewayError;

export interface JsonCallOptions {
  readonly request: JsonRequest;
  readonly response: JsonResponse;
  readonly headers: Metadata;
  readonly timeoutMs: number;
  readonly peerCertificate: Uint8Array | undefined;
  readonly messageBytesMax: number;
  /** Metadata of an answer that becomes header fields, beside the exchange's own. */
  readonly passed: ReadonlySet<string>;
}

const jsonType = "application/json";
const linesType = "application/x-ndjson";
const exchangeTrailers = "causeway-exchange-id, causeway-receipt";

export class JsonCall implements IncomingCall {
  readonly headers: Metadata;
  readonly timeoutMs: number;
  readonly peerCertificate: Uint8Array | undefined;
  readonly #options: JsonCallOptions;
  #route: JsonRoute = new CausewayError("METHOD_UNKNOWN", "the call has no route yet");
  #path: string;
  #wasRead = false;
  /** What was read ahead. */
  #request: Uint8Array | undefined;
  #answerHeaders: Metadata = create(MetadataSchema);
  #message: Uint8Array | undefined;
  #hasEnded = false;
  /** What is wrong with the request. */
  #fault: CausewayError | undefined;

  constructor(options: JsonCallOptions) {
    this.#options = options;
    this.headers = options.headers;
    this.timeoutMs = options.timeoutMs;
    this.peerCertificate = options.peerCertificate;
    const { method, url } = options.request;
    this.#path = `${method ?? ""} ${url ?? ""}`;
  }

  /** The method path; of a request that leads to none what it asked for, which is never a method path. */
  get path(): string {
    return this.#path;
  }

  /** @param path for a route that is an error: the method that it is an error of, when there is one. */
  routeTo(route: JsonRoute, path?: string): void {
    this.#route = route;
    this.#path = route instanceof CausewayError ? (path ?? this.#path) : route.target.path;
  }

  /** HTTP and JSON carry one request message. */
  get unsupported(): ReasonCode | undefined {
    const route = this.#route;
    const isOpen = !(route instanceof CausewayError) && route.target.method.proto.clientStreaming;
    return isOpen ? "CALL_TYPE_UNSUPPORTED" : undefined;
  }

  async readAhead(): Promise<undefined> {
    this.#request = await this.read();
  }

  async read(): Promise<Uint8Array | undefined> {
    if (this.#request !== undefined) {
      const request = this.#request;
      this.#request = undefined;
      return request;
    }
    if (this.#wasRead) return undefined;
    this.#wasRead = true;
    const route = this.#route;
    if (route instanceof CausewayError) throw route;
    try {
      return await this.#readMessage(route);
    } catch (error) {
      if (error instanceof CausewayError) this.#fault = error;
      throw error;
    }
  }

  async #readMessage(route: RouteMatch<RoutedMethod>): Promise<Uint8Array> {
    const { request, messageBytesMax } = this.#options;
    const { binding, target, variables } = route;
    const { method, descriptors } = target;
    const body = hasRawRequest(method, binding)
      ? await readRaw(request, messageBytesMax)
      : await readBody(request, messageBytesMax * jsonBytesPerMessageByte);
    const query = /\?(.*)$/.exec(request.url ?? "")?.[1] ?? "";
    const parts = { variables, query, body };
    const message = messageOfHttpRequest(method, binding, parts, descriptors.registry);
    if (message.length > messageBytesMax) {
      throw new CausewayError("MESSAGE_TOO_LARGE", "the request is larger than its limit");
    }
    return message;
  }

  sendHeaders(headers: Metadata): void {
    this.#answerHeaders = headers;
  }

  /** A message of a stream is a line of its own; that of a unary method waits for the status. */
  async sendMessage(message: Uint8Array, written?: () => void): Promise<void> {
    if (this.#hasEnded) return;
    if (!this.#isStreaming) {
      this.#message = message;
      return;
    }
    const { response } = this.#options;
    const { contentType, data } = this.#bodyOf(message);
    this.#beginStream(this.#isRaw ? contentType : linesType);
    // A copy: a connection that was destroyed says of all bytes that they have left, and may hold them still.
    const line = this.#isRaw ? Buffer.from(data) : `{"result":${String(data)}}\n`;
    const left = (error?: Error | null): void => {
      if (!error && response.socket?.destroyed === false) written?.();
    };
    if (response.write(line, left)) return;
    await new Promise<void>((resolve) => {
      const taken = (): void => {
        response.off("drain", taken);
        response.off("close", taken);
        resolve();
      };
      response.once("drain", taken);
      response.once("close", taken);
    });
  }

  end(status: StatusFrame): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const { response } = this.#options;
    try {
      if (this.#isStreaming && (response.headersSent || status.code === 0)) {
        return this.#endStream(status);
      }
      const isUnary = status.code === 0 && this.#message !== undefined;
      if (isUnary) this.#respond(200, status, this.#bodyOf(this.#message as Uint8Array));
      else this.#respond(httpStatusOf(status.code), status, errorBody(status, this.#fault));
    } catch (error) {
      // Of an answer that is no JSON of its own types nothing is handed over.
      const isOurs = error instanceof CausewayError;
      const failed = statusOf(isOurs ? "COMMITMENT_MISMATCH" : "INTERNAL");
      if (response.headersSent) response.destroy();
      else this.#respond(httpStatusOf(failed.code), status, errorBody(failed));
      if (!isOurs) throw error;
    }
  }

  answer(headers: Metadata, messages: readonly Uint8Array[], status: StatusFrame): void {
    this.sendHeaders(headers);
    for (const message of messages) void this.sendMessage(message);
    this.end(status);
  }

  onCancelled(listener: () => void): void {
    this.#options.response.once("close", () => {
      if (!this.#hasEnded) listener();
    });
  }

  get #isStreaming(): boolean {
    const route = this.#route;
    return !(route instanceof CausewayError) && route.target.method.proto.serverStreaming;
  }

  get #isRaw(): boolean {
    const { binding, target } = this.#route as RouteMatch<RoutedMethod>;
    return hasRawAnswer(target.method, binding);
  }

  /** A message as the body of a response: its JSON, or its own bytes with their type. */
  #bodyOf(message: Uint8Array): ResponseBody {
    const { binding, target } = this.#route as RouteMatch<RoutedMethod>;
    const { registry } = target.descriptors;
    const json = jsonOfMessage(target.method.output, message, { registry, names: "json" });
    const { responseBody } = binding;
    const value = responseBody === undefined ? json : jsonOfField(responseBody, json, "json");
    if (!this.#isRaw) return { contentType: jsonType, data: Buffer.from(JSON.stringify(value)) };
    const { contentType, data } = rawOfJson(value, "json");
    return {
      contentType: isContentType(contentType) ? contentType : anyContentType,
      data: Buffer.from(data),
    };
  }

  #beginStream(contentType: string): void {
    const { response } = this.#options;
    if (response.headersSent) return;
    const fields = {
      ...this.#fields(this.#answerHeaders),
      ...typeFields(contentType),
      trailer: exchangeTrailers,
    };
    response.writeHead(200, fields);
  }

  #endStream(status: StatusFrame): void {
    const { response } = this.#options;
    // Bytes that are not JSON have no place for an error: they are cut off.
    if (this.#isRaw && status.code !== 0) return void response.destroy();
    this.#beginStream(this.#isRaw ? anyContentType : linesType);
    if (status.code !== 0) response.write(`{"error":${errorText(status).trimEnd()}}\n`);
    response.addTrailers(this.#fields(status.trailers));
    response.end("");
  }

  #respond(httpStatus: number, { trailers }: StatusFrame, body: ResponseBody): void {
    const { response, request } = this.#options;
    response.writeHead(httpStatus, {
      ...this.#fields(this.#answerHeaders),
      ...this.#fields(trailers),
      ...typeFields(body.contentType),
      "content-length": body.data.length,
      "cache-control": "no-store",
      // What is left of a request that was not read is not waited for.
      ...(request.complete || request.httpVersionMajor > 1 ? {} : { connection: "close" }),
    });
    response.end(body.data);
  }

  #fields(metadata: Metadata | undefined): Record<string, string | string[]> {
    return fieldsOfMetadata(metadata ?? create(MetadataSchema), this.#options.passed);
  }
}

interface ResponseBody {
  readonly contentType: string;
  readonly data: Buffer;
}

/** What another agency's service says of its bytes is not to be guessed at by a browser. */
function typeFields(contentType: string): Record<string, string> {
  const isOwn = contentType === jsonType || contentType === linesType;
  return {
    "content-type": contentType,
    ...(isOwn ? {} : { "x-content-type-options": "nosniff" }),
  };
}

function errorBody(status: StatusFrame, fault?: CausewayError): ResponseBody {
  return { contentType: jsonType, data: Buffer.from(errorText(status, fault)) };
}

function errorText(status: StatusFrame, fault?: CausewayError): string {
  return `${JSON.stringify(errorJson(status, fault))}\n`;
}

async function readBody(request: JsonRequest, bytesMax: number): Promise<string> {
  const body = await whole(readText(request as IncomingMessage, bytesMax));
  const type = request.headers["content-type"];
  if (body !== "" && type !== undefined && !isJsonType(type)) {
    throw new CausewayError("MALFORMED", "the request is not JSON by its content-type");
  }
  return body;
}

/** The JSON of the message that a raw request is. */
async function readRaw(request: JsonRequest, bytesMax: number): Promise<string> {
  const data = await whole(readBytes(request as IncomingMessage, bytesMax));
  return jsonTextOfRaw({ contentType: request.headers["content-type"] ?? "", data });
}

async function whole<T>(body: Promise<T>): Promise<T> {
  try {
    return await body;
  } catch (error) {
    if (error instanceof CausewayError) {
      throw error.code === "PROTOCOL_ERROR" ? new CausewayError("MALFORMED", error.message) : error;
    }
    throw new CausewayError("CANCELLED", "the request was not sent whole", { cause: error });
  }
}
