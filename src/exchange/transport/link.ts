/** One end of a multiplexed link over a bidirectional gRPC stream (LinkService.Connect). */
import type { Scheduler } from "../../base/clock.ts";
import { createMessage } from "../../base/create-message.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import {
  linkBatchBytesMax,
  linkBatchFramesMax,
  linkCloseMs,
  linkCongestedBytes,
  linkHelloMs,
  linkQueueBytesMax,
} from "../../base/limits.ts";
import { type Frame, FrameSchema, type Hello } from "../../gen/causeway/exchange/v1/link_pb.ts";
import { decodeBatch, encodeBatch, encodeFrame } from "./link-codec.ts";

/** A link whose Hellos have passed. */
export interface Link {
  /** DER of the certificate that the other side proved to hold. */
  readonly peerCertificate: Uint8Array;
  /** The other side's Hello, as it was accepted. */
  readonly hello: Hello;
  /** So many bytes wait to be written that no new exchange should begin. */
  readonly congested: boolean;
  /** The other side takes no new exchanges on this link. */
  readonly draining: boolean;
  /**
   * Queues a frame; all frames of one turn of the event loop are written as one message. Does nothing
   * once the link is lost. Throws MESSAGE_TOO_LARGE for a frame above its limit.
   */
  send(frame: Frame): void;
  /** Frames of the other side in order, Drain excepted. To be set, once, in the turn that gave the link. */
  onFrame(listener: (frame: Frame) => void): void;
  /** Called once when the other side begins to drain; there may be several listeners. */
  onDrain(listener: () => void): void;
  /** Called once when the link has ended: with why, or `undefined` after `close`; there may be several listeners. */
  onClose(listener: (error: CausewayError | undefined) => void): void;
  /** Tells the other side to begin no new exchange. */
  drain(): void;
  /** Writes what is queued and ends the link; with a reason, cuts it off. */
  close(reason?: CausewayError): void;
}

/** What a side says of itself and asks of the other before a link carries anything. */
export interface LinkHooks {
  /** The own Hello for the holder of this certificate. */
  hello(peerCertificate: Uint8Array): Promise<Hello>;
  /** Judges the other side's Hello; an error refuses the link. */
  onHello(hello: Hello, peerCertificate: Uint8Array): Promise<Error | undefined>;
}

export interface LinkTiming {
  readonly scheduler: Scheduler;
  /** Runs at the end of this turn of the event loop. */
  readonly defer: (run: () => void) => void;
}

/** What a link asks of a grpc-js stream of undecoded messages, on either side. */
export interface LinkDuplex {
  readonly writableEnded: boolean;
  on(event: string, listener: (...args: never[]) => void): unknown;
  write(message: Buffer, done: () => void): unknown;
  end(): unknown;
  pause(): unknown;
  resume(): unknown;
}

/** The stream below a link. */
export interface LinkStream {
  readonly duplex: LinkDuplex;
  /** Ends the stream at once; the other side learns the reason if it can. */
  readonly abort: (reason: CausewayError) => void;
  /** Why the stream has failed. */
  failure(error: Error): CausewayError;
}

export interface LinkEndOptions {
  /** The side that opened the stream says Hello first; the other answers once it has accepted that. */
  readonly role: "opens" | "accepts";
  readonly stream: LinkStream;
  readonly peerCertificate: Uint8Array;
  readonly hooks: LinkHooks;
  readonly timing: LinkTiming;
}

/**
 * Exchanges Hellos on a new stream. Rejects, with the stream ended, when the other side's first message
 * is not exactly one Hello, when it is refused, late, or the stream fails.
 */
export async function establishLink(options: LinkEndOptions): Promise<Link> {
  const end = new LinkEnd(options);
  try {
    await end.greet();
    return end;
  } catch (error) {
    const reason = error instanceof CausewayError ? error : unexpected(error);
    end.close(reason);
    throw reason;
  }
}

class LinkEnd implements Link {
  readonly peerCertificate: Uint8Array;
  readonly #role: "opens" | "accepts";
  readonly #stream: LinkStream;
  readonly #hooks: LinkHooks;
  readonly #timing: LinkTiming;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #flushPlanned = false;
  #writing = false;
  #hello: Hello | undefined;
  #awaitHello: { resolve(hello: Hello): void; reject(error: CausewayError): void } | undefined;
  #draining = false;
  #ending = false;
  #closed: { readonly error: CausewayError | undefined } | undefined;
  #onFrame: ((frame: Frame) => void) | undefined;
  readonly #onDrain: (() => void)[] = [];
  readonly #onClose: ((error: CausewayError | undefined) => void)[] = [];

