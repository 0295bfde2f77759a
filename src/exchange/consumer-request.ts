/**
 * The request of an open call at the consumer's gateway: read from the agency system as the provider gives
 * credit, hashed as it is sent, and kept as long as it may have to be sent again.
 */
import { requestCreditBytes, replayBytesMax } from "../base/limits.ts";
import { Transcript } from "../crypto/transcript.ts";
import { halfCloseFrame, requestFrame } from "./frames.ts";
import { creditOf } from "./open-request.ts";
import type { Carriage } from "./ports.ts";
import type { IncomingCall } from "./transport/ports.ts";

export class ConsumerRequest {
  readonly #incoming: IncomingCall;
  readonly #headers: Uint8Array;
  readonly #failed: (error: unknown) => void;
  /** What was read: all of it while it can be sent again, else what is not sent. */
  #messages: Uint8Array[] = [];
  /** How many of them were sent in this attempt. */
  #sent = 0;
  #replayable = true;
  #keptBytes = 0;
  /** The attempt has ended, and the next one has not begun. */
  #held = false;
  #halfClosed = false;
  #ended = false;
  /** One message is read at a time, also across attempts. */
  #reading: Promise<void> | undefined;
  /** Counts the attempts: what was awaited for an earlier one is passed over. */
  #run = 0;
  #transcript = new Transcript();
  /** Transcripts that a receipt may still name, by their number of frames. */
  #at = new Map<number, Uint8Array>();
  #oldest = 1;
  #takenFrames = 1;
  #outstanding = 0;
  #credited: (() => void) | undefined;

  /** `headers` is the encoded Metadata of the call; `failed` hears why the caller's request ended early. */
  constructor(incoming: IncomingCall, headers: Uint8Array, failed: (error: unknown) => void) {
    this.#incoming = incoming;
    this.#headers = headers;
    this.#failed = failed;
  }

  /** Whether everything that was read can be sent again. */
  get replayable(): boolean {
    return this.#replayable;
  }

  /** Frames sent in this attempt, headers among them. */
  get frames(): number {
    return this.#transcript.frames;
  }

  get transcript(): Uint8Array {
    return this.#transcript.value;
  }

  /** The transcript of the first frames; `undefined` when they were not sent, or are long taken. */
  transcriptAt(frames: number): Uint8Array | undefined {
    return this.#at.get(frames);
  }

  /** Sends the request on the carriage of a new attempt, from its beginning. */
  sendOn(carriage: Carriage): void {
    this.#run += 1;
    this.#held = false;
    this.#sent = 0;
    this.#outstanding = 0;
    this.#takenFrames = 1;
    this.#oldest = 1;
    this.#transcript = new Transcript().addHeaders(this.#headers);
    this.#at = new Map([[1, this.#transcript.value]]);
    this.#wake();
    void this.#pump(carriage);
  }

  /** The attempt has ended: what can be sent again stays so until the next one begins. */
  hold(): void {
    this.#run += 1;
    this.#held = true;
    this.#wake();
  }

  /** So many bytes of the request are taken: others may be under way in their place. */
  credit(bytes: number): void {
    this.#outstanding = Math.max(0, this.#outstanding - bytes);
    this.#wake();
  }

  /** The provider's upstream has taken so many messages: a later receipt covers at least these. */
  taken(messages: number): void {
    this.#takenFrames = Math.min(this.frames, this.#takenFrames + messages);
    for (; this.#oldest < this.#takenFrames; this.#oldest++) this.#at.delete(this.#oldest);
  }

  /** The provider has begun to answer: the request is sent no second time. */
  answered(): void {
    this.#replayable = false;
    this.#dropSent();
  }

  /** Nothing more is read or sent. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async #pump(carriage: Carriage): Promise<void> {
    const run = this.#run;
    const isOver = (): boolean => this.#ended || run !== this.#run;
    try {
      while (!isOver()) {
        const message = this.#messages[this.#sent];
        if (message !== undefined) {
          await this.#room(creditOf(message), carriage, isOver);
          if (!isOver()) this.#send(message, carriage);
        } else if (this.#halfClosed) {
          return carriage.send(halfCloseFrame());
        } else {
          this.#reading ??= this.#read();
          await this.#reading;
        }
      }
    } catch (error) {
      if (!isOver()) this.#failed(error);
    }
  }

  async #read(): Promise<void> {
    try {
      const message = await this.#incoming.read();
      if (message === undefined) this.#halfClosed = true;
      else this.#keep(message);
    } finally {
      this.#reading = undefined;
    }
  }

  #keep(message: Uint8Array): void {
    this.#messages.push(message);
    if (!this.#replayable) return;
    this.#keptBytes += creditOf(message);
    // Between two attempts nothing is given up that the next one was promised.
    if (this.#keptBytes <= replayBytesMax || this.#held) return;
    this.#replayable = false;
    this.#dropSent();
  }

  #dropSent(): void {
    this.#messages.splice(0, this.#sent);
    this.#sent = 0;
  }

  #send(message: Uint8Array, carriage: Carriage): void {
    this.#transcript.addMessage(message);
    this.#at.set(this.#transcript.frames, this.#transcript.value);
    this.#outstanding += creditOf(message);
    this.#sent += 1;
    if (!this.#replayable) this.#dropSent();
    carriage.send(requestFrame(message));
  }

  /** Resolves when so much more may be under way, and the carriage takes it, or the attempt is over. */
  async #room(bytes: number, carriage: Carriage, isOver: () => boolean): Promise<void> {
    const isFull = (): boolean =>
      this.#outstanding > 0 && this.#outstanding + bytes > requestCreditBytes;
    while (!isOver() && isFull()) {
      await new Promise<void>((resolve) => {
        this.#credited = resolve;
      });
    }
    // Whoever gives credit for what it does not read makes this side hold nothing for it.
    if (!isOver()) await carriage.ready();
  }

  #wake(): void {
    const credited = this.#credited;
    this.#credited = undefined;
    credited?.();
  }
}
