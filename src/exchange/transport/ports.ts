/** The thin transport interface: nothing above it names a gRPC or HTTP/2 library. */
import type { CausewayError } from "../../base/errors.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import type { Metadata, StatusFrame } from "../../gen/causeway/exchange/v1/frames_pb.ts";

/** A call as a server sees it. Messages are uncompressed bytes. */
export interface IncomingCall {
  /** Method path as sent, such as `/package.Service/Method`. */
  readonly path: string;
  /** Request headers in the order received, without those of the HTTP/2 and gRPC framing. */
  readonly headers: Metadata;
  /** Milliseconds to the deadline when the call came in; `undefined` for none. */
  readonly timeoutMs: number | undefined;
  /** DER of the peer's certificate under mutual TLS; `undefined` on plaintext. */
  readonly peerCertificate: Uint8Array | undefined;
  /** Why the way that the call has come cannot carry its method. */
  readonly unsupported?: ReasonCode | undefined;
  /** The next message, or `undefined` when the caller has half-closed. Rejects with a CausewayError. */
  read(): Promise<Uint8Array | undefined>;
  /**
   * Of a call whose request comes whole and has to be read as one: reads it, so that what is wrong with it is known
   * before the call is made. Rejects as `read` does.
   */
  readonly readAhead?: (() => Promise<undefined>) | undefined;
  /** At most once, before the first message. */
  sendHeaders(headers: Metadata): void;
  /**
   * Resolves when the transport takes more. `written` is called when all of the message has left, and nothing of it
   * is used any more; never for one that was given up.
   */
  sendMessage(message: Uint8Array, written?: () => void): Promise<void>;
  /** Ends the call: trailers with the status. Further calls of these functions do nothing. */
  end(status: StatusFrame): void;
  /** Headers, messages and status of a finished answer, written in one turn. */
  answer(headers: Metadata, messages: readonly Uint8Array[], status: StatusFrame): void;
  /** Called once when the caller cancels or its connection ends before the status was sent. */
  onCancelled(listener: () => void): void;
}

/** The connection that calls come on: one object for all calls of it, so that it can stand for what is known of it. */
export interface CallerConnection {
  /** IP address. */
  readonly remoteAddress: string;
  /** DER of the client certificate whose key the client has shown to hold; `undefined` without one. */
  readonly certificate: Uint8Array | undefined;
  /** Whether that certificate stands under an authority that the listener was given. */
  readonly isAuthorized: boolean;
  /** The request says that a page in a browser made it: what needs no credentials of a program is not for it. */
  readonly isOfPage?: boolean;
}

/** What a unary upstream call gave. */
export interface UnaryAnswer {
  readonly headers: Metadata;
  /** No message when the upstream ended with an error. */
  readonly messages: readonly Uint8Array[];
  readonly status: StatusFrame;
}

/** A unary call of a data service. */
export interface UpstreamCall {
  readonly path: string;
  /** Entries that belong to one hop are left out; a `user-agent` among them is passed on. */
  readonly headers: Metadata;
  readonly message: Uint8Array;
  /** Milliseconds to the deadline, which is passed on and kept here; `undefined` for none. */
  readonly timeoutMs: number | undefined;
  /** Largest answer, in bytes of its messages. Its metadata has its own limit. */
  readonly answerBytesMax: number;
  /** Ends the call: with the code of its reason when that is a CausewayError, else CANCELLED. */
  readonly signal: AbortSignal;
}

/** A call of any type, whose request and answer are streams. */
export interface UpstreamStreamCall {
  readonly path: string;
  readonly headers: Metadata;
  /** Milliseconds to the deadline, which is passed on and kept here; `undefined` for none. */
  readonly timeoutMs: number | undefined;
  /** Largest message of the answer, in bytes. */
  readonly messageBytesMax: number;
  /** Ends the call: with the code of its reason when that is a CausewayError, else CANCELLED. */
  readonly signal: AbortSignal;
}

/**
 * What a streaming call hears, in order: headers at most once, messages, then exactly one of `onEnd` and
 * `onFailed`. An upstream that ends without headers gives none.
 */
export interface UpstreamListener {
  onHeaders(headers: Metadata): void;
  onMessage(message: Uint8Array): void;
  /** What the upstream answers, also by a reset or without a status, as `callUnary` says. */
  onEnd(status: StatusFrame): void;
  /** What `callUnary` rejects with. */
  onFailed(error: CausewayError): void;
}

/** The caller's end of a streaming call. */
export interface UpstreamStream {
  /** Resolves when the upstream takes more, at once when the call has ended. */
  write(message: Uint8Array): Promise<void>;
  halfClose(): void;
  /** Whether messages of the upstream are taken. What is not taken holds the upstream up. */
  take(taking: boolean): void;
}

/** Calls a data service behind its provider's gateway. */
export interface UpstreamConnector {
  /** What the receipts of its answers say of it. */
  readonly kind: "grpc" | "http-json" | "sql";
  /**
   * Never rejects for what the upstream answers: a status other than OK is an answer, and so is a
   * reset or an answer without a status, with the status that gRPC prescribes for it. Rejects with
   * - UPSTREAM_UNAVAILABLE when there is no connection, or it broke: the field `sent` is `no` when
   *   the upstream cannot have seen the call;
   * - DEADLINE when `timeoutMs` has passed, and CANCELLED (or its own reason) when `signal` says so;
   * - MESSAGE_TOO_LARGE when the answer exceeds `answerBytesMax`, METADATA_TOO_LARGE;
   * - COMPRESSION_UNSUPPORTED and PROTOCOL_ERROR for an answer that is not to be read.
   */
  callUnary(call: UpstreamCall): Promise<UnaryAnswer>;
  /**
   * Opens a call of any type, whose messages are taken from the start. The listener is not called before
   * this turn of the event loop has ended; what is wrong with the call is told to it too.
   */
  open(call: UpstreamStreamCall, listener: UpstreamListener): UpstreamStream;
  close(): Promise<void>;
}
