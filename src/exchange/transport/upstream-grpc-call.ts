/** One call of a gRPC data service, of any type, from its start to its only outcome. */
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import { addAbortSignal } from "node:stream";
import type { Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import { http2WriteBytesMax, timerMsMax } from "../../base/limits.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import type { StatusFrame } from "../../gen/causeway/exchange/v1/frames_pb.ts";
import { encodingsRead } from "./http2-answer.ts";
import type { Http2Connection } from "./http2-connection.ts";
import { Http2Inbox } from "./http2-inbox.ts";
import { Http2Outbox } from "./http2-outbox.ts";
import { fieldOf, fieldsFromMetadata, metadataFromFields } from "./metadata.ts";
import type { UpstreamListener, UpstreamStream, UpstreamStreamCall } from "./ports.ts";
import { formatTimeout } from "./timeout.ts";
import {
  hasStatus,
  plainStatus,
  statusFromHttp,
  statusFromReset,
  statusFromTrailers,
} from "./trailers.ts";

const userAgent = "causeway";
const done: Promise<void> = Promise.resolve();

export interface GrpcCallOptions {
  readonly connection: Http2Connection;
  readonly scheduler: Scheduler;
  /** Whether messages of the request are compressed. */
  readonly gzip: boolean;
}

interface Waiting {
  readonly message: Uint8Array;
  readonly resolve: () => void;
}

export class GrpcCall implements UpstreamStream {
  readonly #call: UpstreamStreamCall;
  readonly #options: GrpcCallOptions;
  readonly #listener: UpstreamListener;
  readonly #abort = (): void => this.#interrupt(abortReason(this.#call.signal));
  #cancelTimer: (() => void) | undefined;
  #session: ClientHttp2Session | undefined;
  #stream: ClientHttp2Stream | undefined;
  #outbox: Http2Outbox | undefined;
  #inbox: Http2Inbox | undefined;
  /** What was written before there was a connection. */
  #early: Waiting[] = [];
  #halfClosed = false;
  #taking = true;
  #delivering = false;
  #closed = false;
  #settled = false;
  #trailers: readonly string[] | undefined;

  /** Nothing is called on `listener` before this turn of the event loop has ended. */
  constructor(call: UpstreamStreamCall, options: GrpcCallOptions, listener: UpstreamListener) {
    this.#call = call;
    this.#options = options;
    this.#listener = listener;
  }

  /** Begins the call; with `only`, that is the whole request. */
  start(only?: Uint8Array): void {
    const { signal, timeoutMs } = this.#call;
    const { connection, scheduler } = this.#options;
    if (signal.aborted) return this.#abort();
    signal.addEventListener("abort", this.#abort, { once: true });
    if (timeoutMs !== undefined) {
      const delayMs = Math.min(timeoutMs, timerMsMax);
      this.#cancelTimer = scheduler.after(delayMs, () => this.#interrupt("DEADLINE"));
    }
    const session = connection.current;
    if (session !== undefined) return this.#send(session, only);
    connection.open().then(
      (opened) => this.#send(opened, only),
      (error: unknown) => this.#failLater(error),
    );
  }

  write(message: Uint8Array): Promise<void> {
    if (this.#settled || this.#halfClosed) return done;
    if (this.#outbox !== undefined) return this.#outbox.write(message);
    return new Promise((resolve) => this.#early.push({ message, resolve }));
  }

  halfClose(): void {
    this.#halfClosed = true;
    if (!this.#settled) this.#outbox?.end();
  }

  take(taking: boolean): void {
    if (taking && !this.#taking) queueMicrotask(() => this.#deliver());
    this.#taking = taking;
  }

  /** Ends the call without a word to the listener. */
  abandon(): void {
    this.#settle();
    this.#reset();
  }

  #send(session: ClientHttp2Session, only: Uint8Array | undefined): void {
    if (this.#settled) return;
    try {
      const stream = this.#options.connection.request(session, {
        "user-agent": userAgent,
        ...fieldsFromMetadata(this.#call.headers),
        ...this.#fields(),
      });
      this.#session = session;
      this.#listen(stream);
      this.#outbox = new Http2Outbox(stream, {
        gzip: this.#options.gzip,
        waitingBytesMax: http2WriteBytesMax,
      });
    } catch (error) {
      this.#failLater(error);
      return;
    }
    if (only !== undefined) return this.#outbox.end(only);
    for (const { message, resolve } of this.#early) void this.#outbox.write(message).then(resolve);
    this.#early = [];
    if (this.#halfClosed) this.#outbox.end();
  }

  #fields(): Record<string, string> {
    const { path, timeoutMs } = this.#call;
    const { connection, gzip } = this.#options;
    return {
      ":method": "POST",
      ":scheme": connection.scheme,
      ":authority": connection.authority,
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      "grpc-accept-encoding": encodingsRead,
      ...(gzip ? { "grpc-encoding": "gzip" } : {}),
      ...(timeoutMs === undefined ? {} : { "grpc-timeout": formatTimeout(timeoutMs) }),
    };
  }

  #listen(stream: ClientHttp2Stream): void {
    this.#stream = stream;
    stream.on("response", (_headers, flags, rawHeaders?: readonly string[]) => {
      if (!this.#settled) this.#responded(stream, flags, rawHeaders ?? []);
    });
    stream.on("trailers", (_headers, _flags, rawHeaders?: readonly string[]) => {
      this.#trailers = rawHeaders ?? [];
      this.#inbox?.drain();
    });
    // What the error says is in the reset code; `close` follows.
    stream.on("error", () => {});
    stream.on("close", () => {
      this.#closed = true;
      this.#inbox?.close();
      this.#deliver();
    });
  }

  #responded(stream: ClientHttp2Stream, flags: number, fields: readonly string[]): void {
    if (hasStatus(fields)) return this.#conclude(() => statusFromTrailers(fields));
    if (!isGrpc(fields)) {
      const httpStatus = Number(fieldOf(fields, ":status"));
      return this.#conclude(() => statusFromHttp(httpStatus));
    }
    this.#inbox = new Http2Inbox(
      stream,
      {
        messageBytesMax: this.#call.messageBytesMax,
        encoding: fieldOf(fields, "grpc-encoding"),
      },
      () => this.#deliver(),
    );
    try {
      this.#listener.onHeaders(metadataFromFields(fields));
    } catch (error) {
      this.#unreadable(error);
      return;
    }
    const isEnded = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
    if (isEnded || this.#trailers !== undefined) this.#inbox.drain();
    this.#deliver();
  }

  /** Gives to the listener what is here and what it takes. */
  #deliver(): void {
    if (this.#delivering || this.#settled) return;
    this.#delivering = true;
    while (this.#deliverNext());
    this.#delivering = false;
  }

  #deliverNext(): boolean {
    const inbox = this.#inbox;
    if (this.#settled || (!this.#taking && inbox?.waiting === true)) return false;
    const message = this.#poll(inbox);
    if (message !== undefined) {
      this.#listener.onMessage(message);
      return true;
    }
    if (this.#settled || inbox?.waiting === true) return false;
    if (this.#closed || (inbox?.ended === true && this.#trailers !== undefined)) {
      this.#conclude(() => this.#finalStatus());
    } else if (this.#taking) {
      inbox?.more();
    }
    return false;
  }

  #poll(inbox: Http2Inbox | undefined): Uint8Array | undefined {
    try {
      return inbox?.poll();
    } catch (error) {
      this.#unreadable(error);
      return undefined;
    }
  }

  #finalStatus(): StatusFrame {
    if (this.#trailers !== undefined && hasStatus(this.#trailers)) {
      const status = statusFromTrailers(this.#trailers);
      if (status.code === 0) this.#inbox?.finish();
      return status;
    }
    if (this.#session?.destroyed === true) throw lost();
    const rstCode = this.#stream?.rstCode ?? constants.NGHTTP2_NO_ERROR;
    if (rstCode !== constants.NGHTTP2_NO_ERROR) return statusFromReset(rstCode);
    return plainStatus(13, "the data service ended without a status");
  }

  #conclude(read: () => StatusFrame): void {
    let status: StatusFrame;
    try {
      status = read();
    } catch (error) {
      this.#unreadable(error);
      return;
    }
    this.#settle();
    this.#reset();
    this.#listener.onEnd(status);
  }

  #unreadable(error: unknown): void {
    this.#settle();
    this.#reset();
    this.#listener.onFailed(asCausewayError(error));
  }

  #interrupt(reason: ReasonCode): void {
    this.#failLater(new CausewayError(reason, "the call of the data service was ended"));
    this.#reset();
  }

  // What is found out while someone calls us is told in a later turn.
  #failLater(error: unknown): void {
    if (this.#settled) return;
    this.#settle();
    this.#options.scheduler.after(0, () => this.#listener.onFailed(asCausewayError(error)));
  }

  #settle(): void {
    this.#settled = true;
    this.#cancelTimer?.();
    this.#call.signal.removeEventListener("abort", this.#abort);
    for (const { resolve } of this.#early) resolve();
    this.#early = [];
  }

  // An upstream that still sends, or still listens, is told to stop. `close` would half-close first,
  // and a request that was broken off would look complete.
  #reset(): void {
    const stream = this.#stream;
    if (stream === undefined || this.#closed || stream.destroyed) return;
    if (stream.readableEnded && stream.writableFinished) return;
    addAbortSignal(AbortSignal.abort(), stream);
  }
}

function isGrpc(fields: readonly string[]): boolean {
  const type = fieldOf(fields, "content-type") ?? "";
  return fieldOf(fields, ":status") === "200" && /^application\/grpc(?:$|[+;])/.test(type);
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
