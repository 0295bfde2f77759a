/**
 * The listener for agency systems: gRPC over HTTP/2 on node:http2. Every method path is accepted and
 * handed over, so that what is refused is refused by the gateway and leaves its record.
 */
import {
  constants,
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { isDeepStrictEqual } from "node:util";
import type { Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import {
  callMessageBytesBound,
  callMessageBytesMax,
  http2SessionMemoryMegabytes,
  http2SessionWindowBytes,
  http2StreamsMax,
  http2StreamWindowBytes,
  keepaliveMs,
} from "../../base/limits.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import { statusOf } from "../status.ts";
import { Handshakes } from "./handshakes.ts";
import { encodingsRead, headersAndEnd } from "./http2-answer.ts";
import { Http2Call } from "./http2-call.ts";
import { fieldOf, metadataFromFields } from "./metadata.ts";
import type { CallerConnection, IncomingCall } from "./ports.ts";
import { parseTimeout } from "./timeout.ts";
import { type PeerTls, serverTlsOptions } from "./tls-options.ts";
import { trailersFromStatus } from "./trailers.ts";

export interface Http2ListenerOptions {
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** Mutual TLS with exactly these client certificates; plaintext with prior knowledge when absent. */
  readonly tls?: PeerTls;
  /** TLS as the caller of this function sets it up, in the place of `tls`; ALPN is its own. */
  readonly secure?: SecureServerOptions;
  readonly scheduler: Scheduler;
  /** Largest request message; 4 MiB by default, at most 64 MiB. */
  readonly messageBytesMax?: number;
  /** Called for every call, whatever its path. Must not throw. */
  onCall(call: IncomingCall, connection: CallerConnection): void;
  /** A call that ended below `onCall`, for telemetry: METADATA_TOO_LARGE or PROTOCOL_ERROR. */
  onProtocolError?(reason: ReasonCode): void;
}

export interface Http2Listener {
  readonly port: number;
  /** New connections use these certificates; open ones of a client that is trusted no more are ended. */
  updateTls(tls: PeerTls): void;
  /**
   * New connections use these options of `secure`. Open ones go on, but for those that began under other
   * authorities: they take no more calls, and end with their last one.
   */
  updateSecure(secure: SecureServerOptions): void;
  /** Calls that begin later may send messages of up to this many bytes, at most 64 MiB. */
  updateMessageBytesMax(bytes: number): void;
  /** Accepts no more, lets open calls end for at most `graceMs`, then cuts them off. */
  readonly close: (graceMs: number) => Promise<void>;
}

const serverOptions = {
  maxSessionMemory: http2SessionMemoryMegabytes,
  // As many entries as 8 KiB of metadata can hold, so that the limit is answered and not a reset.
  maxHeaderListPairs: 512,
  settings: {
    initialWindowSize: http2StreamWindowBytes,
    maxConcurrentStreams: http2StreamsMax,
    enablePush: false,
  },
} as const;

/** Starts to listen. Rejects with the socket's error when the address cannot be bound. */
export async function listenHttp2(options: Http2ListenerOptions): Promise<Http2Listener> {
  let messageBytesMax = options.messageBytesMax ?? callMessageBytesMax;
  assertMessageBytesMax(messageBytesMax);
  const serving: Http2ListenerOptions = {
    ...options,
    get messageBytesMax() {
      return messageBytesMax;
    },
  };
  const sessions = new Set<ServerHttp2Session>();
  const server = openServer(options);
  const handshakes = new Handshakes(server);
  server.on("session", (session: ServerHttp2Session) => serve(session, serving, sessions));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  server.on("error", ignore);
  let authorities = options.secure?.ca;
  return {
    port: (server.address() as AddressInfo).port,
    updateTls: (tls) => updateTls(server, sessions, tls),
    updateSecure: (secure) => {
      setSecureContext(server, secure);
      // Whether a client's certificate counts was found when its connection began.
      if (!isDeepStrictEqual(authorities, secure.ca)) {
        handshakes.endAll();
        for (const each of sessions) each.close();
      }
      authorities = secure.ca;
    },
    updateMessageBytesMax: (bytes) => {
      assertMessageBytesMax(bytes);
      messageBytesMax = bytes;
    },
    close: (graceMs) => close(server, sessions, graceMs, options.scheduler),
  };
}

function assertMessageBytesMax(messageBytesMax: number): void {
  const isInBounds = messageBytesMax > 0 && messageBytesMax <= callMessageBytesBound;
  if (!isInBounds) throw new RangeError(`messages of at most ${callMessageBytesBound} bytes`);
}

function openServer(options: Http2ListenerOptions): Http2Server | Http2SecureServer {
  const secure = options.tls === undefined ? options.secure : serverTlsOptions(options.tls);
  const server =
    secure === undefined
      ? createServer(serverOptions)
      : createSecureServer({ ...serverOptions, ...secure, ALPNProtocols: ["h2"] });
  server.on("connection", (socket: Socket) => {
    socket.setKeepAlive(true, keepaliveMs);
    socket.on("error", ignore);
  });
  server.on("secureConnection", (socket: TLSSocket) => socket.on("error", ignore));
  return server;
}

// A broken connection shows at each of its calls as a cancellation; here it has no other consequence.
function ignore(): void {}

function serve(
  session: ServerHttp2Session,
  options: Http2ListenerOptions,
  sessions: Set<ServerHttp2Session>,
): void {
  sessions.add(session);
  session.on("close", () => sessions.delete(session));
  session.on("error", ignore);
  session.setLocalWindowSize(http2SessionWindowBytes);
  const connection = connectionOf(session);
  const onStream = (
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    _flags: number,
    rawHeaders: string[],
  ): void => {
    stream.on("error", ignore);
    const type = headers["content-type"] ?? "";
    if (headers[":method"] !== "POST") return refuseHttp(stream, 405, { allow: "POST" });
    if (!/^application\/grpc(?:$|[+;])/.test(type)) return refuseHttp(stream, 415);
    const call = incomingCall(stream, rawHeaders, connection.certificate, options);
    if (call !== undefined) options.onCall(call, connection);
  };
  session.on("stream", onStream);
}

function connectionOf(session: ServerHttp2Session): CallerConnection {
  const { socket } = session;
  return {
    remoteAddress: socket.remoteAddress ?? "",
    certificate: certificateOf(session),
    isAuthorized: session.encrypted === true && (socket as TLSSocket).authorized,
  };
}

function certificateOf(session: ServerHttp2Session): Uint8Array | undefined {
  if (session.encrypted !== true) return undefined;
  const raw = (session.socket as TLSSocket).getPeerCertificate().raw as Buffer | undefined;
  return raw === undefined ? undefined : new Uint8Array(raw);
}

function incomingCall(
  stream: ServerHttp2Stream,
  rawHeaders: readonly string[],
  peerCertificate: Uint8Array | undefined,
  options: Http2ListenerOptions,
): Http2Call | undefined {
  try {
    const timeout = fieldOf(rawHeaders, "grpc-timeout");
    return new Http2Call(stream, {
      path: fieldOf(rawHeaders, ":path") ?? "",
      headers: metadataFromFields(rawHeaders),
      timeoutMs: timeout === undefined ? undefined : parseTimeout(timeout),
      peerCertificate,
      encoding: fieldOf(rawHeaders, "grpc-encoding"),
      encodingsAccepted: fieldOf(rawHeaders, "grpc-accept-encoding"),
      messageBytesMax: options.messageBytesMax ?? callMessageBytesMax,
      scheduler: options.scheduler,
    });
  } catch (error) {
    if (!(error instanceof CausewayError)) throw error;
    refuseHttp(stream, 200, {
      "content-type": "application/grpc",
      "grpc-accept-encoding": encodingsRead,
      ...trailersFromStatus(statusOf(error.code, error.fields)),
    });
    options.onProtocolError?.(error.code);
    return undefined;
  }
}

function refuseHttp(stream: ServerHttp2Stream, status: number, fields: object = {}): void {
  stream.respond({ ":status": status, ...fields }, headersAndEnd);
  stream.on("data", () => stream.close(constants.NGHTTP2_NO_ERROR));
}

function setSecureContext(
  server: Http2Server | Http2SecureServer,
  secure: SecureServerOptions,
): void {
  if (!("setSecureContext" in server)) throw new TypeError("the listener is without TLS");
  server.setSecureContext(secure);
}

function updateTls(
  server: Http2Server | Http2SecureServer,
  sessions: ReadonlySet<ServerHttp2Session>,
  tls: PeerTls,
): void {
  setSecureContext(server, serverTlsOptions(tls));
  for (const session of sessions) {
    const certificate = certificateOf(session);
    const trusted = tls.trusted.some(
      (der) => certificate !== undefined && Buffer.compare(der, certificate) === 0,
    );
    if (!trusted) session.destroy();
  }
}

async function close(
  server: Http2Server | Http2SecureServer,
  sessions: ReadonlySet<ServerHttp2Session>,
  graceMs: number,
  scheduler: Scheduler,
): Promise<void> {
  const cancel = scheduler.after(graceMs, () => {
    for (const session of sessions) session.destroy();
  });
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    for (const session of sessions) session.close();
  });
  cancel();
}