  constructor({ role, stream, peerCertificate, hooks, timing }: LinkEndOptions) {
    this.peerCertificate = peerCertificate;
    this.#role = role;
    this.#stream = stream;
    this.#hooks = hooks;
    this.#timing = timing;
    const { duplex } = stream;
    duplex.on("data", (message: Buffer) => this.#received(message));
    duplex.on("error", (error: Error) => this.#ended(stream.failure(error)));
    duplex.on("end", () => this.#ended(lost("the other side ended the link")));
    duplex.on("close", () => this.#ended(lost("the link was closed")));
    // A call that its other side cancels reports it apart on a grpc-js server.
    duplex.on("cancelled", () => this.#ended(lost("the other side cancelled the link")));
  }

  async greet(): Promise<void> {
    const coming = this.#theirHello();
    coming.catch(() => {});
    if (this.#role === "opens") await this.#sendHello();
    const hello = await coming;
    const refusal = await this.#hooks.onHello(hello, this.peerCertificate);
    if (refusal !== undefined) throw refusal;
    if (this.#role === "accepts") await this.#sendHello();
    if (this.#closed !== undefined) throw this.#closed.error ?? lost("closed");
    this.#hello = hello;
    // Those who wait for the link set their listeners before its first frames come.
    this.#timing.defer(() => this.#stream.duplex.resume());
  }

  async #sendHello(): Promise<void> {
    const value = await this.#hooks.hello(this.peerCertificate);
    this.#enqueue(createMessage(FrameSchema, { body: { case: "hello", value } }));
    this.#flush();
  }

  get hello(): Hello {
    assertInvariant(this.#hello !== undefined, "a link is given out after its Hello");
    return this.#hello;
  }

  get congested(): boolean {
    return this.#queuedBytes > linkCongestedBytes;
  }

  get draining(): boolean {
    return this.#draining;
  }

  send(frame: Frame): void {
    if (this.#closed !== undefined || this.#ending) return;
    this.#enqueue(frame);
    if (this.#queuedBytes > linkQueueBytesMax) {
      this.close(new CausewayError("BUSY", "the other side does not read its link"));
    } else if (!this.#flushPlanned && !this.#writing) {
      this.#flushPlanned = true;
      this.#timing.defer(() => this.#flush());
    }
  }

  onFrame(listener: (frame: Frame) => void): void {
    this.#onFrame = listener;
  }

  onDrain(listener: () => void): void {
    this.#onDrain.push(listener);
  }

  onClose(listener: (error: CausewayError | undefined) => void): void {
    if (this.#closed !== undefined) listener(this.#closed.error);
    else this.#onClose.push(listener);
  }

  drain(): void {
    this.send(createMessage(FrameSchema, { body: { case: "drain", value: {} } }));
  }

  close(reason?: CausewayError): void {
    if (this.#closed !== undefined || this.#ending) return;
    if (reason !== undefined) {
      this.#ended(reason, () => this.#stream.abort(reason));
      return;
    }
    this.#ending = true;
    if (!this.#writing) this.#flush();
  }

  #enqueue(frame: Frame): void {
    const bytes = encodeFrame(frame);
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
  }

  // One message is under way at a time: what is queued meanwhile leaves together.
  #flush(): void {
    this.#flushPlanned = false;
    if (this.#closed !== undefined || this.#writing) return;
    const frames = this.#takeBatch();
    if (frames.length === 0) {
      if (this.#ending) this.#finish();
      return;
    }
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
    this.#writing = true;
    this.#stream.duplex.write(encodeBatch(frames), () => {
      this.#writing = false;
      this.#queuedBytes -= bytes;
      this.#flush();
    });
  }

  #takeBatch(): readonly Uint8Array[] {
    let count = 0;
    let bytes = 0;
    while (count < this.#queue.length && count < linkBatchFramesMax) {
      bytes += (this.#queue[count] as Uint8Array).length;
      if (count > 0 && bytes > linkBatchBytesMax) break;
      count++;
    }
    if (count < this.#queue.length) return this.#queue.splice(0, count);
    const all = this.#queue;
    this.#queue = [];
    return all;
  }

  #finish(): void {
    const stream = this.#stream;
    const cancel = this.#timing.scheduler.after(linkCloseMs, () => stream.abort(lost("closed")));
    for (const event of ["close", "end", "error"]) stream.duplex.on(event, cancel);
    this.#ended(undefined);
  }

  #theirHello(): Promise<Hello> {
    return new Promise((resolve, reject) => {
      const cancel = this.#timing.scheduler.after(linkHelloMs, () =>
        reject(lost("the other side's Hello did not come in time")),
      );
      this.#awaitHello = {
        resolve: (hello) => {
          cancel();
          resolve(hello);
        },
        reject: (error) => {
          cancel();
          reject(error);
        },
      };
    });
  }

  #received(message: Buffer): void {
    if (this.#closed !== undefined) return;
    try {
      const frames = decodeBatch(message);
      if (this.#awaitHello === undefined) for (const frame of frames) this.#dispatch(frame);
      else this.#greeted(frames);
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
      this.close(error);
    }
  }

  #greeted(frames: readonly Frame[]): void {
    const [first] = frames;
    if (frames.length !== 1 || first?.body.case !== "hello" || first.exchange !== 0n) {
      throw new CausewayError("PROTOCOL_ERROR", "the first message of a link is exactly one Hello");
    }
    // What comes while the Hello is judged waits on the other side.
    this.#stream.duplex.pause();
    this.#awaitHello?.resolve(first.body.value);
    this.#awaitHello = undefined;
  }

  #dispatch(frame: Frame): void {
    if (this.#closed !== undefined) return;
    if (frame.body.case === "hello") {
      throw new CausewayError("PROTOCOL_ERROR", "a link has one Hello each way");
    }
    if (frame.body.case === "drain") this.#drained();
    // A kind of a later release has no case here: it is passed over.
    else if (frame.body.case !== undefined) this.#onFrame?.(frame);
  }

  #drained(): void {
    if (this.#draining) return;
    this.#draining = true;
    for (const listener of this.#onDrain) listener();
  }

  #ended(error: CausewayError | undefined, abort?: () => void): void {
    if (this.#closed !== undefined) return;
    this.#closed = { error };
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#awaitHello?.reject(error ?? lost("the link was closed"));
    this.#awaitHello = undefined;
    const { duplex } = this.#stream;
    if (abort !== undefined) abort();
    else if (!duplex.writableEnded) duplex.end();
    // Unread messages would keep the stream from being destroyed.
    duplex.resume();
    for (const listener of this.#onClose) listener(error);
  }
}

function lost(message: string): CausewayError {
  return new CausewayError("PEER_LOST", message);
}

function unexpected(cause: unknown): CausewayError {
  return new CausewayError("INTERNAL", "the link could not be established", { cause });
}
