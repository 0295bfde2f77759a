/** What is kept of one attempt while its two sides are not both closed. */
import type { Decision, Progress } from "../gen/causeway/record/v1/parts_pb.ts";
import type { Check, Outcome } from "../gen/causeway/record/v1/record_pb.ts";
import type { Header } from "../gen/causeway/record/v1/header_pb.ts";
import type { Place } from "./findings.ts";
import type { IssuedName } from "./settled-attempts.ts";
import type { RunningCommitments } from "./running-commitments.ts";

/** A record by its handle, and by its hash where that is told. */
export interface NamedRecord {
  readonly leafHash: Uint8Array;
  readonly position: number;
  readonly recordHash?: Uint8Array | undefined;
}

/** A receipt as an acknowledgement names it. */
export interface NamedReceipt extends NamedRecord {
  readonly recordHash: Uint8Array;
}

/** A record of an attempt with its names. */
export interface AttemptRecord {
  readonly place: Place;
  readonly header: Header;
  readonly leafHash: Uint8Array;
  readonly recordHash: Uint8Array;
}

/** Numbers of one segment. */
export interface SegmentFacts extends AttemptRecord {
  readonly segment: number;
  readonly framesFirst: bigint;
  readonly framesEnd: bigint;
  readonly requestFrames: bigint;
  readonly request: Uint8Array;
  readonly response: Uint8Array;
  readonly final: boolean;
}

export interface AcknowledgedSegment extends SegmentFacts {
  readonly check: Check;
  /** The receipt, as it was shown. */
  readonly receipt: NamedReceipt;
  /** The receipt of that hash on the ledger, once it is there. */
  met: SegmentFacts | undefined;
}

/** How a side closed the attempt. */
export interface ProviderClosing extends AttemptRecord {
  readonly kind: "receipt" | "refusal" | "closed";
}

export interface ConsumerClosing extends AttemptRecord {
  readonly kind: "acknowledgement" | "closed";
  readonly outcome: Outcome | undefined;
  /** Of the provider's refusal or closing, as it was shown. */
  readonly refusal: NamedRecord | undefined;
}

/** What a release of this attempt rests on. */
export interface Foundation {
  readonly decision: Decision;
  readonly grantJti: string;
  readonly service: string;
  readonly maxStalenessMs: number;
  /** Unix seconds of the token's issue. */
  readonly issuedAtS: number;
  /** The answer passes a field mask. */
  readonly masked: boolean;
  readonly window: number;
  /** 0 sets no bound. */
  readonly messagesMax: bigint;
  readonly bytesMax: bigint;
}

/** What one side has said of the segments of an attempt. */
export interface Segments<Facts extends SegmentFacts> {
  count: number;
  newest: Facts | undefined;
  /** Those whose counterpart has not been met, by the record hash of the receipt. */
  waiting: Map<string, Facts> | undefined;
}

export interface Attempt {
  readonly tokenDigest: Uint8Array;
  readonly index: number;
  issuer: string;
  /** Whose record begins it. */
  provider: string | undefined;
  /** As `attemptName` has it: of the provider's statement, otherwise as the consumer says. */
  name: string;
  /** What its sides have called it, where no other attempt is called so. */
  readonly names: IssuedName[];
  genuine: boolean;
  /** The first record of the provider; absent while only the consumer has spoken. */
  begun: AttemptRecord | undefined;
  /** What the statement commits to; absent under an open one. */
  request: Uint8Array | undefined;
  /** Of the provider's process that began it. */
  boot: Uint8Array | undefined;
  foundation: Foundation | undefined;
  receipts: Segments<SegmentFacts>;
  acknowledged: Segments<AcknowledgedSegment>;
  /** Bytes that its receipts cover at the least. */
  bytes: bigint;
  requests: RunningCommitments | undefined;
  responses: RunningCommitments | undefined;
  /** Receipts that the consumer contradicts elsewhere, by record hash: whether it has said MATCH of one. */
  contradicted: Map<string, { matched: boolean }> | undefined;
  providerClosing: ProviderClosing | undefined;
  consumerClosing: ConsumerClosing | undefined;
}

// Shared by all attempts that have none, and never changed.
const noSegments: Segments<never> = Object.freeze({
  count: 0,
  newest: undefined,
  waiting: undefined,
});

export function newAttempt(
  of: { readonly tokenDigest: Uint8Array; readonly index: number },
  issuer: string,
): Attempt {
  return {
    tokenDigest: of.tokenDigest.slice(),
    index: of.index,
    issuer,
    provider: undefined,
    name: "",
    names: [],
    genuine: true,
    begun: undefined,
    request: undefined,
    boot: undefined,
    foundation: undefined,
    receipts: noSegments,
    acknowledged: noSegments,
    bytes: 0n,
    requests: undefined,
    responses: undefined,
    contradicted: undefined,
    providerClosing: undefined,
    consumerClosing: undefined,
  };
}

/** Counts one more segment of a side. */
export function withSegment<Facts extends SegmentFacts>(
  segments: Segments<Facts>,
  newest: Facts,
): Segments<Facts> {
  if (segments.count === 0) return { count: 1, newest, waiting: undefined };
  segments.count += 1;
  segments.newest = newest;
  return segments;
}

export function segmentOf(record: AttemptRecord, progress: Progress, final: boolean): SegmentFacts {
  const { segment, framesFirst, framesEnd, requestFrames } = progress;
  const numbers = { segment, framesFirst, framesEnd, requestFrames };
  const request = progress.request.slice();
  return { ...record, ...numbers, request, response: progress.response.slice(), final };
}
