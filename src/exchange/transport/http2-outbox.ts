/** The sending half of an HTTP/2 stream: messages in their order, compressed or not. */
import type { Http2Stream } from "node:http2";
import { frameMessage, messagePrefix } from "./framing.ts";
import { gzipMessage } from "./gzip.ts";

/** Messages up to this length are copied behind their prefix: one write instead of two. */
const copiedBytesMax = 16 * 1024;
/** Below this a message gains nothing by compression. */
const gzipBytesMin = 128;
const taken: Promise<void> = Promise.resolve();

export interface Http2OutboxOptions {
  /** Messages are compressed where that makes them shorter. */
  readonly gzip: boolean;
  /** From so many bytes on that wait to be sent their sender is held up. */
  readonly waitingBytesMax: number;
}

export class Http2Outbox {
  readonly #stream: Http2Stream;
  readonly #gzip: boolean;
  readonly #waitingBytesMax: number;
  #waiting: (() => void)[] = [];
  /** The last message that is compressed in the thread pool; what comes after it waits for it. */
  #compressing: Promise<void> | undefined;
  #ended = false;
  #hearsClose = false;

  constructor(stream: Http2Stream, { gzip, waitingBytesMax }: Http2OutboxOptions) {
    this.#stream = stream;
    this.#gzip = gzip;
    this.#waitingBytesMax = waitingBytesMax;
  }

  /**
   * Sends a message. Resolves when no more than the bound waits to be sent, and when the stream is closed. `written` is
   * called once the message is written to the network, never for one that was given up.
   */
  write(message: Uint8Array, written?: () => void): Promise<void> {
    if (this.#ended || this.#stream.destroyed) return taken;
    const compressing = this.#inTurn(() => this.#writeMessage(message, written));
    return compressing === undefined ? this.#room() : compressing.then(() => this.#room());
  }

  /** Half-closes after what was written, and after `last` if there is one. */
  end(last?: Uint8Array): void {
    if (this.#ended) return;
    this.#ended = true;
    if (last !== undefined && (this.#gzip || last.length > copiedBytesMax)) {
      void this.#inTurn(() => this.#writeMessage(last));
    } else if (last !== undefined) {
      this.#stream.end(frameMessage(last));
      return;
    }
    void this.#inTurn(() => {
      this.#stream.end();
    });
  }

  #inTurn(send: () => Promise<void> | undefined | void): Promise<void> | undefined {
    const before = this.#compressing;
    const sent = before === undefined ? send() : before.then(send);
    if (!(sent instanceof Promise)) return undefined;
    const done = sent.then(() => {
      if (this.#compressing === done) this.#compressing = undefined;
    });
    this.#compressing = done;
    return done;
  }

  #writeMessage(message: Uint8Array, written?: () => void): Promise<void> | undefined {
    if (!this.#gzip || message.length < gzipBytesMin) {
      this.#put(message, false, written);
      return undefined;
    }
    const compressed = gzipMessage(message);
    const put = (body: Uint8Array): void => {
      if (body.length < message.length) this.#put(body, true, written);
      else this.#put(message, false, written);
    };
    if (compressed instanceof Promise) return compressed.then(put);
    put(compressed);
    return undefined;
  }

  #put(body: Uint8Array, compressed: boolean, written: (() => void) | undefined): void {
    const stream = this.#stream;
    if (stream.destroyed || stream.writableEnded) return;
    const onWritten = (error?: Error | null): void => {
      if (this.#hasRoom) this.#wake();
      // A stream that was destroyed answers for writes that never left, or are still under way.
      if (!error && !stream.destroyed && !stream.closed) written?.();
    };
    if (body.length <= copiedBytesMax) {
      stream.write(frameMessage(body, compressed), onWritten);
      return;
    }
    stream.cork();
    stream.write(messagePrefix(body.length, compressed));
    stream.write(body, onWritten);
    stream.uncork();
  }

  get #hasRoom(): boolean {
    return this.#stream.writableLength <= this.#waitingBytesMax || this.#stream.destroyed;
  }

  #room(): Promise<void> {
    if (this.#hasRoom) return taken;
    if (!this.#hearsClose) this.#stream.on("close", () => this.#wake());
    this.#hearsClose = true;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
