/** Receipts and acknowledgements of one attempt, each judged by the one before it and by its counterpart. */
import { equalBytes, mapKey } from "../base/bytes.ts";
import type { Progress } from "../gen/causeway/record/v1/parts_pb.ts";
import { type Acknowledgement, Check, type Receipt } from "../gen/causeway/record/v1/record_pb.ts";
import {
  type AcknowledgedSegment,
  type Attempt,
  type AttemptRecord,
  type NamedRecord,
  type SegmentFacts,
  type Segments,
  segmentOf,
  withSegment,
} from "./attempt.ts";
import { convicted, judgeCheck, judgeCommitments, judgeNamed, type StrayRecords } from "./blame.ts";
import { findingAt, type Judge, type Place, type Report } from "./findings.ts";
import { type Contradiction, RunningCommitments } from "./running-commitments.ts";

/** Headers and the only message. */
const unaryRequestFrames = 2n;

/** What findings of an attempt are told to and judged by. */
export interface SegmentJudging {
  readonly report: Report;
  readonly strays: StrayRecords;
}

export function addReceipt(
  attempt: Attempt,
  receipt: Receipt & { readonly progress: Progress },
  record: AttemptRecord,
  judging: SegmentJudging,
): void {
  const { report } = judging;
  const { progress, final } = receipt;
  const facts = segmentOf(record, progress, final);
  const before = attempt.receipts.newest;
  const { place, leafHash, recordHash } = record;
  const own = { leafHash, position: place.position, recordHash };
  if (!follows(facts, before)) report(findingAt(place, "SEGMENT_GAP"));
  else if (!isCounted(facts, progress)) implausible(place, "messages", report);
  if (attempt.request !== undefined && !final) implausible(place, "final", report);
  checkLimits(attempt, facts, progress, report);
  attempt.receipts = withSegment(attempt.receipts, facts);
  if (isRequestOf(attempt, facts, progress, before, report)) {
    const said = { frames: facts.requestFrames, commitment: facts.request, place, receipt: own };
    const requests = (attempt.requests ??= new RunningCommitments());
    differs(attempt, requests.provider(said), "request", report);
  }
  const said = { frames: facts.framesEnd, commitment: facts.response, place, receipt: own };
  const responses = (attempt.responses ??= new RunningCommitments());
  differs(attempt, responses.provider(said), "response", report);
  const answer = meet(facts, facts.recordHash, attempt.receipts, attempt.acknowledged);
  if (answer !== undefined) comparePair(attempt, facts, answer, judging);
}

export function addAcknowledgement(
  attempt: Attempt,
  said: Acknowledgement & {
    readonly progress: Progress;
    readonly receipt: NonNullable<Acknowledgement["receipt"]>;
  },
  record: AttemptRecord,
  judging: SegmentJudging,
): void {
  const { progress, check, final } = said;
  const { place } = record;
  const { report } = judging;
  const receipt = {
    leafHash: said.receipt.leafHash.slice(),
    position: said.receipt.position,
    recordHash: said.receiptRecord.slice(),
  };
  const facts: AcknowledgedSegment = {
    ...segmentOf(record, progress, final),
    check,
    receipt,
    met: undefined,
  };
  const before = attempt.acknowledged.newest;
  if (!final && check !== Check.MATCH) implausible(place, "final", report);
  if (!follows(facts, before)) {
    report(findingAt(place, "ACKNOWLEDGEMENT_GAP"));
    // What says a number again answers nothing more.
    if (before !== undefined && facts.segment <= before.segment) return;
  } else if (!isCounted(facts, progress)) implausible(place, "messages", report);
  // A process that has started again goes on with nothing.
  if (before !== undefined && !equalBytes(before.header.boot, record.header.boot)) {
    implausible(place, "boot", report);
  }
  const steps = before === undefined ? facts.requestFrames > 0n : !isLess(facts, before);
  if (!steps) report(findingAt(place, "REQUEST_FRAMES_IMPLAUSIBLE"));
  attempt.acknowledged = withSegment(attempt.acknowledged, facts);
  if (check !== Check.MATCH) {
    // It says already that the two sides do not agree.
    report(findingAt(place, "CHECK_FAILED", { check: String(check) }), (ledger) =>
      judgeFailed(attempt, facts, judging)(ledger),
    );
  } else {
    const request = { frames: facts.requestFrames, commitment: facts.request, place, receipt };
    const requests = (attempt.requests ??= new RunningCommitments());
    differs(attempt, requests.consumer(request), "request", report);
    const response = { frames: facts.framesEnd, commitment: facts.response, place, receipt };
    const responses = (attempt.responses ??= new RunningCommitments());
    differs(attempt, responses.consumer(response), "response", report);
  }
  const answered = meet(facts, receipt.recordHash, attempt.acknowledged, attempt.receipts);
  if (answered !== undefined) comparePair(attempt, answered, facts, judging);
}

/** Whether a segment begins where the one before it ends. */
function follows(facts: SegmentFacts, before: SegmentFacts | undefined): boolean {
  return (
    facts.segment === (before?.segment ?? 0) + 1 &&
    facts.framesFirst === (before?.framesEnd ?? 0n) &&
    facts.framesEnd >= facts.framesFirst + (before === undefined ? 1n : 0n)
  );
}

/** Whether the messages are the frames of the segment, of which the first of all is headers. */
function isCounted({ framesFirst, framesEnd }: SegmentFacts, { messages }: Progress): boolean {
  return messages === framesEnd - framesFirst - (framesFirst === 0n ? 1n : 0n);
}

