/** An answer on its way to a stream of its own: encoded around its messages, which are not copied. */
import { concatBytes } from "../../base/bytes.ts";
import { createMessage } from "../../base/create-message.ts";
import { CausewayError } from "../../base/errors.ts";
import { exchangeFrameBytesMax } from "../../base/limits.ts";
import { encodeMessage } from "../../base/wire-writer.ts";
import {
  type AnswerFrame,
  AnswerFrameSchema,
  ExchangeRequestSchema,
  FrameSchema,
} from "../../gen/causeway/exchange/v1/link_pb.ts";
import { messagePrefix } from "./framing.ts";

/** Messages up to this length are copied: a piece of its own costs more. */
const copiedBytesMax = 8 * 1024;
const delimited = 2;
const tagOf = (field: { readonly number: number }): number => field.number * 8 + delimited;
const frameTag = tagOf(ExchangeRequestSchema.field.frame);
const answerTag = tagOf(FrameSchema.field.answer);
const messageTag = tagOf(AnswerFrameSchema.field.messages);

/**
 * The bytes that `encodeStreamFrame` gives of an answer: gRPC's prefix, ExchangeRequest, Frame, AnswerFrame. What
 * is not absent of its other fields goes before and behind the messages, by number. Throws MESSAGE_TOO_LARGE.
 */
export function gatheredAnswer(answer: AnswerFrame): readonly Uint8Array[] {
  const { headers, messages, ...behind } = answer;
  const before = encodeMessage(AnswerFrameSchema, createMessage(AnswerFrameSchema, { headers }));
  const after = encodeMessage(AnswerFrameSchema, { ...behind, headers: none, messages: [] });
  let length = before.length + after.length;
  for (const message of messages) length += fieldBytes(messageTag, message.length);
  const frameLength = fieldBytes(answerTag, length);
  const whole = fieldBytes(frameTag, frameLength);
  if (whole > exchangeFrameBytesMax) {
    throw new CausewayError("MESSAGE_TOO_LARGE", `a frame of ${whole} bytes`);
  }
  const pieces = new Pieces();
  pieces.add(messagePrefix(whole));
  pieces.add(fieldPrefix(frameTag, frameLength));
  pieces.add(fieldPrefix(answerTag, length));
  pieces.add(before);
  for (const message of messages) {
    pieces.add(fieldPrefix(messageTag, message.length));
    pieces.add(message);
  }
  pieces.add(after);
  return pieces.finish();
}

const none = new Uint8Array();

class Pieces {
  readonly #pieces: Uint8Array[] = [];
  #short: Uint8Array[] = [];

  add(bytes: Uint8Array): void {
    if (bytes.length <= copiedBytesMax) {
      this.#short.push(bytes);
      return;
    }
    this.#join();
    this.#pieces.push(bytes);
  }

  finish(): readonly Uint8Array[] {
    this.#join();
    return this.#pieces;
  }

  #join(): void {
    if (this.#short.length > 0) this.#pieces.push(concatBytes(...this.#short));
    this.#short = [];
  }
}

/** Bytes of a field of so many bytes with its tag and its length. */
function fieldBytes(tag: number, length: number): number {
  return varintBytes(tag) + varintBytes(length) + length;
}

function fieldPrefix(tag: number, length: number): Uint8Array {
  const prefix = new Uint8Array(varintBytes(tag) + varintBytes(length));
  writeVarint(prefix, writeVarint(prefix, 0, tag), length);
  return prefix;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest > 127; rest >>>= 7) bytes++;
  return bytes;
}

function writeVarint(into: Uint8Array, at: number, value: number): number {
  let end = at;
  let rest = value;
  for (; rest > 127; rest >>>= 7) into[end++] = (rest & 127) | 128;
  into[end++] = rest;
  return end;
}
