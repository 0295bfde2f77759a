/** What a grant lets through of an answer: released by the provider, and checked again by the consumer. */
import { equalBytes } from "../base/bytes.ts";
import { decodeMessage } from "../base/wire-reader.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import {
  type Metadata,
  MetadataSchema,
  StatusFrameSchema,
} from "../gen/causeway/exchange/v1/frames_pb.ts";
import type { AnswerFrame } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { Mask } from "../policy/mask.ts";
import { maskMetadata, maskStatus } from "../policy/mask-metadata.ts";
import type { AnswerFilter } from "./answer-segments.ts";
import { carriedHeaders, carriedStatus } from "./upstream-frames.ts";

export interface AnswerMask {
  readonly messages: Mask;
  /** Keys of headers and trailers that pass. */
  readonly metadata: readonly string[];
}

/** What is released of an answer: what can be carried, and what the mask lets through. */
export function answerFilter(mask: AnswerMask | undefined): AnswerFilter {
  if (mask === undefined) {
    return { headers: carriedHeaders, message: (bytes) => bytes, status: carriedStatus };
  }
  const { messages, metadata } = mask;
  return {
    headers: (headers) => carriedHeaders(maskMetadata(headers, metadata)),
    message: (bytes) => messages.apply(bytes),
    status: (status) => carriedStatus(maskStatus(status, metadata)),
  };
}

function isMasked(metadata: Metadata | undefined, allowed: readonly string[]): boolean {
  return metadata?.entries.every(({ key }) => allowed.includes(key)) ?? true;
}

/**
 * Whether a segment holds nothing that the mask excludes. Its bytes are those that the receipt covers; the
 * status is read only where the segment is the last.
 */
export function isWithinMask(
  answer: Pick<AnswerFrame, "headers" | "messages" | "status">,
  isLast: boolean,
  { messages, metadata }: AnswerMask,
): boolean {
  try {
    if (!answer.messages.every((bytes) => equalBytes(messages.apply(bytes), bytes))) return false;
    if (!isMasked(decodeMessage(MetadataSchema, answer.headers), metadata)) return false;
    if (!isLast) return true;
    const status = decodeMessage(StatusFrameSchema, answer.status);
    const masked = maskStatus(status, metadata);
    return equalBytes(
      encodeMessage(StatusFrameSchema, masked),
      encodeMessage(StatusFrameSchema, status),
    );
  } catch {
    // Bytes that are no such message are nothing that the mask lets through.
    return false;
  }
}
