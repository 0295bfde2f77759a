/** Calls a gRPC data service on a thin client over node:http2: one connection, unary calls. */
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import { create } from "@bufbuild/protobuf";
import { CausewayError } from "../../base/errors.ts";
import { timerMsMax, upstreamCloseMs } from "../../base/limits.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import { MetadataSchema, type StatusFrame } from "../../gen/causeway/exchange/v1/frames_pb.ts";
import { frameMessage, MessageReader } from "./framing.ts";
import { Http2Connection, type Http2ConnectionOptions } from "./http2-connection.ts";
import { fieldOf, fieldsFromMetadata, metadataFromFields } from "./metadata.ts";
import type { UnaryAnswer, UpstreamCall, UpstreamConnector } from "./ports.ts";
import { formatTimeout } from "./timeout.ts";
import {
  hasStatus,
  plainStatus,
  statusFromHttp,
  statusFromReset,
  statusFromTrailers,
} from "./trailers.ts";

const userAgent = "causeway";

/** A connector to one gRPC server. It connects with the first call. */
export function createGrpcUpstream(options: Http2ConnectionOptions): UpstreamConnector {
  const connection = new Http2Connection(options);
  return {
    callUnary: (call) =>
      new Promise((resolve, reject) => {
        new UnaryCall(call, connection, options, { resolve, reject }).start();
      }),
    close: () => connection.close(upstreamCloseMs),
  };
}

interface Outcome {
  resolve(answer: UnaryAnswer): void;
  reject(error: CausewayError): void;
}

/** One call from its start to its only outcome. */
class UnaryCall {
  readonly #call: UpstreamCall;
  readonly #connection: Http2Connection;
  readonly #outcome: Outcome;
  readonly #cancelTimer: () => void;
  readonly #abort = (): void => this.#interrupt(abortReason(this.#call.signal));
  #stream: ClientHttp2Stream | undefined;
  #settled = false;
  #reader: MessageReader | undefined;
  #messages: Uint8Array[] = [];
  #messageBytes = 0;
  #responseFields: readonly string[] | undefined;
  #trailerFields: readonly string[] | undefined;

