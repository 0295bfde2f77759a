/** What of an answer may leave, and how much of it: as the decision on its call says. */
import { defaultBounds } from "../credential/statements.ts";
import type { Obligations } from "../gen/causeway/record/v1/parts_pb.ts";
import type { AnswerMask } from "./answer-mask.ts";
import { type AnswerBounds, segmentBytesOf } from "./answer-segments.ts";
import type { ExchangePorts } from "./ports.ts";
import type { Judged } from "./provider-judge.ts";

/** The mask of a permitted call; `undefined` without one. Throws BLOB_MISSING. */
export function maskOf(
  { decision, method, obligations }: Judged,
  masks: ExchangePorts["masks"],
): AnswerMask | undefined {
  if (decision === undefined || method === undefined || !obligations?.maskDigest.length) {
    return undefined;
  }
  const { maskPaths: paths, metadataAllowed: metadata } = obligations;
  const descriptor = decision.descriptorDigest;
  return { messages: masks.get({ descriptor, method: method.path, paths }), metadata };
}

/** The bounds of an answer and of its segments. */
export function boundsOf(
  { messagesMax, bytesMax }: Obligations,
  { replica, messageBytesMax }: Pick<ExchangePorts, "messageBytesMax" | "replica">,
): AnswerBounds {
  const bounds = replica.view().network?.bounds ?? defaultBounds;
  const segmentBytes = segmentBytesOf(bounds.segment_bytes, messageBytesMax);
  return { messagesMax, bytesMax, segmentMessages: bounds.segment_messages, segmentBytes };
}
