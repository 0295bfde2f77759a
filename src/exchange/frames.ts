/** The frames of a multiplexed link, made of what one side has to say. */
import { create } from "@bufbuild/protobuf";
import type { ReasonCode } from "../base/reasons.ts";
import {
  AcknowledgementFrameSchema,
  AnswerFrameSchema,
  CallFrameSchema,
  CancelFrameSchema,
  FailedFrameSchema,
  NonceStaleFrameSchema,
  type Proof,
  ProofSchema,
  RefusedFrameSchema,
} from "../gen/causeway/exchange/v1/link_pb.ts";
import type { SealedRecord } from "../ledger/ports.ts";
import type { FrameBody, OpeningItem } from "./ports.ts";
import type { BuiltReceipt, EncodedAnswer, VerifiedCall } from "./provider-records.ts";

/** A sealed record in the form that goes to the other side. */
export function proofOf(sealed: SealedRecord): Proof {
  const { record, position, path, leaf } = sealed;
  return create(ProofSchema, { record, position, path: [...path], leaf });
}

export function callFrame(options: {
  readonly call: VerifiedCall;
  readonly headers: Uint8Array;
  readonly message: Uint8Array;
  /** Milliseconds to the deadline; 0 for none. */
  readonly timeoutMs: number;
  readonly openings: readonly OpeningItem[];
}): FrameBody {
  const { call, headers, message, timeoutMs, openings } = options;
  return {
    case: "call",
    value: create(CallFrameSchema, {
      ...call,
      path: [...call.path],
      headers,
      message,
      timeoutMs: BigInt(timeoutMs),
      openings: openings.map((opening) => ({ ...opening })),
    }),
  };
}

export function answerFrame(
  answer: EncodedAnswer,
  receipt: BuiltReceipt,
  proof: Proof,
  opened: Proof | undefined,
): FrameBody {
  return {
    case: "answer",
    value: create(AnswerFrameSchema, {
      ...(opened === undefined ? {} : { opened }),
      headers: answer.headers,
      messages: [...answer.messages],
      status: answer.status,
      proof,
      openings: [
        { label: "response", salt: receipt.responseSalt },
        { label: "status", salt: receipt.statusSalt },
      ],
    }),
  };
}

export function refusedFrame(
  status: Uint8Array,
  proof: Proof | undefined,
  opened: Proof | undefined,
): FrameBody {
  const value = create(RefusedFrameSchema, { status });
  if (proof !== undefined) value.proof = proof;
  if (opened !== undefined) value.opened = opened;
  return { case: "refused", value };
}

export function acknowledgementFrame(proof: Proof): FrameBody {
  return { case: "acknowledgement", value: create(AcknowledgementFrameSchema, { proof }) };
}

export function nonceStaleFrame(boot: Uint8Array): FrameBody {
  return { case: "nonceStale", value: create(NonceStaleFrameSchema, { boot }) };
}

export function failedFrame(reason: ReasonCode): FrameBody {
  return { case: "failed", value: create(FailedFrameSchema, { reason }) };
}

export function cancelFrame(): FrameBody {
  return { case: "cancel", value: create(CancelFrameSchema) };
}
