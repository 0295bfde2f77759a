/**
 * The messages of LinkService.Exchange: ExchangeRequest and ExchangeResponse have one encoding,
 * `Frame frame = 1`, in the length-prefixed form of gRPC.
 */
import { createMessage } from "../../base/create-message.ts";
import { CausewayError } from "../../base/errors.ts";
import { exchangeFrameBytesMax } from "../../base/limits.ts";
import { decodeMessage } from "../../base/wire-reader.ts";
import { encodeMessage } from "../../base/wire-writer.ts";
import {
  type AnswerFrame,
  AnswerFrameSchema,
  type ExchangeRequest,
  ExchangeRequestSchema,
  FrameSchema,
  LinkService,
} from "../../gen/causeway/exchange/v1/link_pb.ts";
import type { FrameBody } from "../ports.ts";
import { frameMessage } from "./framing.ts";
import { gatheredAnswer } from "./gathered-answer.ts";

/** `:path` of LinkService.Exchange. */
export const exchangePath: string = `/${LinkService.typeName}/${LinkService.method.exchange.name}`;

/** Which end of a stream: the consumer opens it, the provider serves it. */
export type StreamRole = "consumer" | "provider";

/** What each end may be sent. A `part` is for the link alone: a frame here may be as large as its message. */
const receivedBy: Readonly<Record<StreamRole, ReadonlySet<FrameBody["case"]>>> = {
  consumer: new Set(["answer", "refused", "nonceStale", "failed", "credit"]),
  provider: new Set(["call", "request", "halfClose", "cancel", "acknowledgement", "credit"]),
};

/**
 * The bytes of one frame on the wire, prefix included, in pieces that are to be written one after the other: long
 * messages of an answer are pieces as they lie. Throws MESSAGE_TOO_LARGE above its limit.
 */
export function encodeStreamFrame(body: FrameBody): readonly Uint8Array[] {
  if (body.case === "answer") return gatheredAnswer(body.value);
  const frame = createMessage(FrameSchema, { body });
  const message = encodeMessage(
    ExchangeRequestSchema,
    createMessage(ExchangeRequestSchema, { frame }),
  );
  if (message.length > exchangeFrameBytesMax) {
    throw new CausewayError("MESSAGE_TOO_LARGE", `a frame of ${message.length} bytes`);
  }
  return [frameMessage(message)];
}

/** The same answer, of which nothing but its messages is a view of what it was decoded from. */
export function apartFromMessages(answer: AnswerFrame): AnswerFrame {
  const { messages } = answer;
  const rest: AnswerFrame = { ...answer, messages: [] };
  const apart = decodeMessage(AnswerFrameSchema, encodeMessage(AnswerFrameSchema, rest));
  apart.messages = messages;
  return apart;
}

/**
 * The frame in a message that `role` has received; its bytes are views of it. `undefined` for a kind
 * of a later release, which is passed over. Throws PROTOCOL_ERROR.
 */
export function decodeStreamFrame(message: Uint8Array, role: StreamRole): FrameBody | undefined {
  const { frame } = decode(message);
  if (frame === undefined || frame.exchange !== 0n) {
    throw new CausewayError("PROTOCOL_ERROR", "a message of a stream is one frame of exchange 0");
  }
  const { body } = frame;
  if (body.case === undefined) return undefined;
  if (!receivedBy[role].has(body.case)) {
    throw new CausewayError("PROTOCOL_ERROR", `a ${body.case} frame has no place here`);
  }
  return body;
}

function decode(message: Uint8Array): ExchangeRequest {
  try {
    return decodeMessage(ExchangeRequestSchema, message);
  } catch (cause) {
    throw new CausewayError("PROTOCOL_ERROR", "a message of a stream does not decode", { cause });
  }
}
