/** The request of an open call at the provider's gateway: hashed as it comes, written as the upstream takes it. */
import { Transcript } from "../crypto/transcript.ts";
import type { Holding } from "./peer-memory.ts";
import type { UpstreamStream } from "./transport/ports.ts";

/** Of how much of the request the consumer is told that the upstream has taken it. */
export type Credit = (taken: { readonly messages: number; readonly bytes: number }) => void;

/**
 * What a message of a request counts against the credit of its sender: its bytes, and what it takes to
 * hold it.
 */
export function creditOf(message: Uint8Array): number {
  return message.length + 64;
}

export class OpenRequest {
  readonly #transcript: Transcript;
  readonly #credit: Credit;
  readonly #holding: Pick<Holding, "take" | "give">;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #upstream: UpstreamStream | undefined;
  #writing = false;
  #halfClosed = false;
  #ended = false;

  /** `headers` is the encoded Metadata of the call. */
  constructor(headers: Uint8Array, credit: Credit, holding: Pick<Holding, "take" | "give">) {
    this.#transcript = new Transcript().addHeaders(headers);
    this.#credit = credit;
    this.#holding = holding;
  }

  /** Frames so far, headers among them. */
  get frames(): number {
    return this.#transcript.frames;
  }

  get transcript(): Uint8Array {
    return this.#transcript.value;
  }

  /** What waits for the upstream, as it counts against the credit. */
  get queued(): number {
    return this.#queued;
  }

  get halfClosed(): boolean {
    return this.#halfClosed;
  }

  /** Takes a message; `false` when there is no room for it: the call cannot go on then. */
  add(message: Uint8Array): boolean {
    if (this.#ended) return true;
    const bytes = creditOf(message);
    if (!this.#holding.take(bytes)) return false;
    this.#transcript.addMessage(message);
    this.#queue.push(message);
    this.#queued += bytes;
    this.#pump();
    return true;
  }

  halfClose(): void {
    this.#halfClosed = true;
    this.#pump();
  }

  /** The upstream is open: what waits is written. */
  writeTo(upstream: UpstreamStream): void {
    this.#upstream = upstream;
    this.#pump();
  }

  /** The upstream has given its status: it takes nothing more, and what comes is not part of the call. */
  end(): void {
    this.#ended = true;
    const dropped = this.#queue;
    this.#queue = [];
    for (const message of dropped) this.#left(creditOf(message));
  }

  #pump(): void {
    const upstream = this.#upstream;
    if (upstream === undefined || this.#writing || this.#ended) return;
    const message = this.#queue.shift();
    if (message === undefined) {
      if (this.#halfClosed) {
        this.#ended = true;
        upstream.halfClose();
      }
      return;
    }
    this.#writing = true;
    void upstream.write(message).then(() => {
      this.#writing = false;
      const bytes = creditOf(message);
      this.#left(bytes);
      this.#credit({ messages: 1, bytes });
      this.#pump();
    });
  }

  #left(bytes: number): void {
    this.#queued -= bytes;
    this.#holding.give(bytes);
  }
}
