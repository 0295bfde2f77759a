/** The provider's records of one attempt, built and encoded once. */
import { type MessageInitShape } from "@bufbuild/protobuf";
import { commitUnderSeed } from "../crypto/commitments.ts";
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
  type ReceiptSchema,
  type RefusalSchema,
  RecordSchema,
  Side,
  Stage,
  UpstreamConnector,
} from "../gen/causeway/record/v1/record_pb.ts";
import { createMessage } from "../base/create-message.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { reason } from "../base/reasons.ts";
import { bucket } from "../record/bucket.ts";
import { encodeRecord } from "../record/record.ts";
import type { Segment } from "./answer-segments.ts";
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
  return createMessage(BeginSchema, {
    call: { ...options.call, path: [...options.call.path] },
    decision: options.decision,
    obligations: options.obligations,
    peerTlsKey: options.peerTlsKey,
  });
}

export function encodeOpened(begin: Begin): Uint8Array {
  return encodeRecord(createMessage(RecordSchema, { body: { case: "opened", value: { begin } } }));
}

/** A receipt with what opens its commitments to the consumer. */
export interface BuiltReceipt {
  readonly record: Uint8Array;
  readonly responseSalt: Uint8Array;
  /** In the final one. */
  readonly statusSalt: Uint8Array | undefined;
}

/** The connector that a receipt names. */
export type ConnectorKind = "grpc" | "http-json" | "sql";

const connectors: Readonly<Record<ConnectorKind, UpstreamConnector>> = {
  grpc: UpstreamConnector.GRPC,
  "http-json": UpstreamConnector.HTTP_JSON,
  sql: UpstreamConnector.SQL,
};

export function encodeReceipt(options: {
  /** Absent when `prevRecord` is the record hash of the attempt's record before. */
  readonly begin: Begin | undefined;
  readonly prevRecord: Uint8Array | undefined;
  /** The request so far: its commitment, and its frames with the headers. */
  readonly request: { readonly commitment: Uint8Array; readonly frames: number };
  readonly segment: Segment;
  readonly connector: ConnectorKind;
  readonly upstreamMs: number;
  readonly seed: Uint8Array;
}): BuiltReceipt {
  const { request, segment, seed } = options;
  const response = commitUnderSeed({ seed, label: "response", value: segment.response });
  const upstream = commitUnderSeed({ seed, label: "upstream", value: segment.upstream });
  const receipt: MessageInitShape<typeof ReceiptSchema> = {
    start:
      options.begin === undefined
        ? { case: "prevRecord", value: { hash: options.prevRecord ?? new Uint8Array() } }
        : { case: "begin", value: options.begin },
    progress: {
      segment: segment.number,
      framesFirst: BigInt(segment.framesFirst),
      framesEnd: BigInt(segment.framesEnd),
      messages: BigInt(segment.messages.length),
      bytesBucket: bucket(segment.bytes),
      request: request.commitment,
      requestFrames: BigInt(request.frames),
      response: response.commitment,
      upstream: upstream.commitment,
    },
    final: segment.status !== undefined,
    connector: connectors[options.connector],
    upstreamMsBucket: bucket(Math.max(0, Math.round(options.upstreamMs))),
  };
  let statusSalt: Uint8Array | undefined;
  if (segment.status !== undefined) {
    const { frame, grpcCode } = segment.status;
    const status = commitUnderSeed({ seed, label: "status", value: frame });
    statusSalt = status.salt;
    receipt.status = { grpcCode, source: StatusSource.UPSTREAM, status: status.commitment };
  }
  return {
    record: encodeRecord(
      createMessage(RecordSchema, { body: { case: "receipt", value: receipt } }),
    ),
    responseSalt: response.salt,
    statusSalt,
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
  return encodeRecord(createMessage(RecordSchema, { body: { case: "refusal", value: refusal } }));
}

export function encodeProviderClosed(options: {
  readonly xid: Uint8Array;
  readonly attempt: number;
  /** Record hash of the attempt's record before. */
  readonly prevRecord: Uint8Array;
  /** Frames of the answer that were written to the network, at the least. */
  readonly frames: number;
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
    createMessage(RecordSchema, {
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
          frames: BigInt(options.frames),
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
