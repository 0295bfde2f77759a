/** An exchange on the multiplexed link: a number of its own among the others. */
import { CausewayError } from "../base/errors.ts";
import { linkAnswerBytesMax } from "../base/limits.ts";
import { decodeMessage } from "../base/wire-reader.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import { type AnswerFrame, AnswerFrameSchema } from "../gen/causeway/exchange/v1/link_pb.ts";
import { cancelFrame, failedFrame } from "./frames.ts";
import { needsParts, PartAssembler, PartSender } from "./parts.ts";
import type { Carriage, CarriageListener, FrameBody, LinkEnd, Written } from "./ports.ts";

/** Where the exchange ends, its place on the link is free. */
type Closed = () => void;

class NumberedCarriage implements Carriage {
  readonly link: LinkEnd;
  readonly #number: bigint;
  readonly #closed: Closed;
  #isOpen = true;
  /** An answer that is going in parts, and who waits for it to have gone. */
  #parts: { readonly sender: PartSender; readonly written: Written | undefined } | undefined;

  constructor(link: LinkEnd, number: bigint, closed: Closed) {
    this.link = link;
    this.#number = number;
    this.#closed = closed;
  }

  // What shares the link in one frame is bounded by the link's own queue, which tells nobody what has left.
  send(body: FrameBody, written?: Written): void {
    if (!this.#isOpen) return written?.(false);
    const encoded = body.case === "answer" ? encodedForParts(body.value) : undefined;
    if (encoded === undefined) {
      this.#write(body);
      return written?.(false);
    }
    // What shares the link is answered in one segment: who calls otherwise on it gets the newest.
    this.#parts?.written?.(false);
    this.#parts = { sender: new PartSender(encoded), written };
    this.#sendParts();
  }

  /** The other side has taken so many bytes of the parts. Throws PROTOCOL_ERROR. */
  credit(bytes: bigint): void {
    this.#parts?.sender.credit(bytes);
    this.#sendParts();
  }

  /** Nobody takes the rest of an answer that is going in parts. */
  dropParts(): void {
    const parts = this.#parts;
    if (parts === undefined) return;
    this.#parts = undefined;
    parts.written?.(false);
    if (!this.#isOpen) this.#closed();
  }

  lost(): void {
    this.dropParts();
    this.close();
  }

  // What shares the link is small, and the link itself is given up when it is not read.
  ready(): Promise<void> {
    return Promise.resolve();
  }

  /** An answer that is going in parts goes on; its place is free when the last has gone. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    if (this.#parts === undefined) this.#closed();
  }

  #sendParts(): void {
    if (this.#parts === undefined) return;
    const { sender } = this.#parts;
    for (const part of sender.next()) this.#write(part);
    if (sender.done) this.dropParts();
  }

  #write(body: FrameBody): void {
    this.link.send(this.#number, body);
  }
}

/** An answer that has to go in parts, encoded. */
function encodedForParts(answer: AnswerFrame): Uint8Array | undefined {
  if (!mayNeedParts(answer)) return undefined;
  const encoded = encodeMessage(AnswerFrameSchema, answer);
  return needsParts(encoded) ? encoded : undefined;
}

/** Whether an answer is so large that it has to be encoded to know. */
function mayNeedParts({ messages, headers, status, proof }: AnswerFrame): boolean {
  const bytes = messages.reduce((sum, message) => sum + message.length, 0);
  const others = headers.length + status.length + (proof?.record.length ?? 0);
  return bytes + others > linkAnswerBytesMax / 2;
}

/** The provider's end, and what the consumer says on it of an answer that is going in parts. */
export interface LinkCarriage extends Carriage {
  /** So many bytes are taken. Throws PROTOCOL_ERROR. */
  credit(bytes: bigint): void;
  /** The rest is not wanted. */
  dropParts(): void;
  /** The link has ended: nothing of it leaves any more. */
  lost(): void;
}

export function linkCarriage(link: LinkEnd, number: bigint, closed: Closed): LinkCarriage {
  return new NumberedCarriage(link, number, closed);
}

/** The consumer's ear: parts come together to the answer that they are of. */
export function gatherParts(
  listener: CarriageListener,
  carriage: Carriage,
  answerBytesMax: number,
): CarriageListener {
  let assembler: PartAssembler | undefined;
  const take = (body: Extract<FrameBody, { case: "part" }>): void => {
    assembler ??= new PartAssembler(answerBytesMax);
    const encoded = assembler.push(body.value);
    if (encoded !== undefined) {
      return listener.onFrame({ case: "answer", value: decodeMessage(AnswerFrameSchema, encoded) });
    }
    const credit = assembler.credit();
    if (credit !== undefined) carriage.send(credit);
  };
  return {
    onFrame: (body) => {
      if (body.case !== "part") return listener.onFrame(body);
      try {
        take(body);
      } catch (error) {
        // A decoder says by errors of its own that the bytes are no answer.
        if (!(error instanceof CausewayError) && !(error instanceof Error)) throw error;
        carriage.send(cancelFrame());
        listener.onFrame(failedFrame("PROTOCOL_ERROR"));
      }
    },
    onLost: () => listener.onLost(),
  };
}
