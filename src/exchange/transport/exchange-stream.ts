/** One exchange on an HTTP/2 stream of its own, at either end: a Carriage below which nothing is buffered without bound. */
import { constants, type Http2Stream } from "node:http2";
import type { Scheduler } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import { exchangeCloseMs, exchangeFrameBytesMax, exchangeQueueBytes } from "../../base/limits.ts";
import type { AnswerFrame } from "../../gen/causeway/exchange/v1/link_pb.ts";
import type { Carriage, CarriageListener, FrameBody, LinkEnd, Written } from "../ports.ts";
import {
  apartFromMessages,
  decodeStreamFrame,
  encodeStreamFrame,
  type StreamRole,
} from "./exchange-stream-codec.ts";
import type { FrameBuffers } from "./frame-buffers.ts";
import { MessageReader } from "./framing.ts";

/** The memory that the streams of one peer share for frames that have come in part. */
export interface PartialBudget {
  /** Whether so many more bytes may be held; they count if so. */
  hold(bytes: number): boolean;
  release(bytes: number): void;
}

export interface ExchangeStreamOptions {
  readonly role: StreamRole;
  readonly link: LinkEnd;
  readonly stream: Http2Stream;
  readonly scheduler: Scheduler;
  readonly partial: PartialBudget;
  /** Of the connection; absent where no frame is given back. */
  readonly buffers?: FrameBuffers;
  /** Writes nothing more; on the provider's side with the trailers of this error, or of OK. */
  readonly finish: (error: CausewayError | undefined) => void;
  /** Ended by what the other side sent: PROTOCOL_ERROR, MESSAGE_TOO_LARGE, BUSY. */
  readonly onRefused: (error: CausewayError) => void;
}

export class ExchangeStream implements Carriage {
  readonly link: LinkEnd;
  readonly #o: ExchangeStreamOptions;
  readonly #reader: MessageReader;
  /** The buffers below answers that were handed over. */
  readonly #lent = new WeakMap<AnswerFrame, ArrayBufferLike>();
  #listener: CarriageListener | undefined;
  #over = false;
  /** It has ended before it was closed. */
  #failed = false;
  #heldBytes = 0;
  #queuedBytes = 0;
  #waiting: (() => void)[] = [];
  /** Who waits for a frame to have left. */
  readonly #unwritten = new Set<Written>();

  constructor(options: ExchangeStreamOptions) {
    this.#o = options;
    this.link = options.link;
    const { buffers, stream } = options;
    this.#reader = new MessageReader({
      messageBytesMax: exchangeFrameBytesMax,
      encoding: undefined,
      ...(buffers === undefined ? {} : { buffers }),
    });
    stream.on("data", (chunk: Buffer) => this.#received(chunk));
    stream.on("end", () => this.#remoteEnded());
    stream.on("aborted", () => this.lost());
    stream.on("error", () => this.lost());
    stream.on("close", () => {
      this.lost();
      for (const written of [...this.#unwritten]) written(false);
    });
    stream.pause();
  }

  /** Who hears of it; frames come from then on. */
  listen(listener: CarriageListener): void {
    this.#listener = listener;
    if (this.#failed) listener.onLost();
    else this.#o.stream.resume();
  }

  send(body: FrameBody, written?: Written): void {
    if (this.#over || this.#o.stream.destroyed) return written?.(false);
    const { stream } = this.#o;
    const pieces = encodeStreamFrame(body);
    const bytes = pieces.reduce((sum, { length }) => sum + length, 0);
    this.#queuedBytes += bytes;
    const left = written && this.#untilWritten(written);
    stream.cork();
    for (const piece of pieces.slice(0, -1)) stream.write(piece);
    stream.write(pieces.at(-1), (error) => {
      // A stream that was destroyed answers for writes that never left.
      left?.((error === undefined || error === null) && !stream.destroyed);
      this.#queuedBytes -= bytes;
      if (this.#queuedBytes < exchangeQueueBytes) this.#wake();
    });
    stream.uncork();
  }

  ready(): Promise<void> {
    if (this.#over || this.#queuedBytes < exchangeQueueBytes) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): void {
    if (!this.#over) this.#end(undefined);
  }

  taken(answer: AnswerFrame): void {
    const buffer = this.#lent.get(answer);
    if (buffer === undefined) return;
    this.#lent.delete(answer);
    if (!this.#over) this.#o.buffers?.give(buffer);
  }

  /** The stream, its connection or its link has ended: what is under way is cut off. */
  lost(): void {
    this.#fail(new CausewayError("PEER_LOST", "the link of the stream has ended"));
  }

  /** Hands a frame over as if the other side had sent it, when it has refused the stream as a whole. */
  refusedWith(body: FrameBody): void {
    if (this.#over) return;
    this.#listener?.onFrame(body);
  }

  #received(chunk: Buffer): void {
    if (this.#over) return;
    const messages = this.#checked(() => {
      const completed = this.#reader.push(chunk);
      this.#hold(completed, chunk);
      return completed;
    });
    for (const message of messages ?? []) {
      if (this.#over) return;
      const body = this.#checked(() => this.#decode(message));
      if (body !== undefined) this.#listener?.onFrame(body);
    }
  }

  #decode(message: Uint8Array): FrameBody | undefined {
    const body = decodeStreamFrame(message, this.#o.role);
    if (body?.case !== "answer") return body;
    // What is kept of an answer for long, such as its proof, does not keep all of it.
    const value = apartFromMessages(body.value);
    const buffer = this.#o.buffers?.below(message);
    if (buffer !== undefined) this.#lent.set(value, buffer);
    return { case: "answer", value };
  }

  // Counts what is held of a message that has come in part; an upper bound when a chunk completes one.
  #hold(completed: readonly Uint8Array[], chunk: Buffer): void {
    if (completed.length > 0) this.#releaseHeld();
    if (!this.#o.partial.hold(chunk.length)) {
      throw new CausewayError("BUSY", "too many large frames of this peer are under way");
    }
    this.#heldBytes += chunk.length;
  }

  #releaseHeld(): void {
    this.#o.partial.release(this.#heldBytes);
    this.#heldBytes = 0;
  }

  #remoteEnded(): void {
    if (this.#over) return;
    this.#checked(() => this.#reader.finish());
    this.lost();
  }

  /** Reads what the other side sent; the stream ends with what is wrong in it. */
  #checked<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
      this.#o.onRefused(error);
      this.#fail(error);
      return undefined;
    }
  }

  #fail(error: CausewayError): void {
    if (this.#over) return;
    this.#failed = true;
    this.#end(error);
    this.#listener?.onLost();
  }

  #end(error: CausewayError | undefined): void {
    this.#over = true;
    this.#releaseHeld();
    this.#wake();
    const { stream, scheduler, finish } = this.#o;
    // Unread bytes would keep the stream from being destroyed.
    stream.resume();
    if (stream.destroyed) return;
    finish(error);
    const cancel = scheduler.after(exchangeCloseMs, () => stream.close(constants.NGHTTP2_CANCEL));
    stream.once("close", cancel);
  }

  /** A stream that is destroyed does not say of each write that it was given up. */
  #untilWritten(written: Written): Written {
    const once: Written = (hasLeft) => {
      if (this.#unwritten.delete(once)) written(hasLeft);
    };
    this.#unwritten.add(once);
    return once;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
