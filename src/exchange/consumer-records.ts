/** The consumer's records of one attempt, built and encoded once. */
import { type MessageInitShape } from "@bufbuild/protobuf";
import { createMessage } from "../base/create-message.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { reason } from "../base/reasons.ts";
import { commitUnderSeed } from "../crypto/commitments.ts";
import { StatusSource } from "../gen/causeway/record/v1/parts_pb.ts";
import {
  Check,
  type ClosedSchema,
  Outcome,
  RecordSchema,
  Side,
} from "../gen/causeway/record/v1/record_pb.ts";
import { bucket } from "../record/bucket.ts";
import { encodeRecord } from "../record/record.ts";
import type { CheckResult, ClosedSource, ConsumerOutcome } from "./consumer-machine.ts";
import { type DenialStage, stageNumber } from "./provider-records.ts";
import type { ReceivedAnswer } from "./received-answer.ts";

const checks: Readonly<Record<CheckResult, Check>> = {
  match: Check.MATCH,
  "commitment-mismatch": Check.COMMITMENT_MISMATCH,
  "key-unknown": Check.KEY_UNKNOWN,
  "seen-fork": Check.SEEN_FORK,
  "time-implausible": Check.TIME_IMPLAUSIBLE,
  "stale-seal": Check.STALE_SEAL,
  "grant-taken": Check.GRANT_TAKEN,
  "mask-violation": Check.MASK_VIOLATION,
};

const outcomes: Readonly<Record<ConsumerOutcome | "disputed" | "unknown-after-restart", Outcome>> =
  {
    refused: Outcome.REFUSED,
    "no-answer": Outcome.NO_ANSWER,
    cancelled: Outcome.CANCELLED,
    deadline: Outcome.DEADLINE,
    "proof-invalid": Outcome.PROOF_INVALID,
    "gateway-error": Outcome.GATEWAY_ERROR,
    disputed: Outcome.DISPUTED,
    "unknown-after-restart": Outcome.UNKNOWN_AFTER_RESTART,
  };

/** One attempt by every name that it has. */
export interface AttemptName {
  readonly xid: Uint8Array;
  readonly attempt: number;
  /** SHA-256 of the compact JWS of the call token. */
  readonly tokenDigest: Uint8Array;
  /** Index of the statement under the token. */
  readonly index: number;
}

export function encodeAcknowledgement(options: {
  readonly name: AttemptName;
  readonly receipt: { readonly leafHash: Uint8Array; readonly position: number };
  readonly receiptRecord: Uint8Array;
  /** The request as sent: its commitment, and its frames with the headers. */
  readonly request: { readonly commitment: Uint8Array; readonly frames: number };
  readonly responseCommitment: Uint8Array;
  /** The answer so far, and the messages of this segment. */
  readonly received: ReceivedAnswer;
  readonly messages: readonly Uint8Array[];
  readonly result: CheckResult;
  /** It closes the attempt. */
  readonly final: boolean;
  readonly callerSystem: string;
  readonly localRule: string;
}): Uint8Array {
  const { received } = options;
  const messageBytes = options.messages.reduce((sum, message) => sum + message.length, 0);
  return encodeRecord(
    createMessage(RecordSchema, {
      body: {
        case: "acknowledgement",
        value: {
          ...options.name,
          receipt: options.receipt,
          receiptRecord: options.receiptRecord,
          progress: {
            segment: received.segment,
            framesFirst: BigInt(received.framesFirst),
            framesEnd: BigInt(received.framesEnd),
            messages: BigInt(options.messages.length),
            bytesBucket: bucket(messageBytes),
            request: options.request.commitment,
            requestFrames: BigInt(options.request.frames),
            response: options.responseCommitment,
          },
          check: checks[options.result],
          final: options.final,
          callerSystem: options.callerSystem,
          localRule: options.localRule,
        },
      },
    }),
  );
}

