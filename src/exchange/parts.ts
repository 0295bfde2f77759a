/**
 * A large answer on the multiplexed link: the encoded AnswerFrame, cut into pieces of at most 64 KiB, of
 * which at most 256 KiB are under way for each exchange (DESIGN section 6). The receiver says with credit
 * what it has taken, so that nothing else on the link waits long and neither side buffers for the other.
 */
import { emptyBytes } from "../base/bytes.ts";
import { createMessage } from "../base/create-message.ts";
import { assertInvariant, CausewayError } from "../base/errors.ts";
import { linkAnswerBytesMax, partBytesMax, partCreditBytes } from "../base/limits.ts";
import {
  CreditFrameSchema,
  type PartFrame,
  PartFrameSchema,
} from "../gen/causeway/exchange/v1/link_pb.ts";
import type { FrameBody } from "./ports.ts";

/** Whether an encoded AnswerFrame has to go in parts on the link. */
export function needsParts(answer: Uint8Array): boolean {
  return answer.length > linkAnswerBytesMax;
}

/** What one exchange has left to send of its answer. */
export class PartSender {
  readonly #answer: Uint8Array;
  #sent = 0;
  #credited = 0;

  /** @param answer an encoded AnswerFrame; its parts are views of it. */
  constructor(answer: Uint8Array) {
    if (answer.length === 0) throw new RangeError("an answer has bytes");
    this.#answer = answer;
  }

  /** Every part has been given out. */
  get done(): boolean {
    return this.#sent === this.#answer.length;
  }

  /** The frames that may go now: to be called at the start, and again after each credit. */
  next(): FrameBody[] {
    const frames: FrameBody[] = [];
    while (!this.done) {
      const length = Math.min(partBytesMax, this.#answer.length - this.#sent);
      if (this.#sent - this.#credited + length > partCreditBytes) break;
      const bytes = this.#answer.subarray(this.#sent, this.#sent + length);
      this.#sent += length;
      frames.push({
        case: "part",
        value: createMessage(PartFrameSchema, { bytes, last: this.done }),
      });
    }
    return frames;
  }

  /** The receiver has taken so many bytes. Throws PROTOCOL_ERROR for more than are under way. */
  credit(bytes: bigint): void {
    const underWay = this.#sent - this.#credited;
    if (bytes > BigInt(underWay)) throw wrong(`credit of ${bytes} for ${underWay} bytes under way`);
    this.#credited += Number(bytes);
  }
}

/** Collects the parts of one answer. */
export class PartAssembler {
  readonly #bytesMax: number;
  #answer: Uint8Array = emptyBytes;
  #received = 0;
  #credited = 0;
  #complete = false;

  /** @param bytesMax largest answer that is accepted. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /**
   * Takes a part; the encoded AnswerFrame with the last one, `undefined` before.
   *
   * @throws CausewayError PROTOCOL_ERROR for a part that is empty or too large, beyond the credit that was
   * given or the largest answer, or behind the last one; the exchange cannot go on then.
   */
  push({ bytes, last }: PartFrame): Uint8Array | undefined {
    if (this.#complete) throw wrong("a part behind the last one");
    if (bytes.length === 0 || bytes.length > partBytesMax) {
      throw wrong(`a part of ${bytes.length} bytes`);
    }
    const length = this.#received + bytes.length;
    if (length - this.#credited > partCreditBytes) throw wrong("parts beyond their credit");
    if (length > this.#bytesMax) throw wrong(`an answer of more than ${this.#bytesMax} bytes`);
    this.#grow(length);
    // A part may be a view of a larger message of the link: what is kept is copied.
    this.#answer.set(bytes, this.#received);
    this.#received = length;
    if (!last) return undefined;
    this.#complete = true;
    const answer = this.#answer.subarray(0, length);
    this.#answer = emptyBytes;
    return answer;
  }

  /**
   * The frame that tells the sender what was taken since the last one: to be sent after each `push` while
   * the receiver goes on to take. `undefined` when there is not enough to tell, or nothing left to come.
   */
  credit(): FrameBody | undefined {
    const bytes = this.#received - this.#credited;
    if (this.#complete || bytes < partCreditBytes / 2) return undefined;
    this.#credited = this.#received;
    return { case: "credit", value: createMessage(CreditFrameSchema, { bytes: BigInt(bytes) }) };
  }

  // By doubling: a sender that announces nothing cannot make this side hold more than twice what it sent.
  #grow(length: number): void {
    if (length <= this.#answer.length) return;
    const doubled = Math.max(length, 2 * this.#answer.length, partCreditBytes);
    const grown = new Uint8Array(Math.min(doubled, this.#bytesMax));
    assertInvariant(grown.length >= length, "a larger answer is refused before");
    grown.set(this.#answer.subarray(0, this.#received));
    this.#answer = grown;
  }
}

function wrong(message: string): CausewayError {
  return new CausewayError("PROTOCOL_ERROR", message);
}
