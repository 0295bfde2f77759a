/** The answer of one attempt as the consumer's gateway receives it, segment by segment. */
import { Transcript } from "../crypto/transcript.ts";
import type { AnswerFrame } from "../gen/causeway/exchange/v1/link_pb.ts";

export class ReceivedAnswer {
  readonly #transcript = new Transcript();
  #segments = 0;
  #framesFirst = 0;
  /** Salt of `response`, from the first segment. */
  #salt: Uint8Array | undefined;
  /** Record hash of the provider's newest record of this attempt. */
  previous: Uint8Array | undefined;
  /** Request frames that its newest receipt covers. */
  requestFrames = 1n;

  /** Takes in the next segment's bytes. */
  add(answer: AnswerFrame, salt: Uint8Array | undefined): void {
    this.#segments += 1;
    this.#framesFirst = this.#transcript.frames;
    if (this.#segments === 1) {
      this.#salt = salt;
      this.#transcript.addHeaders(answer.headers);
    }
    for (const message of answer.messages) this.#transcript.addMessage(message);
  }

  /** Number of the newest segment, from 1. */
  get segment(): number {
    return this.#segments;
  }

  get framesFirst(): number {
    return this.#framesFirst;
  }

  get framesEnd(): number {
    return this.#transcript.frames;
  }

  get transcript(): Uint8Array {
    return this.#transcript.value;
  }

  get salt(): Uint8Array | undefined {
    return this.#salt;
  }
}
