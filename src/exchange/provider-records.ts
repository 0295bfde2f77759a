/** The provider's records of one unary attempt, built and encoded once. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { commitUnderSeed } from "../crypto/commitments.ts";
import { transcriptOf } from "../crypto/transcript.ts";
import {
  type Begin,
  BeginSchema,
  type Decision,
  type Fact,
  type Obligations,
  StatusSource,
} from "../gen/causeway/record/v1/parts_pb.ts";
import {
  Outcome,
  ReceiptSchema,
  type RefusalSchema,
  RecordSchema,
  Side,
  Stage,
  UpstreamConnector,
} from "../gen/causeway/record/v1/record_pb.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { reason } from "../base/reasons.ts";
import { bucket } from "../record/bucket.ts";
import { encodeRecord } from "../record/record.ts";
import type { ClosedOutcome } from "./provider-machine.ts";

/** A call that verified, as it stands in receipt and refusal. */
export interface VerifiedCall {
  readonly token: string;
  readonly statement: Uint8Array;
  readonly index: number;
  readonly path: readonly Uint8Array[];
}

/** What the check in the turn that closes a batch found. */
export interface FailedRecheck {
  readonly reason: ReasonCode;
  readonly seenSize: bigint;
  readonly fact: Fact;
}

/** How a denial came about. */
export type DenialStage =
  | "tls"
  | "token"
  | "grant"
  | "policy"
  | "quota"
  | "limit"
  | "evidence"
  | "local";

const stages: Readonly<Record<DenialStage, Stage>> = {
  tls: Stage.TLS,
  token: Stage.TOKEN,
  grant: Stage.GRANT,
  policy: Stage.POLICY,
  quota: Stage.QUOTA,
  limit: Stage.LIMIT,
  evidence: Stage.EVIDENCE,
  local: Stage.LOCAL,
};

export function stageNumber(stage: DenialStage): Stage {
  return stages[stage];
}

const outcomes: Readonly<
  Record<ClosedOutcome | "revoked" | "stale" | "gateway-restarted" | "gateway-error", Outcome>
> = {
  "upstream-error": Outcome.UPSTREAM_ERROR,
  limit: Outcome.LIMIT,
  cancelled: Outcome.CANCELLED,
  deadline: Outcome.DEADLINE,
  "peer-lost": Outcome.PEER_LOST,
  shutdown: Outcome.SHUTDOWN,
  revoked: Outcome.REVOKED,
  stale: Outcome.STALE,
  "gateway-restarted": Outcome.GATEWAY_RESTARTED,
  "gateway-error": Outcome.GATEWAY_ERROR,
};

export type ProviderOutcome = keyof typeof outcomes;

export function createBegin(options: {
  readonly call: VerifiedCall;
  readonly decision: Decision;
  readonly obligations: Obligations;
  readonly peerTlsKey: Uint8Array;
}): Begin {
  return create(BeginSchema, {
    call: { ...options.call, path: [...options.call.path] },
    decision: options.decision,
    obligations: options.obligations,
    peerTlsKey: options.peerTlsKey,
  });
}

export function encodeOpened(begin: Begin): Uint8Array {
  return encodeRecord(create(RecordSchema, { body: { case: "opened", value: { begin } } }));
}

/** An answer of the upstream in the encodings that travel and are committed to. */
export interface EncodedAnswer {
  /** Encoded Metadata. */
  readonly headers: Uint8Array;
  readonly messages: readonly Uint8Array[];
  /** Encoded StatusFrame. */
  readonly status: Uint8Array;
  readonly grpcCode: number;
}

/** A receipt with the salts that open its commitments to the consumer. */
export interface BuiltReceipt {
  readonly record: Uint8Array;
  readonly responseSalt: Uint8Array;
  readonly statusSalt: Uint8Array;
  /** The transcript value of the response. */
  readonly response: Uint8Array;
}

