/** The connections of the listener for HTTP and JSON callers: who is at the other end, and when each is to end. */
import type { IncomingHttpHeaders, Server, ServerResponse } from "node:http";
import type { Http2Session } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { Handshakes } from "../../src/exchange/transport/handshakes.ts";
import type { CallerConnection } from "../../src/exchange/transport/ports.ts";
import type { JsonRequest, JsonResponse } from "./json-call.ts";

/** What is known of a connection of HTTP/1.1. */
interface Plain {
  /** Those that are not sent whole. */
  readonly responses: Set<ServerResponse>;
  isEnding: boolean;
}

export class JsonConnections {
  readonly #known = new WeakMap<object, CallerConnection>();
  /** Those below TLS, for a close that does not wait. */
  readonly #raw = new Set<Socket>();
  /** Of HTTP/1.1, under TLS or not. */
  readonly #plain = new Map<Socket, Plain>();
  readonly #sessions = new Set<Http2Session>();
  readonly #handshakes: Handshakes;

  constructor(server: Server) {
    this.#handshakes = new Handshakes(server);
    server.on("connection", (socket: Socket) => {
      this.#raw.add(socket);
      socket.once("close", () => this.#raw.delete(socket));
    });
    // Its certificate is looked at long before its first request.
    server.on("secureConnection", (socket: TLSSocket) => {
      if (socket.alpnProtocol !== "h2") this.#plainOf(socket);
    });
    server.on("session", (session: Http2Session) => {
      this.#sessions.add(session);
      session.once("close", () => this.#sessions.delete(session));
    });
  }

  /** The connection that a request came on, which counts as in use until its response is sent. */
  take(request: JsonRequest, response: JsonResponse): CallerConnection {
    // Over HTTP/2 each call has another view of its connection's socket.
    if ("stream" in request) {
      return this.#connectionOf(request.stream.session ?? request.socket, request.socket);
    }
    const { socket } = request;
    const plain = this.#plainOf(socket);
    const own = response as unknown as ServerResponse;
    plain.responses.add(own);
    own.shouldKeepAlive &&= !plain.isEnding;
    own.once("close", () => {
      plain.responses.delete(own);
      if (plain.isEnding && plain.responses.size === 0) socket.end();
    });
    const connection = this.#connectionOf(socket, socket);
    // It was sent behind another request, on a connection that takes no more.
    if (plain.isEnding) return { ...connection, isAuthorized: false };
    return connection.certificate === undefined && isOfPage(request.headers)
      ? { ...connection, isOfPage: true }
      : connection;
  }

  /** No connection that is open now takes another request; each ends with its last response. */
  endAll(): void {
    this.#handshakes.endAll();
    for (const session of this.#sessions) session.close();
    for (const [socket, plain] of this.#plain) {
      plain.isEnding = true;
      // Where the header fields are not sent yet, the caller is told.
      for (const response of plain.responses) response.shouldKeepAlive = false;
      if (plain.responses.size === 0) socket.destroy();
    }
  }

  destroyAll(): void {
    for (const socket of this.#raw) socket.destroy();
  }

  #plainOf(socket: Socket): Plain {
    const known = this.#plain.get(socket);
    if (known !== undefined) return known;
    const plain: Plain = { responses: new Set(), isEnding: false };
    this.#plain.set(socket, plain);
    socket.once("close", () => this.#plain.delete(socket));
    return plain;
  }

  #connectionOf(key: object, socket: Socket): CallerConnection {
    const connection = this.#known.get(key) ?? connectionOf(socket as TLSSocket);
    this.#known.set(key, connection);
    return connection;
  }
}

function connectionOf(socket: TLSSocket): CallerConnection {
  const certificate =
    socket.encrypted === true ? socket.getPeerCertificate().raw : (undefined as Buffer | undefined);
  return {
    remoteAddress: socket.remoteAddress ?? "",
    certificate: certificate === undefined ? undefined : new Uint8Array(certificate),
    isAuthorized: socket.encrypted === true && socket.authorized,
  };
}

const loopbackHost = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i;

/**
 * Whether a page that a browser on this machine shows has made a request, as far as browsers tell: by the site or
 * the origin of the page, or, where its name was pointed at loopback afterwards, by the host that it asks for.
 */
function isOfPage(headers: IncomingHttpHeaders): boolean {
  const site = headers["sec-fetch-site"];
  if (headers.origin !== undefined || (site !== undefined && site !== "none")) return true;
  return headers.host !== undefined && !loopbackHost.test(headers.host);
}