function checkLimits(
  attempt: Attempt,
  { framesEnd, place }: SegmentFacts,
  { bytesBucket }: Progress,
  report: Report,
): void {
  if (bytesBucket > 0) attempt.bytes += 1n << BigInt(Math.min(bytesBucket, 64) - 1);
  const { messagesMax = 0n, bytesMax = 0n } = attempt.foundation ?? {};
  const exceeds =
    (messagesMax > 0n && framesEnd - 1n > messagesMax) ||
    (bytesMax > 0n && attempt.bytes > bytesMax);
  if (exceeds) report(findingAt(place, "LIMIT_EXCEEDED"));
}

/** Whether a receipt says of its request what its statement allows. */
function isRequestOf(
  { request }: Attempt,
  facts: SegmentFacts,
  progress: Progress,
  before: SegmentFacts | undefined,
  report: Report,
): boolean {
  const { requestFrames, place } = facts;
  const isPossible =
    request === undefined
      ? requestFrames > 0n && !isLess(facts, before)
      : requestFrames === unaryRequestFrames;
  if (!isPossible) report(findingAt(place, "REQUEST_FRAMES_IMPLAUSIBLE"));
  else if (request !== undefined && !equalBytes(progress.request, request)) {
    report(findingAt(place, "REQUEST_DIFFERS"), () => convicted(place.gateway));
    return false;
  }
  return isPossible;
}

function isLess(facts: SegmentFacts, before: SegmentFacts | undefined): boolean {
  return before !== undefined && facts.requestFrames < before.requestFrames;
}

/** The counterpart of a segment, by the record hash of the receipt; it waits for it otherwise. */
function meet<Own extends SegmentFacts, Other extends SegmentFacts>(
  facts: Own,
  receiptHash: Uint8Array,
  own: Segments<Own>,
  other: Segments<Other>,
): Other | undefined {
  const key = mapKey(receiptHash);
  const met = other.waiting?.get(key);
  if (met === undefined) {
    own.waiting ??= new Map();
    own.waiting.set(key, facts);
  } else other.waiting?.delete(key);
  return met;
}

function comparePair(
  attempt: Attempt,
  receipt: SegmentFacts,
  said: AcknowledgedSegment,
  { report, strays }: SegmentJudging,
): void {
  const { request } = attempt;
  const { place, check, receipt: named } = said;
  const isMatch = check === Check.MATCH;
  said.met = receipt;
  if (!isAt(receipt, named)) {
    report(findingAt(place, "HANDLE_DIFFERS"), judgeNamed(named, attempt, strays, isMatch));
  }
  if (!isMatch) return;
  const contradicted = attempt.contradicted?.get(mapKey(receipt.recordHash));
  if (contradicted !== undefined) contradicted.matched = true;
  if (said.framesEnd > receipt.framesEnd) {
    // Whoever says MATCH of a receipt has read how far it goes.
    report(findingAt(place, "ACKNOWLEDGED_BEYOND_RECEIPT"), () => convicted(place.gateway));
  } else if (
    said.framesEnd < receipt.framesEnd ||
    said.framesFirst !== receipt.framesFirst ||
    said.segment !== receipt.segment
  ) {
    report(findingAt(place, "ACKNOWLEDGEMENT_DIFFERS"));
  }
  const isSent =
    request === undefined
      ? said.requestFrames >= receipt.requestFrames
      : said.requestFrames === unaryRequestFrames;
  if (!isSent) report(findingAt(place, "REQUEST_FRAMES_IMPLAUSIBLE"));
  if (said.final !== receipt.final) {
    const fields = { consumer: finalOr(said.final), provider: finalOr(receipt.final) };
    report(findingAt(place, "CLOSINGS_CONTRADICT", fields), () => convicted(place.gateway));
  }
}

function isAt({ place, leafHash }: SegmentFacts, named: NamedRecord): boolean {
  return named.position === place.position && equalBytes(named.leafHash, leafHash);
}

/** Of a check that failed: of the receipt where it stands on the ledger as it was shown. */
function judgeFailed(
  attempt: Attempt,
  said: AcknowledgedSegment,
  { strays }: SegmentJudging,
): Judge {
  const { met, receipt } = said;
  return met !== undefined && isAt(met, receipt)
    ? judgeCheck(met, said, attempt.foundation)
    : judgeNamed(receipt, attempt, strays, false);
}

function finalOr(final: boolean): string {
  return final ? "final" : "segment";
}

function differs(
  attempt: Attempt,
  contradiction: Contradiction | undefined,
  what: "request" | "response",
  report: Report,
): void {
  if (contradiction === undefined) return;
  const { place, within, receipt, named } = contradiction;
  const finding = findingAt(place, what === "request" ? "REQUEST_DIFFERS" : "RESPONSE_DIFFERS");
  const { request, genuine } = attempt;
  // What it has signed of a unary request, the consumer has said in its call already.
  const isSigned = what === "request" && request !== undefined && genuine;
  if (within !== undefined || isSigned) {
    report(finding, () => convicted(place.gateway));
    return;
  }
  attempt.contradicted ??= new Map();
  const key = mapKey(receipt.recordHash);
  const held = attempt.contradicted.get(key) ?? { matched: false };
  attempt.contradicted.set(key, held);
  const settledBy =
    what === "request"
      ? "REQUEST_OPENED"
      : equalBytes(receipt.recordHash, named.recordHash)
        ? "RESPONSE_OPENED"
        : "RECORD_SHOWN";
  report(finding, judgeCommitments(held, named, attempt, settledBy));
}

function implausible(place: Place, member: string, report: Report): void {
  report(findingAt(place, "RECORD_IMPLAUSIBLE", { member }));
}
