/** The frames between two gateways, made of what one side has to say. */
import { createMessage } from "../base/create-message.ts";
import type { ReasonCode } from "../base/reasons.ts";
import {
  AcknowledgementFrameSchema,
  AnswerFrameSchema,
  CallFrameSchema,
  CancelFrameSchema,
  CreditFrameSchema,
  FailedFrameSchema,
  HalfCloseFrameSchema,
  NonceStaleFrameSchema,
  type Proof,
  ProofSchema,
  RefusedFrameSchema,
  RequestFrameSchema,
} from "../gen/causeway/exchange/v1/link_pb.ts";
import type { SealedRecord } from "../ledger/ports.ts";
import type { FrameBody, OpeningItem } from "./ports.ts";
import type { Segment } from "./answer-segments.ts";
import type { BuiltReceipt, VerifiedCall } from "./provider-records.ts";

/** A sealed record in the form that goes to the other side. */
export function proofOf(sealed: SealedRecord): Proof {
  const { record, position, path, leaf } = sealed;
  return createMessage(ProofSchema, { record, position, path: [...path], leaf });
}

export function callFrame(options: {
  readonly call: VerifiedCall;
  readonly headers: Uint8Array;
  readonly message: Uint8Array;
  /** Milliseconds to the deadline; 0 for none. */
  readonly timeoutMs: number;
  readonly openings: readonly OpeningItem[];
  /** W3C `traceparent`; empty for none. */
  readonly trace?: string;
}): FrameBody {
  const { call, headers, message, timeoutMs, openings, trace = "" } = options;
  return {
    case: "call",
    value: createMessage(CallFrameSchema, {
      ...call,
      path: [...call.path],
      headers,
      message,
      timeoutMs: BigInt(timeoutMs),
      trace,
      openings: openings.map((opening) => ({ ...opening })),
    }),
  };
}

/** One segment with the receipt that covers it. */
export function answerFrame(
  segment: Segment,
  receipt: BuiltReceipt,
  proof: Proof,
  opened: Proof | undefined,
): Extract<FrameBody, { case: "answer" }> {
  const openings: { label: string; salt: Uint8Array }[] = [];
  if (segment.number === 1) openings.push({ label: "response", salt: receipt.responseSalt });
  if (receipt.statusSalt !== undefined) {
    openings.push({ label: "status", salt: receipt.statusSalt });
  }
  return {
    case: "answer",
    value: createMessage(AnswerFrameSchema, {
      ...(opened === undefined ? {} : { opened }),
      ...(segment.headers === undefined ? {} : { headers: segment.headers }),
      messages: [...segment.messages],
      ...(segment.status === undefined ? {} : { status: segment.status.frame }),
      proof,
      openings,
    }),
  };
}

export function refusedFrame(
  status: Uint8Array,
  proof: Proof | undefined,
  opened: Proof | undefined,
): FrameBody {
  const value = createMessage(RefusedFrameSchema, { status });
  if (proof !== undefined) value.proof = proof;
  if (opened !== undefined) value.opened = opened;
  return { case: "refused", value };
}

export function acknowledgementFrame(proof: Proof): FrameBody {
  return { case: "acknowledgement", value: createMessage(AcknowledgementFrameSchema, { proof }) };
}

export function nonceStaleFrame(boot: Uint8Array): FrameBody {
  return { case: "nonceStale", value: createMessage(NonceStaleFrameSchema, { boot }) };
}

export function failedFrame(reason: ReasonCode): FrameBody {
  return { case: "failed", value: createMessage(FailedFrameSchema, { reason }) };
}

/** One message of the request of an open call. */
export function requestFrame(message: Uint8Array): FrameBody {
  return { case: "request", value: createMessage(RequestFrameSchema, { message }) };
}

export function halfCloseFrame(): FrameBody {
  return { case: "halfClose", value: createMessage(HalfCloseFrameSchema) };
}

/** What was taken: of parts their bytes, of a request also its messages. */
export function creditFrame(taken: {
  readonly messages: number;
  readonly bytes: number;
}): FrameBody {
  const { messages, bytes } = taken;
  return {
    case: "credit",
    value: createMessage(CreditFrameSchema, { messages: BigInt(messages), bytes: BigInt(bytes) }),
  };
}

export function cancelFrame(): FrameBody {
  return { case: "cancel", value: createMessage(CancelFrameSchema) };
}
