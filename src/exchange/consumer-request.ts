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
  /** Every message so far, while it can be sent again. */
  #kept: Uint8Array[] | undefined = [];
  #keptBytes = 0;
  #halfClosed = false;
  #ended = false;
  #pumping = false;
  /** Counts the attempts: what was awaited for an earlier one is passed over. */
  #run = 0;
  #carriage: Carriage | undefined;
  #replayed = 0;
  #saidHalfClose = false;
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
    return this.#kept !== undefined;
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
    this.#carriage = carriage;
    this.#replayed = 0;
    this.#saidHalfClose = false;
    this.#outstanding = 0;
    this.#takenFrames = 1;
    this.#oldest = 1;
    this.#transcript = new Transcript().addHeaders(this.#headers);
    this.#at = new Map([[1, this.#transcript.value]]);
    this.#credited?.();
    if (!this.#pumping) void this.#pump();
  }

  /** The provider's upstream has taken so much of the request. */
  credit(messages: number, bytes: number): void {
    this.#outstanding = Math.max(0, this.#outstanding - bytes);
    this.#takenFrames = Math.min(this.frames, this.#takenFrames + messages);
    // A later receipt covers at least what was taken by then.
    for (; this.#oldest < this.#takenFrames; this.#oldest++) this.#at.delete(this.#oldest);
    this.#credited?.();
  }

  /** The provider has begun to answer: the request is sent no second time. */
  answered(): void {
    this.#kept = undefined;
  }

  /** Nothing more is read or sent. */
  end(): void {
    this.#ended = true;
    this.#credited?.();
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    try {
      while (!this.#ended) {
        const run = this.#run;
        const message = await this.#next(run);
        if (this.#ended) return;
        if (run !== this.#run) continue;
        if (message === undefined) {
          if (this.#saidHalfClose) return;
          this.#saidHalfClose = true;
          this.#carriage?.send(halfCloseFrame());
          return;
        }
        await this.#creditFor(creditOf(message), run);
        if (this.#ended || run !== this.#run) continue;
        this.#send(message);
      }
    } catch (error) {
      if (!this.#ended) this.#failed(error);
    } finally {
      this.#pumping = false;
    }
  }

  /** The next message of this attempt: one that is sent again, or a new one of the caller. */
  async #next(run: number): Promise<Uint8Array | undefined> {
    const kept = this.#kept?.[this.#replayed];
    if (kept !== undefined) {
      this.#replayed += 1;
      return kept;
    }
    if (this.#halfClosed) return undefined;
    const message = await this.#incoming.read();
    if (message === undefined) {
      this.#halfClosed = true;
      return undefined;
    }
    this.#keep(message);
    // For a new attempt meanwhile it is one of those that are sent again.
    if (run === this.#run) this.#replayed += 1;
    return message;
  }

  #keep(message: Uint8Array): void {
    if (this.#kept === undefined) return;
    this.#keptBytes += creditOf(message);
    if (this.#keptBytes > replayBytesMax) {
      this.#kept = undefined;
      return;
    }
    this.#kept.push(message);
  }

  #send(message: Uint8Array): void {
    this.#transcript.addMessage(message);
    this.#at.set(this.#transcript.frames, this.#transcript.value);
    this.#outstanding += creditOf(message);
    this.#carriage?.send(requestFrame(message));
  }

  /** Resolves when so much may be under way, or the attempt is another one. */
  async #creditFor(bytes: number, run: number): Promise<void> {
    while (
      !this.#ended &&
      run === this.#run &&
      this.#outstanding > 0 &&
      this.#outstanding + bytes > requestCreditBytes
    ) {
      await new Promise<void>((resolve) => {
        this.#credited = resolve;
      });
    }
    this.#credited = undefined;
  }
}
