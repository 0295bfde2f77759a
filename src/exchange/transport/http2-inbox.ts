/** The receiving half of an HTTP/2 stream: its bytes as messages, taken one at a time. */
import type { Http2Stream } from "node:http2";
import { CausewayError } from "../../base/errors.ts";
import { MessageReader, type MessageReaderOptions } from "./framing.ts";

/**
 * What nobody takes stays on the other side, by HTTP/2 flow control: at most one message in part, what
 * came with the last chunk and the stream's window are held here.
 */
export class Http2Inbox {
  readonly #stream: Http2Stream;
  readonly #reader: MessageReader;
  readonly #onReady: () => void;
  readonly #onData = (chunk: Buffer): void => this.#received(chunk);
  #attached = false;
  #unbounded = false;
  #inflating = false;
  #inflated: Uint8Array | undefined;
  /** What was wrong with the bytes: nothing behind it is read. */
  #broken: unknown;
  #failure: CausewayError | undefined;
  #ended = false;

  /** `onReady` is called when `poll` may have something new to say, never from within a method. */
  constructor(stream: Http2Stream, options: MessageReaderOptions, onReady: () => void) {
    this.#stream = stream;
    this.#reader = new MessageReader(options);
    this.#onReady = onReady;
    // A stream without bytes ends by itself, also when nobody asks for more.
    this.#ended = stream.readableEnded;
    stream.on("end", () => {
      this.#ended = true;
      this.#onReady();
    });
  }

  /**
   * The next message that is here, else `undefined`. Throws in its turn what is wrong with the bytes:
   * MESSAGE_TOO_LARGE, COMPRESSION_UNSUPPORTED, PROTOCOL_ERROR; and what `fail` was given.
   */
  poll(): Uint8Array | undefined {
    if (this.#broken !== undefined) throw this.#broken;
    if (this.#inflated !== undefined) {
      const message = this.#inflated;
      this.#inflated = undefined;
      return message;
    }
    if (this.#inflating) return undefined;
    if (!this.#reader.waiting && this.#failure !== undefined) throw this.#failure;
    try {
      const next = this.#reader.next();
      if (!(next instanceof Promise)) return next;
      this.#awaitInflated(next);
      return undefined;
    } catch (error) {
      this.#broken = error;
      throw error;
    }
  }

  /** Whether a message or a failure is here, or about to be. */
  get waiting(): boolean {
    if (this.#inflating || this.#inflated !== undefined) return true;
    return this.#reader.waiting || this.#broken !== undefined;
  }

  /** Whether the other side has half-closed and all that it sent was polled. */
  get ended(): boolean {
    return this.#ended && !this.waiting;
  }

  /** Throws PROTOCOL_ERROR when what came ends inside a message. */
  finish(): void {
    this.#reader.finish();
  }

  /** Asks for more of the stream, until a message is here. */
  more(): void {
    if (this.#ended || this.#inflating) return;
    if (this.#attached) {
      this.#stream.resume();
      return;
    }
    this.#attached = true;
    this.#stream.on("data", this.#onData);
  }

  /** Takes all that still comes, to be polled later: the other side has ended, its window is all there is. */
  drain(): void {
    this.#unbounded = true;
    this.more();
  }

  /** To be called when the stream is closed: what Node still holds is taken, and no more will come. */
  close(): void {
    this.#stream.off("data", this.#onData);
    for (;;) {
      const chunk = this.#stream.read() as Buffer | null;
      if (chunk === null) break;
      this.#reader.add(chunk);
    }
    this.#ended = true;
  }

  /** What `poll` throws once all that is here was polled. */
  fail(failure: CausewayError): void {
    this.#failure ??= failure;
  }

  /** Drops all that still comes; `onBytes` is told of it. */
  discard(onBytes: () => void): void {
    this.#stream.off("data", this.#onData);
    this.#stream.on("data", onBytes);
    this.#stream.resume();
  }

  #awaitInflated(inflated: Promise<Uint8Array>): void {
    this.#inflating = true;
    const done = (): void => {
      this.#inflating = false;
      this.#onReady();
    };
    inflated.then(
      (message) => {
        this.#inflated = message;
        done();
      },
      (error: unknown) => {
        this.#broken = error;
        done();
      },
    );
  }

  #received(chunk: Buffer): void {
    this.#reader.add(chunk);
    if (!this.#reader.waiting) return;
    this.#onReady();
    if (!this.#unbounded && this.#reader.waiting) this.#stream.pause();
  }
}
