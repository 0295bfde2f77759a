/** One call on the server side of HTTP/2: a stream as an IncomingCall. */
import { constants, type ServerHttp2Stream } from "node:http2";
import type { Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import type { Metadata, StatusFrame } from "../../gen/causeway/exchange/v1/frames_pb.ts";
import { Http2Answer } from "./http2-answer.ts";
import { Http2Inbox } from "./http2-inbox.ts";
import type { IncomingCall } from "./ports.ts";

export interface CallRequest {
  readonly path: string;
  readonly headers: Metadata;
  readonly timeoutMs: number | undefined;
  readonly peerCertificate: Uint8Array | undefined;
  /** The `grpc-encoding` of the request. */
  readonly encoding: string | undefined;
  /** The `grpc-accept-encoding` of the request. */
  readonly encodingsAccepted: string | undefined;
  readonly messageBytesMax: number;
  readonly scheduler: Scheduler;
}

interface PendingRead {
  resolve(message: Uint8Array | undefined): void;
  reject(error: unknown): void;
}

export class Http2Call implements IncomingCall {
  readonly path: string;
  readonly headers: Metadata;
  readonly timeoutMs: number | undefined;
  readonly peerCertificate: Uint8Array | undefined;
  readonly #stream: ServerHttp2Stream;
  readonly #scheduler: Scheduler;
  readonly #inbox: Http2Inbox;
  readonly #answer: Http2Answer;
  #pendingRead: PendingRead | undefined;
  #statusSent = false;
  #gone = false;
  #cancelled = false;
  #onCancelled: (() => void) | undefined;

  constructor(stream: ServerHttp2Stream, request: CallRequest) {
    this.path = request.path;
    this.headers = request.headers;
    this.timeoutMs = request.timeoutMs;
    this.peerCertificate = request.peerCertificate;
    this.#stream = stream;
    this.#scheduler = request.scheduler;
    this.#inbox = new Http2Inbox(stream, request, () => this.#serveRead());
    this.#answer = new Http2Answer(stream, {
      gzip: isAnsweredInGzip(request),
      onStatusSent: () => this.#discardRequest(),
    });
    stream.on("aborted", () => this.#end());
    stream.on("close", () => this.#end());
  }

  read(): Promise<Uint8Array | undefined> {
    if (this.#pendingRead !== undefined) throw new TypeError("a read is under way");
    return new Promise((resolve, reject) => {
      this.#pendingRead = { resolve, reject };
      this.#serveRead();
    });
  }

  sendHeaders(headers: Metadata): void {
    this.#answer.sendHeaders(headers);
  }

  sendMessage(message: Uint8Array, written?: () => void): Promise<void> {
    return this.#answer.sendMessage(message, written);
  }

  end(status: StatusFrame): void {
    this.#answer.end(status);
  }

  answer(headers: Metadata, messages: readonly Uint8Array[], status: StatusFrame): void {
    this.#answer.whole(headers, messages, status);
  }

  onCancelled(listener: () => void): void {
    if (this.#cancelled) listener();
    else this.#onCancelled = listener;
  }

  #serveRead(): void {
    const pending = this.#pendingRead;
    if (pending === undefined) return;
    try {
      const message = this.#inbox.poll();
      if (message === undefined && !this.#inbox.ended) return this.#inbox.more();
      if (message === undefined) this.#inbox.finish();
      this.#pendingRead = undefined;
      pending.resolve(message);
    } catch (error) {
      this.#pendingRead = undefined;
      pending.reject(error);
    }
  }

  // A caller that still sends is told to stop, without an error (RFC 9113 section 8.1), in another
  // turn: a reset from within the callback that takes the trailers would overtake them.
  #discardRequest(): void {
    this.#statusSent = true;
    this.#endReading("the call has its status");
    let isTold = false;
    this.#inbox.discard(() => {
      if (isTold) return;
      isTold = true;
      this.#scheduler.after(0, () => this.#stream.close(constants.NGHTTP2_NO_ERROR));
    });
  }

  #end(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#endReading("the caller has gone");
    // A paused stream would not be destroyed.
    this.#stream.resume();
    if (this.#statusSent) return;
    this.#cancelled = true;
    this.#onCancelled?.();
  }

  #endReading(message: string): void {
    if (this.#inbox.ended) return;
    this.#inbox.fail(new CausewayError("CANCELLED", message));
    this.#serveRead();
  }
}

// The caller chooses: what came compressed is answered so.
function isAnsweredInGzip({ encoding, encodingsAccepted }: CallRequest): boolean {
  const accepted = (encodingsAccepted ?? "").split(",").map((name) => name.trim());
  return encoding === "gzip" && accepted.includes("gzip");
}
