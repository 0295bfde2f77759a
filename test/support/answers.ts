/** Whole answers in one segment, for gateways that a test plays. */
import type { Segment } from "../../src/exchange/answer-segments.ts";
import { ReceivedAnswer } from "../../src/exchange/received-answer.ts";
import { transcriptOf } from "../../src/crypto/transcript.ts";
import { type AnswerFrame, AnswerFrameSchema } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { create } from "@bufbuild/protobuf";

/** An answer in the encodings that travel and are committed to. */
export interface EncodedAnswer {
  /** Encoded Metadata. */
  readonly headers: Uint8Array;
  readonly messages: readonly Uint8Array[];
  /** Encoded StatusFrame. */
  readonly status: Uint8Array;
  readonly grpcCode: number;
}

/** The only segment of an answer. */
export function wholeSegment({ headers, messages, status, grpcCode }: EncodedAnswer): Segment {
  const transcript = transcriptOf(headers, messages);
  return {
    number: 1,
    framesFirst: 0,
    framesEnd: 1 + messages.length,
    headers,
    messages,
    bytes: messages.reduce((sum, message) => sum + message.length, 0),
    response: transcript,
    upstream: transcript,
    status: { frame: status, grpcCode },
  };
}

/** What a consumer has received once the only segment has come. */
export function wholeAnswer(
  answer: Pick<EncodedAnswer, "headers" | "messages"> | AnswerFrame,
  salt: Uint8Array | undefined,
): ReceivedAnswer {
  const received = new ReceivedAnswer();
  const { headers, messages } = answer;
  received.add(create(AnswerFrameSchema, { headers, messages: [...messages] }), salt);
  return received;
}
