/**
 * The answer of an upstream on its way through the provider's gateway: cut into segments, masked, bounded,
 * and hashed as it was received and as it is released.
 */
import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { exchangeFrameBytesMax, exchangeFrameOverheadBytes } from "../base/limits.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import { Transcript } from "../crypto/transcript.ts";
import {
  type Metadata,
  MetadataSchema,
  type StatusFrame,
  StatusFrameSchema,
} from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { Holding } from "./peer-memory.ts";

/** What is released of an upstream's answer. Without a mask everything is. */
export interface AnswerFilter {
  headers(metadata: Metadata): Metadata;
  /** Throws a CausewayError for bytes that are no such message. */
  message(bytes: Uint8Array): Uint8Array;
  status(status: StatusFrame): StatusFrame;
}

/** How much may be released: 0 sets no bound. */
export interface AnswerBounds {
  readonly messagesMax: bigint;
  readonly bytesMax: bigint;
  /** A segment is full at either. */
  readonly segmentMessages: number;
  readonly segmentBytes: number;
}

/** Bytes at which a segment is full, so that one more message of the largest size still goes into its frame. */
export function segmentBytesOf(bound: number, messageBytesMax: number): number {
  return Math.min(bound, exchangeFrameBytesMax - exchangeFrameOverheadBytes - messageBytesMax);
}

/** One segment, as it is released. */
export interface Segment {
  /** From 1. */
  readonly number: number;
  /** Frames of the answer (headers and messages) before the segment, and with it. */
  readonly framesFirst: number;
  readonly framesEnd: number;
  /** Encoded Metadata, in the first segment. */
  readonly headers: Uint8Array | undefined;
  readonly messages: readonly Uint8Array[];
  /** Bytes of the messages. */
  readonly bytes: number;
  /** Transcript values at the end of the segment: as released, and as the upstream gave it. */
  readonly response: Uint8Array;
  readonly upstream: Uint8Array;
  /** In the last segment. */
  readonly status: EncodedStatus | undefined;
}

export interface EncodedStatus {
  /** Encoded StatusFrame. */
  readonly frame: Uint8Array;
  readonly grpcCode: number;
}

const emptyMetadata = new Uint8Array();

export class AnswerSegments {
  readonly #filter: AnswerFilter;
  readonly #bounds: AnswerBounds;
  readonly #holding: Pick<Holding, "take">;
  readonly #released = new Transcript();
  /** As the upstream gave it; absent while nothing of it was taken away, and it is what is released. */
  #received: Transcript | undefined;
  #number = 0;
  #framesTaken = 0;
  #headers: Uint8Array | undefined;
  #messages: Uint8Array[] = [];
  #bytes = 0;
  #status: EncodedStatus | undefined;
  #messagesInAll = 0n;
  #bytesInAll = 0n;

  /** `holding` counts the bytes of what is taken in; who takes a segment gives them back. */
  constructor(filter: AnswerFilter, bounds: AnswerBounds, holding: Pick<Holding, "take">) {
    this.#filter = filter;
    this.#bounds = bounds;
    this.#holding = holding;
  }

  /** What waits fills a segment: the upstream is to be held up. */
  get full(): boolean {
    const { segmentBytes, segmentMessages } = this.#bounds;
    return this.#bytes >= segmentBytes || this.#messages.length >= segmentMessages;
  }

  /** Nothing waits. */
  get empty(): boolean {
    return this.#headers === undefined && this.#messages.length === 0;
  }

  /** Headers of the upstream, once, before the first message. */
  addHeaders(metadata: Metadata): void {
    const received = encodeMessage(MetadataSchema, metadata);
    this.#headers = encodeMessage(MetadataSchema, this.#filter.headers(metadata));
    if (!equalBytes(received, this.#headers)) this.#receivedApart().addHeaders(received);
    this.#released.addHeaders(this.#headers);
  }

  /** Throws MESSAGE_TOO_LARGE beyond the bounds of the obligations, BUSY without room, and what the mask throws. */
  addMessage(bytes: Uint8Array): void {
    this.#assureHeaders();
    const message = this.#filter.message(bytes);
    this.#messagesInAll += 1n;
    this.#bytesInAll += BigInt(message.length);
    const { messagesMax, bytesMax } = this.#bounds;
    if (
      (messagesMax > 0n && this.#messagesInAll > messagesMax) ||
      (bytesMax > 0n && this.#bytesInAll > bytesMax)
    ) {
      throw new CausewayError("MESSAGE_TOO_LARGE", "the answer exceeds what the grant allows");
    }
    if (!this.#holding.take(message.length)) {
      throw new CausewayError("BUSY", "the peer leaves too much unread");
    }
    if (this.#received !== undefined || message !== bytes) this.#receivedApart().addMessage(bytes);
    this.#released.addMessage(message);
    this.#messages.push(message);
    this.#bytes += message.length;
  }

  end(status: StatusFrame): void {
    this.#assureHeaders();
    const released = this.#filter.status(status);
    this.#status = { frame: encodeMessage(StatusFrameSchema, released), grpcCode: released.code };
  }

  /** Takes everything that waits, as the next segment. */
  take(): Segment {
    this.#assureHeaders();
    const segment: Segment = {
      number: ++this.#number,
      framesFirst: this.#framesTaken,
      framesEnd: this.#released.frames,
      headers: this.#headers,
      messages: this.#messages,
      bytes: this.#bytes,
      response: this.#released.value,
      upstream: (this.#received ?? this.#released).value,
      status: this.#status,
    };
    this.#framesTaken = segment.framesEnd;
    this.#headers = undefined;
    this.#messages = [];
    this.#bytes = 0;
    return segment;
  }

  /** From the first difference on there are two transcripts. It is to be called before that is released. */
  #receivedApart(): Transcript {
    this.#received ??= this.#released.copy();
    return this.#received;
  }

  /** An answer without headers has empty ones: its first frame is headers. */
  #assureHeaders(): void {
    if (this.#released.frames > 0) return;
    this.#released.addHeaders(emptyMetadata);
    this.#headers = emptyMetadata;
  }
}
