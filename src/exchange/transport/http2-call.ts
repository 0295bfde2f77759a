/** One call on the server side of HTTP/2: a stream as an IncomingCall. */
import {
  constants,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
  type ServerStreamResponseOptions,
} from "node:http2";
import type { Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import type { Metadata, StatusFrame } from "../../gen/causeway/exchange/v1/frames_pb.ts";
import { statusOf } from "../status.ts";
import { frameMessage, MessageReader, messagePrefix } from "./framing.ts";
import { fieldsFromMetadata } from "./metadata.ts";
import type { IncomingCall } from "./ports.ts";
import { trailersFromStatus } from "./trailers.ts";

/** Messages up to this length are copied behind their prefix: one write instead of two. */
const copiedBytesMax = 16 * 1024;

// node:http2 has the option `sendDate`, its types do not: a `date` would reach the caller as metadata.
const noDate: object = { sendDate: false };
const headersOnly: ServerStreamResponseOptions = { waitForTrailers: true, ...noDate };
/** To send header fields as the whole of an answer. */
export const headersAndEnd: ServerStreamResponseOptions = { endStream: true, ...noDate };

export interface CallRequest {
  readonly path: string;
  readonly headers: Metadata;
  readonly timeoutMs: number | undefined;
  readonly peerCertificate: Uint8Array | undefined;
  /** The `grpc-encoding` of the request. */
  readonly encoding: string | undefined;
  readonly messageBytesMax: number;
  readonly scheduler: Scheduler;
}

interface PendingRead {
  resolve(message: Uint8Array | undefined): void;
  reject(error: CausewayError): void;
}

export class Http2Call implements IncomingCall {
  readonly path: string;
  readonly headers: Metadata;
  readonly timeoutMs: number | undefined;
  readonly peerCertificate: Uint8Array | undefined;
  readonly #stream: ServerHttp2Stream;
  readonly #reader: MessageReader;
  readonly #scheduler: Scheduler;
  readonly #messages: Uint8Array[] = [];
  #pendingRead: PendingRead | undefined;
  #reading = false;
  #halfClosed = false;
  #failure: CausewayError | undefined;
  #trailers: OutgoingHttpHeaders | undefined;
  #finished = false;
  #statusSent = false;
  #stopping = false;
  #cancelled = false;
  #onCancelled: (() => void) | undefined;

  constructor(stream: ServerHttp2Stream, request: CallRequest) {
    this.path = request.path;
    this.headers = request.headers;
    this.timeoutMs = request.timeoutMs;
    this.peerCertificate = request.peerCertificate;
    this.#stream = stream;
    this.#reader = new MessageReader(request);
    this.#scheduler = request.scheduler;
    stream.on("aborted", () => this.#gone());
    stream.on("close", () => this.#gone());
  }

  read(): Promise<Uint8Array | undefined> {
    if (this.#pendingRead !== undefined) throw new TypeError("a read is under way");
    const message = this.#messages.shift();
    if (message !== undefined) return Promise.resolve(message);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#halfClosed) return Promise.resolve(undefined);
    return new Promise((resolve, reject) => {
      this.#pendingRead = { resolve, reject };
      this.#resume();
    });
  }

  sendHeaders(headers: Metadata): void {
    if (this.#over || this.#stream.headersSent) return;
    this.#guarded(() => this.#respond(fieldsFromMetadata(headers)));
  }

  async sendMessage(message: Uint8Array): Promise<void> {
    if (this.#over) return;
    if (!this.#stream.headersSent) this.#respond({});
    if (this.#write(message)) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#stream.off("drain", done).off("close", done);
        resolve();
      };
      this.#stream.on("drain", done).on("close", done);
    });
  }

  end(status: StatusFrame): void {
    if (this.#over) return;
    this.#guarded(() => this.#finish({}, trailersFromStatus(status)));
  }

  answer(headers: Metadata, messages: readonly Uint8Array[], status: StatusFrame): void {
    if (this.#over) return;
    this.#guarded(() => {
      const fields = fieldsFromMetadata(headers);
      const trailers = trailersFromStatus(status);
      if (!this.#stream.headersSent && (messages.length > 0 || headers.entries.length > 0)) {
        this.#respond(fields);
      }
      for (const message of messages) this.#write(message);
      this.#finish(fields, trailers);
    });
  }

  onCancelled(listener: () => void): void {
    if (this.#cancelled) listener();
    else this.#onCancelled = listener;
  }

  get #over(): boolean {
    return this.#finished || this.#stream.destroyed || this.#stream.closed;
  }

  // What cannot be sent ends the call with the reason why, once.
  #guarded(send: () => void): void {
    try {
      send();
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
      this.#finish({}, trailersFromStatus(statusOf(error.code, error.fields)));
    }
  }

  #respond(fields: OutgoingHttpHeaders): void {
    const stream = this.#stream;
    stream.on("wantTrailers", () => {
      stream.sendTrailers(this.#trailers ?? {});
      this.#discardRequest();
    });
    stream.respond(responseFields(fields), headersOnly);
  }

  #write(message: Uint8Array): boolean {
    if (message.length <= copiedBytesMax) return this.#stream.write(frameMessage(message));
    this.#stream.cork();
    this.#stream.write(messagePrefix(message.length));
    const more = this.#stream.write(message);
    this.#stream.uncork();
    return more;
  }

  #finish(fields: OutgoingHttpHeaders, trailers: OutgoingHttpHeaders): void {
    this.#finished = true;
    if (this.#stream.headersSent) {
      this.#trailers = trailers;
      this.#stream.end();
    } else {
      const only = { ...fields, ...trailers };
      this.#stream.respond(responseFields(only), headersAndEnd);
      this.#discardRequest();
    }
  }

  // A caller that still sends is told to stop, without an error (RFC 9113 section 8.1), in another
  // turn: a reset from within the callback that takes the trailers would overtake them.
  #discardRequest(): void {
    this.#statusSent = true;
    this.#resume();
  }

  #resume(): void {
    if (this.#reading) {
      this.#stream.resume();
      return;
    }
    this.#reading = true;
    this.#stream.on("data", (chunk: Buffer) => this.#received(chunk));
    this.#stream.on("end", () => this.#ended());
  }

  #received(chunk: Buffer): void {
    if (this.#statusSent && !this.#stopping) {
      this.#stopping = true;
      this.#scheduler.after(0, () => this.#stream.close(constants.NGHTTP2_NO_ERROR));
    }
    if (this.#finished || this.#failure !== undefined) return;
    try {
      for (const message of this.#reader.push(chunk)) this.#deliver(message);
    } catch (error) {
      this.#fail(error);
    }
    if (this.#messages.length > 0) this.#stream.pause();
  }

  #deliver(message: Uint8Array): void {
    const pending = this.#pendingRead;
    this.#pendingRead = undefined;
    if (pending === undefined) this.#messages.push(message);
    else pending.resolve(message);
  }

  #ended(): void {
    this.#halfClosed = true;
    // A reset also ends the readable side: what is cut off then is not the caller's framing.
    if (this.#failure !== undefined || this.#cancelled) return;
    try {
      this.#reader.finish();
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#pendingRead?.resolve(undefined);
    this.#pendingRead = undefined;
  }

  #fail(error: unknown): void {
    if (!(error instanceof CausewayError)) throw error;
    this.#failure = error;
    this.#stream.pause();
    this.#pendingRead?.reject(error);
    this.#pendingRead = undefined;
  }

  #gone(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    if (this.#pendingRead !== undefined || !this.#halfClosed) {
      this.#fail(this.#failure ?? new CausewayError("CANCELLED", "the caller has gone"));
    }
    // A paused stream would not be destroyed.
    this.#stream.resume();
    if (!this.#finished) this.#onCancelled?.();
  }
}

function responseFields(fields: OutgoingHttpHeaders): OutgoingHttpHeaders {
  return { ":status": 200, "content-type": "application/grpc", ...fields };
}
