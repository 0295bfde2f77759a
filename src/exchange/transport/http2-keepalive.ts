/** Finds a connection whose other end vanished without a word, by a ping that nobody answers. */
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Scheduler } from "../../base/clock.ts";
import {
  upstreamPingMs,
  upstreamPingsMax,
  upstreamPingTimeoutMs,
  upstreamSlowPingMs,
} from "../../base/limits.ts";

/**
 * Pings while calls are open and nothing comes from the other side. Without open calls it is quiet,
 * and a long silence is pinged rarely: gRPC servers take more for abuse and end the connection.
 */
export class Http2Keepalive {
  readonly #session: ClientHttp2Session;
  readonly #socket: Socket;
  readonly #scheduler: Scheduler;
  readonly #closed = (): void => {
    this.#streams--;
  };
  #streams = 0;
  #bytesRead = 0;
  #silentMs = 0;
  #pings = 0;
  #cancel: () => void;

  constructor(session: ClientHttp2Session, socket: Socket, scheduler: Scheduler) {
    this.#session = session;
    this.#socket = socket;
    this.#scheduler = scheduler;
    this.#cancel = this.#wait();
    session.once("close", () => this.#cancel());
  }

  /** Counts a stream as open until it is closed. */
  watch(stream: ClientHttp2Stream): void {
    this.#streams++;
    stream.once("close", this.#closed);
  }

  // One timer for the life of the connection: a call costs none of its own.
  #wait(): () => void {
    return this.#scheduler.after(upstreamPingTimeoutMs, () => this.#look());
  }

  #look(): void {
    const { bytesRead } = this.#socket;
    if (this.#streams === 0 || bytesRead !== this.#bytesRead) {
      this.#bytesRead = bytesRead;
      this.#silentMs = 0;
      this.#pings = 0;
    } else {
      this.#silentMs += upstreamPingTimeoutMs;
    }
    const dueMs = this.#pings < upstreamPingsMax ? upstreamPingMs : upstreamSlowPingMs;
    if (this.#silentMs >= dueMs) this.#ping();
    else this.#cancel = this.#wait();
  }

  #ping(): void {
    this.#cancel = this.#scheduler.after(upstreamPingTimeoutMs, () => this.#session.destroy());
    this.#session.ping(() => {
      this.#cancel();
      if (this.#session.destroyed) return;
      // The answer to a ping is no sign of the calls: the silence goes on.
      this.#bytesRead = this.#socket.bytesRead;
      this.#silentMs = 0;
      this.#pings++;
      this.#cancel = this.#wait();
    });
  }
}