export function encodeConsumerClosed(options: {
  readonly name: AttemptName;
  readonly outcome: keyof typeof outcomes;
  /** Handle of the provider's refusal or closing. */
  readonly refusal: { readonly leafHash: Uint8Array; readonly position: number } | undefined;
  readonly reason: ReasonCode | undefined;
  readonly source: ClosedSource;
  /** Encoded StatusFrame that the caller gets, with the seed of the attempt; absent when nobody waits. */
  readonly status: { readonly frame: Uint8Array; readonly seed: Uint8Array } | undefined;
  readonly nextAttempt: number;
  /** Record hash of the newest acknowledgement of the attempt. */
  readonly prevRecord?: Uint8Array | undefined;
  /** Frames that the caller has taken at the least: what it was given in part, or is not known of, does not count. */
  readonly frames?: number | undefined;
}): Uint8Array {
  const closed: MessageInitShape<typeof ClosedSchema> = {
    side: Side.CONSUMER,
    ...options.name,
    outcome: outcomes[options.outcome],
    nextAttempt: options.nextAttempt,
    frames: BigInt(options.frames ?? 0),
  };
  if (options.prevRecord !== undefined) closed.prevRecord = options.prevRecord;
  if (options.refusal !== undefined) closed.refusal = options.refusal;
  if (options.status !== undefined && options.reason !== undefined) {
    const { seed, frame } = options.status;
    closed.status = {
      grpcCode: reason(options.reason).grpcCode,
      source: {
        gateway: StatusSource.GATEWAY,
        peer: StatusSource.PEER,
        caller: StatusSource.CALLER,
      }[options.source],
      reason: options.reason,
      status: commitUnderSeed({ seed, label: "status", value: frame }).commitment,
    };
  }
  return encodeRecord(createMessage(RecordSchema, { body: { case: "closed", value: closed } }));
}

/** A call that the consumer's gateway itself denied. No statement was signed. */
export function encodeConsumerRefusal(options: {
  readonly stage: DenialStage;
  readonly reason: ReasonCode;
  readonly system: string;
  readonly callCommitment: Uint8Array | undefined;
  /** Only when service and method stand in the catalogue. */
  readonly method: string | undefined;
  readonly methodCommitment: Uint8Array | undefined;
}): Uint8Array {
  return encodeRecord(
    createMessage(RecordSchema, {
      body: {
        case: "refusal",
        value: {
          side: Side.CONSUMER,
          stage: stageNumber(options.stage),
          reason: options.reason,
          caller: { case: "system", value: { id: options.system } },
          ...(options.callCommitment === undefined
            ? {}
            : { callCommitment: options.callCommitment }),
          method: options.method ?? "",
          ...(options.methodCommitment === undefined
            ? {}
            : { methodCommitment: options.methodCommitment }),
          grpcCode: reason(options.reason).grpcCode,
        },
      },
    }),
  );
}

/** Many refusals of one (caller, reason), counted. */
export function encodeAggregate(options: {
  readonly side: "consumer" | "provider";
  readonly reason: ReasonCode;
  readonly caller:
    | { readonly peer: string; readonly tlsKey: Uint8Array }
    | { readonly system: string };
  readonly count: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}): Uint8Array {
  return encodeRecord(
    createMessage(RecordSchema, {
      body: {
        case: "refusal",
        value: {
          side: options.side === "consumer" ? Side.CONSUMER : Side.PROVIDER,
          stage: stageNumber("limit"),
          reason: options.reason,
          caller:
            "peer" in options.caller
              ? {
                  case: "peer",
                  value: { gateway: options.caller.peer, tlsKey: options.caller.tlsKey },
                }
              : { case: "system", value: { id: options.caller.system } },
          grpcCode: reason(options.reason).grpcCode,
          aggregate: {
            count: BigInt(options.count),
            firstAt: BigInt(options.firstAtMs),
            lastAt: BigInt(options.lastAtMs),
          },
        },
      },
    }),
  );
}
