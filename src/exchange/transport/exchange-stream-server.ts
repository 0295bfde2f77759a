/** The side that serves exchange streams: the provider's gateway. */
import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerStreamResponseOptions,
} from "node:http2";
import type { TLSSocket } from "node:tls";
import { mapKey } from "../../base/bytes.ts";
import type { Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import { exchangeStreamsMax } from "../../base/limits.ts";
import { failedFrame } from "../frames.ts";
import type { Carriage, CarriageListener, LinkEnd } from "../ports.ts";
import { statusOf } from "../status.ts";
import { ExchangeStream, type PartialBudget } from "./exchange-stream.ts";
import { exchangePath } from "./exchange-stream-codec.ts";
import {
  createPartialBudget,
  exchangeSessionOptions,
  tendSession,
} from "./exchange-stream-session.ts";
import { plainStatus, trailersFromStatus } from "./trailers.ts";

export interface StreamServerOptions {
  readonly scheduler: Scheduler;
  /** The newest link that the holder of this certificate has opened, if one is up. */
  linkOf(peerCertificate: Uint8Array): LinkEnd | undefined;
  /** A new stream beside a link. */
  serve(link: LinkEnd, carriage: Carriage): CarriageListener;
  /** A stream beside a link was refused unread: its peer has as many as it may have. */
  busy(link: LinkEnd): void;
  /** A stream that was not taken, or that broke the protocol, for telemetry. */
  readonly onRefused: (error: CausewayError) => void;
  /** Bytes of frames in part that the holder of one certificate may have here; four of the largest by default. */
  readonly partialBytesMax?: number;
}

export interface StreamServer {
  /** Serves what comes over a connection whose handshake is over. */
  accept(socket: TLSSocket): void;
  /** A link has ended: so do its streams. */
  lost(link: LinkEnd): void;
  /** Streams that are open beside this link. */
  countOf(link: LinkEnd): number;
  /** Ends the connections of certificates for which `linkOf` knows no link any more. */
  recheck(): void;
  /** Ends everything. */
  close(): void;
}

// node:http2 has the option `sendDate`, its types do not.
const noDate: object = { sendDate: false };
const withTrailers: ServerStreamResponseOptions = { waitForTrailers: true, ...noDate };
const headersAndEnd: ServerStreamResponseOptions = { endStream: true, ...noDate };
const unimplemented = 12;

export function createStreamServer(options: StreamServerOptions): StreamServer {
  const connections = new Map<ServerHttp2Session, Uint8Array>();
  const streams = new Map<LinkEnd, Set<ExchangeStream>>();
  /** Streams by certificate: a peer may have several links and connections. */
  const counts = new Map<string, number>();
  /** What they share: a peer holds no more memory by more connections. */
  const budgets = new Map<string, { readonly partial: PartialBudget; connections: number }>();

  const budgetFor = (session: ServerHttp2Session, certificate: Uint8Array): PartialBudget => {
    const key = mapKey(certificate);
    const partial = createPartialBudget(options.partialBytesMax);
    const budget = budgets.get(key) ?? { partial, connections: 0 };
    budgets.set(key, budget);
    budget.connections += 1;
    session.once("close", () => {
      budget.connections -= 1;
      if (budget.connections === 0) budgets.delete(key);
    });
    return budget.partial;
  };

  const add = (link: LinkEnd, key: string, carriage: ExchangeStream): (() => void) => {
    const beside = streams.get(link) ?? new Set();
    streams.set(link, beside.add(carriage));
    counts.set(key, (counts.get(key) ?? 0) + 1);
    return () => {
      beside.delete(carriage);
      if (beside.size === 0 && streams.get(link) === beside) streams.delete(link);
      const left = (counts.get(key) ?? 1) - 1;
      if (left === 0) counts.delete(key);
      else counts.set(key, left);
    };
  };

  const onStream = (
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    certificate: Uint8Array,
    partial: PartialBudget,
  ): void => {
    stream.on("error", ignore);
    if (headers[":method"] !== "POST" || headers[":path"] !== exchangePath) {
      return endWith(stream, trailersFromStatus(plainStatus(unimplemented, "no such method")));
    }
    const link = options.linkOf(certificate);
    if (link === undefined) {
      options.onRefused(noLink());
      return endWith(stream, trailersFromStatus(statusOf("PEER_LOST")));
    }
    const key = mapKey(certificate);
    const full = (counts.get(key) ?? 0) >= exchangeStreamsMax;
    const carriage = openStream(stream, link, partial, options);
    stream.once("close", add(link, key, carriage));
    if (full) {
      options.onRefused(new CausewayError("BUSY", "a peer has too many streams open"));
      options.busy(link);
      carriage.send(failedFrame("BUSY"));
      return carriage.close();
    }
    carriage.listen(options.serve(link, carriage));
  };

  return {
    accept: (socket) => {
      const raw = socket.getPeerCertificate().raw as Buffer | undefined;
      if (!socket.authorized || raw === undefined) return void socket.destroy();
      const certificate = new Uint8Array(raw);
      const session = performServerHandshake(socket, exchangeSessionOptions);
      const partial = budgetFor(session, certificate);
      connections.set(session, certificate);
      session.on("error", ignore);
      session.once("close", () => connections.delete(session));
      session.on("stream", (stream, headers) => onStream(stream, headers, certificate, partial));
      tendSession(session, options.scheduler);
    },
    lost: (link) => {
      for (const carriage of [...(streams.get(link) ?? [])]) carriage.lost();
    },
    countOf: (link) => streams.get(link)?.size ?? 0,
    recheck: () => {
      for (const [session, certificate] of connections) {
        if (options.linkOf(certificate) === undefined) session.destroy();
      }
    },
    close: () => {
      for (const session of connections.keys()) session.destroy();
    },
  };
}

function openStream(
  stream: ServerHttp2Stream,
  link: LinkEnd,
  partial: PartialBudget,
  { onRefused, scheduler }: StreamServerOptions,
): ExchangeStream {
  let trailers = trailersFromStatus(plainStatus(0, ""));
  stream.on("wantTrailers", () => stream.sendTrailers(trailers));
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, withTrailers);
  return new ExchangeStream({
    role: "provider",
    link,
    stream,
    scheduler,
    partial,
    finish: (error) => {
      if (error !== undefined) trailers = trailersFromStatus(statusOf(error.code));
      stream.end();
    },
    onRefused,
  });
}

function endWith(stream: ServerHttp2Stream, trailers: object): void {
  stream.respond(
    { ":status": 200, "content-type": "application/grpc", ...trailers },
    headersAndEnd,
  );
  stream.on("data", () => stream.close(constants.NGHTTP2_NO_ERROR));
}

function noLink(): CausewayError {
  return new CausewayError("PEER_LOST", "a stream without a link of the same certificate");
}

function ignore(): void {}
