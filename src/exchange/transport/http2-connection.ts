/** One client connection of HTTP/2 that is opened when it is needed and opened again when it was lost. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type ClientSessionOptions,
  connect,
  type OutgoingHttpHeaders,
} from "node:http2";
import type { Socket } from "node:net";
import type { Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import {
  connectMs,
  http2SessionMemoryMegabytes,
  http2SessionWindowBytes,
  http2StreamWindowBytes,
  keepaliveMs,
  reconnectMaxMs,
  reconnectMinMs,
} from "../../base/limits.ts";
import { type ClientTls, clientTlsOptions } from "./client-tls.ts";
import { Http2Keepalive } from "./http2-keepalive.ts";

export interface Http2ConnectionOptions {
  readonly host: string;
  readonly port: number;
  /** Plaintext when absent. */
  readonly tls?: ClientTls;
  readonly scheduler: Scheduler;
}

const sessionOptions: ClientSessionOptions = {
  maxSessionMemory: http2SessionMemoryMegabytes,
  maxHeaderListPairs: 512,
  settings: { initialWindowSize: http2StreamWindowBytes, enablePush: false },
};

export class Http2Connection {
  readonly #options: Http2ConnectionOptions;
  /** `host:port`, as the `:authority` of its calls. */
  readonly authority: string;
  readonly scheme: "http" | "https";
  #session: ClientHttp2Session | undefined;
  #keepalive: Http2Keepalive | undefined;
  #connecting: Promise<ClientHttp2Session> | undefined;
  #failure: CausewayError | undefined;
  #backoffMs = reconnectMinMs;
  #cancelBackoff: () => void = ignore;
  #closed = false;

  constructor(options: Http2ConnectionOptions) {
    this.#options = options;
    const host = options.host.includes(":") ? `[${options.host}]` : options.host;
    this.authority = `${host}:${options.port}`;
    this.scheme = options.tls === undefined ? "http" : "https";
  }

  /** The session, if it takes new calls at once. */
  get current(): ClientHttp2Session | undefined {
    const session = this.#session;
    return session !== undefined && !session.closed && !session.destroyed ? session : undefined;
  }

  /**
   * The session, opened first where there is none. Rejects with UPSTREAM_UNAVAILABLE: at once while
   * the time after a failed attempt has not passed, which grows to 2 s.
   */
  open(): Promise<ClientHttp2Session> {
    const session = this.current;
    if (session !== undefined) return Promise.resolve(session);
    if (this.#closed) return Promise.reject(unavailable("the connector is closed"));
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#connecting ??= this.#connect();
    return this.#connecting;
  }

  /** Opens a stream on a session of this connection. Throws what node:http2 throws. */
  request(session: ClientHttp2Session, headers: OutgoingHttpHeaders): ClientHttp2Stream {
    const stream = session.request(headers);
    if (session === this.#session) this.#keepalive?.watch(stream);
    return stream;
  }

  /** Lets open calls end for at most `graceMs`. */
  async close(graceMs: number): Promise<void> {
    this.#closed = true;
    this.#cancelBackoff();
    await this.#connecting?.catch(ignore);
    const session = this.#session;
    if (session === undefined || session.destroyed) return;
    const cancel = this.#options.scheduler.after(graceMs, () => session.destroy());
    await new Promise<void>((resolve) => {
      session.once("close", resolve);
      session.close();
    });
    cancel();
  }

  async #connect(): Promise<ClientHttp2Session> {
    try {
      const session = await this.#dial();
      this.#session = session;
      this.#backoffMs = reconnectMinMs;
      return session;
    } catch (cause) {
      this.#failure = unavailable("no connection to the upstream", cause);
      this.#cancelBackoff = this.#options.scheduler.after(this.#backoffMs, () => {
        this.#failure = undefined;
      });
      this.#backoffMs = Math.min(2 * this.#backoffMs, reconnectMaxMs);
      throw this.#failure;
    } finally {
      this.#connecting = undefined;
    }
  }

  #dial(): Promise<ClientHttp2Session> {
    const { scheduler, tls } = this.#options;
    return new Promise((resolve, reject) => {
      const session = connect(`${this.scheme}://${this.authority}`, {
        ...sessionOptions,
        ...(tls === undefined ? {} : clientTlsOptions(tls)),
      });
      let socket: Socket | undefined;
      let lastError: Error | undefined;
      const fail = (error: Error): void => {
        cancel();
        session.destroy();
        // A session that broke before it had begun may say nothing of it, nor end its socket.
        socket?.destroy();
        reject(error);
      };
      const cancel = scheduler.after(connectMs, () => fail(new Error("connecting took too long")));
      session.once("connect", (_session, connected) => {
        socket = connected as Socket;
        socket.setKeepAlive(true, keepaliveMs);
        socket.once("error", fail);
      });
      session.on("error", (error) => {
        lastError = error;
      });
      session.on("close", () => fail(lastError ?? new Error("the connection was closed")));
      // Settings show that HTTP/2 is spoken there: an open socket alone does not.
      session.once("remoteSettings", () => {
        cancel();
        socket?.off("error", fail);
        session.setLocalWindowSize(http2SessionWindowBytes);
        this.#keepalive = new Http2Keepalive(session, socket as Socket, scheduler);
        resolve(session);
      });
    });
  }
}

function unavailable(message: string, cause?: unknown): CausewayError {
  return new CausewayError("UPSTREAM_UNAVAILABLE", message, { cause, fields: { sent: "no" } });
}

function ignore(): void {}