export function encodeReceipt(options: {
  /** Absent when `prevRecord` is the record hash of Opened. */
  readonly begin: Begin | undefined;
  readonly prevRecord: Uint8Array | undefined;
  readonly requestCommitment: Uint8Array;
  readonly answer: EncodedAnswer;
  readonly upstreamMs: number;
  readonly seed: Uint8Array;
}): BuiltReceipt {
  const { answer, seed } = options;
  const value = transcriptOf(answer.headers, answer.messages);
  const response = commitUnderSeed({ seed, label: "response", value });
  const status = commitUnderSeed({ seed, label: "status", value: answer.status });
  // Without a mask the upstream's answer is what was released.
  const upstream = commitUnderSeed({ seed, label: "upstream", value });
  const messageBytes = answer.messages.reduce((sum, message) => sum + message.length, 0);
  const receipt = create(ReceiptSchema, {
    start:
      options.begin === undefined
        ? { case: "prevRecord", value: { hash: options.prevRecord ?? new Uint8Array() } }
        : { case: "begin", value: options.begin },
    progress: {
      segment: 1,
      framesFirst: 0n,
      framesEnd: BigInt(1 + answer.messages.length),
      messages: BigInt(answer.messages.length),
      bytesBucket: bucket(messageBytes),
      request: options.requestCommitment,
      requestFrames: 2n,
      response: response.commitment,
      upstream: upstream.commitment,
    },
    status: { grpcCode: answer.grpcCode, source: StatusSource.UPSTREAM, status: status.commitment },
    final: true,
    connector: UpstreamConnector.GRPC,
    upstreamMsBucket: bucket(Math.max(0, Math.round(options.upstreamMs))),
  });
  return {
    record: encodeRecord(create(RecordSchema, { body: { case: "receipt", value: receipt } })),
    responseSalt: response.salt,
    statusSalt: status.salt,
    response: value,
  };
}

export function encodeProviderRefusal(options: {
  readonly stage: DenialStage;
  readonly reason: ReasonCode;
  readonly peer: { readonly gateway: string; readonly tlsKey: Uint8Array };
  /** Only when token and statement verified. */
  readonly call: VerifiedCall | undefined;
  readonly callCommitment: Uint8Array | undefined;
  /** Only when service and method stand in the catalogue. */
  readonly method: string | undefined;
  readonly methodCommitment: Uint8Array | undefined;
  readonly decision: Decision | undefined;
  readonly recheck: FailedRecheck | undefined;
  readonly upstreamCalled: boolean;
}): Uint8Array {
  const refusal: MessageInitShape<typeof RefusalSchema> = {
    side: Side.PROVIDER,
    stage: stages[options.stage],
    reason: options.reason,
    caller: { case: "peer", value: options.peer },
    method: options.method ?? "",
    upstreamCalled: options.upstreamCalled,
    grpcCode: reason(options.reason).grpcCode,
  };
  if (options.call !== undefined) refusal.call = { ...options.call, path: [...options.call.path] };
  if (options.callCommitment !== undefined) refusal.callCommitment = options.callCommitment;
  if (options.methodCommitment !== undefined) refusal.methodCommitment = options.methodCommitment;
  if (options.decision !== undefined) refusal.decision = options.decision;
  if (options.recheck !== undefined) {
    refusal.recheck = { seenSize: options.recheck.seenSize, fact: options.recheck.fact };
  }
  return encodeRecord(create(RecordSchema, { body: { case: "refusal", value: refusal } }));
}

export function encodeProviderClosed(options: {
  readonly xid: Uint8Array;
  readonly attempt: number;
  /** Record hash of Opened. */
  readonly prevRecord: Uint8Array;
  readonly outcome: ProviderOutcome;
  readonly decision: Decision | undefined;
  readonly recheck: FailedRecheck | undefined;
  readonly upstreamCalled: boolean;
  readonly reason: ReasonCode;
  /** Encoded StatusFrame that goes to the consumer. */
  readonly status: Uint8Array;
  readonly seed: Uint8Array;
}): Uint8Array {
  const status = commitUnderSeed({ seed: options.seed, label: "status", value: options.status });
  return encodeRecord(
    create(RecordSchema, {
      body: {
        case: "closed",
        value: {
          side: Side.PROVIDER,
          xid: options.xid,
          attempt: options.attempt,
          prevRecord: options.prevRecord,
          outcome: outcomes[options.outcome],
          ...(options.decision === undefined ? {} : { decision: options.decision }),
          ...(options.recheck === undefined
            ? {}
            : { recheck: { seenSize: options.recheck.seenSize, fact: options.recheck.fact } }),
          upstreamCalled: options.upstreamCalled,
          status: {
            grpcCode: reason(options.reason).grpcCode,
            source: StatusSource.GATEWAY,
            reason: options.reason,
            status: status.commitment,
          },
        },
      },
    }),
  );
}