  constructor(
    call: UpstreamCall,
    connection: Http2Connection,
    { scheduler }: Http2ConnectionOptions,
    outcome: Outcome,
  ) {
    this.#call = call;
    this.#connection = connection;
    this.#outcome = outcome;
    const { signal, timeoutMs } = call;
    signal.addEventListener("abort", this.#abort, { once: true });
    this.#cancelTimer =
      timeoutMs === undefined
        ? () => {}
        : scheduler.after(Math.min(timeoutMs, timerMsMax), () => this.#interrupt("DEADLINE"));
  }

  start(): void {
    if (this.#call.signal.aborted) return this.#abort();
    const session = this.#connection.current;
    if (session !== undefined) return this.#send(session);
    this.#connection.open().then(
      (opened) => this.#send(opened),
      (error: CausewayError) => this.#reject(error),
    );
  }

  #send(session: ClientHttp2Session): void {
    if (this.#settled) return;
    const { path, headers, message, timeoutMs } = this.#call;
    try {
      const stream = session.request({
        "user-agent": userAgent,
        ...fieldsFromMetadata(headers),
        ":method": "POST",
        ":scheme": this.#connection.scheme,
        ":authority": this.#connection.authority,
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
        "grpc-accept-encoding": "identity,gzip",
        ...(timeoutMs === undefined ? {} : { "grpc-timeout": formatTimeout(timeoutMs) }),
      });
      this.#listen(session, stream);
      stream.end(frameMessage(message));
    } catch (error) {
      this.#reject(asCausewayError(error));
    }
  }

  #listen(session: ClientHttp2Session, stream: ClientHttp2Stream): void {
    this.#stream = stream;
    stream.on("response", (_headers, _flags, rawHeaders?: readonly string[]) => {
      this.#responseFields = rawHeaders ?? [];
    });
    stream.on("trailers", (_headers, _flags, rawHeaders?: readonly string[]) => {
      this.#trailerFields = rawHeaders ?? [];
    });
    stream.on("data", (chunk: Buffer) => this.#received(chunk));
    // What the error says is in the reset code; `close` follows.
    stream.on("error", () => {});
    stream.on("close", () => this.#closed(session, stream));
  }

  #received(chunk: Buffer): void {
    if (this.#settled) return;
    try {
      this.#reader ??= new MessageReader({
        messageBytesMax: this.#call.answerBytesMax,
        encoding: fieldOf(this.#responseFields ?? [], "grpc-encoding"),
      });
      for (const message of this.#reader.push(chunk)) {
        this.#messages.push(message);
        this.#messageBytes += message.length;
      }
      if (this.#messageBytes > this.#call.answerBytesMax || this.#messages.length > 2) {
        throw new CausewayError("MESSAGE_TOO_LARGE", "the answer is larger than its limit");
      }
    } catch (error) {
      // Bytes that are not gRPC are no message: the status that their headers give stands.
      if (!this.#isGrpc()) return;
      this.#reject(asCausewayError(error));
      this.#stream?.close(constants.NGHTTP2_CANCEL);
    }
  }

  #closed(session: ClientHttp2Session, stream: ClientHttp2Stream): void {
    if (this.#settled) return;
    try {
      const status = checkedUnary(this.#status(session, stream), this.#messages.length);
      const messages = status.code === 0 ? this.#messages : [];
      this.#resolve({ headers: this.#headers(), messages, status });
    } catch (error) {
      this.#reject(asCausewayError(error));
    }
  }

  #isGrpc(): boolean {
    const fields = this.#responseFields ?? [];
    const type = fieldOf(fields, "content-type") ?? "";
    return fieldOf(fields, ":status") === "200" && type.startsWith("application/grpc");
  }

  // Of a trailers-only answer everything is trailers.
  #headers(): UnaryAnswer["headers"] {
    const fields = this.#responseFields ?? [];
    if (this.#trailerFields === undefined && hasStatus(fields)) return create(MetadataSchema, {});
    return metadataFromFields(fields);
  }

  #status(session: ClientHttp2Session, stream: ClientHttp2Stream): StatusFrame {
    const ending = this.#trailerFields ?? this.#responseFields;
    if (ending !== undefined && hasStatus(ending)) {
      const status = statusFromTrailers(ending);
      if (status.code === 0) this.#reader?.finish();
      return status;
    }
    if (session.destroyed) throw lost();
    if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) return statusFromReset(stream.rstCode);
    const httpStatus = Number(fieldOf(this.#responseFields ?? [], ":status"));
    if (httpStatus !== 200) return statusFromHttp(httpStatus);
    return plainStatus(13, "the data service ended without a status");
  }

  #interrupt(reason: ReasonCode): void {
    if (this.#settled) return;
    this.#reject(new CausewayError(reason, "the call of the data service was ended"));
    this.#stream?.close(constants.NGHTTP2_CANCEL);
  }

  #resolve(answer: UnaryAnswer): void {
    this.#settle();
    this.#outcome.resolve(answer);
  }

  #reject(error: CausewayError): void {
    if (this.#settled) return;
    this.#settle();
    this.#outcome.reject(error);
  }

  #settle(): void {
    this.#settled = true;
    this.#cancelTimer();
    this.#call.signal.removeEventListener("abort", this.#abort);
  }
}

function checkedUnary(status: StatusFrame, messages: number): StatusFrame {
  if (status.code !== 0 || messages === 1) return status;
  return plainStatus(13, `the data service answered a unary call with ${messages} messages`);
}

function abortReason(signal: AbortSignal): ReasonCode {
  const reason: unknown = signal.reason;
  return reason instanceof CausewayError ? reason.code : "CANCELLED";
}

function lost(): CausewayError {
  return new CausewayError("UPSTREAM_UNAVAILABLE", "the connection broke during the call", {
    fields: { sent: "yes" },
  });
}

function asCausewayError(error: unknown): CausewayError {
  if (error instanceof CausewayError) return error;
  return new CausewayError("UPSTREAM_UNAVAILABLE", "the call could not be sent", { cause: error });
}
