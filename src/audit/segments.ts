/** Receipts and acknowledgements of one attempt, each judged by the one before it and by its counterpart. */
import { equalBytes, mapKey } from "../base/bytes.ts";
import type { Progress } from "../gen/causeway/record/v1/parts_pb.ts";
import { type Acknowledgement, Check, type Receipt } from "../gen/causeway/record/v1/record_pb.ts";
import {
  type AcknowledgedSegment,
  type Attempt,
  type AttemptRecord,
  type SegmentFacts,
  type Segments,
  segmentOf,
  withSegment,
} from "./attempt.ts";
import { type FindingCode, findingAt, type Place, type Report } from "./findings.ts";
import { RunningCommitments } from "./running-commitments.ts";

/** Headers and the only message. */
const unaryRequestFrames = 2n;

export function addReceipt(
  attempt: Attempt,
  receipt: Receipt & { readonly progress: Progress },
  record: AttemptRecord,
  report: Report,
): void {
  const { progress, final } = receipt;
  const facts = segmentOf(record, progress, final);
  const before = attempt.receipts.newest;
  const { place } = record;
  if (!follows(facts, before)) report(findingAt(place, "SEGMENT_GAP"));
  else if (!isCounted(facts, progress)) implausible(place, "messages", report);
  if (attempt.request !== undefined && !final) implausible(place, "final", report);
  checkLimits(attempt, facts, progress, report);
  attempt.receipts = withSegment(attempt.receipts, facts);
  if (isRequestOf(attempt, facts, progress, before, report)) {
    const said = { frames: facts.requestFrames, commitment: progress.request.slice(), place };
    differs((attempt.requests ??= new RunningCommitments()).provider(said), "request", report);
  }
  const said = { frames: facts.framesEnd, commitment: progress.response.slice(), place };
  differs((attempt.responses ??= new RunningCommitments()).provider(said), "response", report);
  const answer = meet(facts, facts.recordHash, attempt.receipts, attempt.acknowledged);
  if (answer !== undefined) comparePair(attempt, facts, answer, report);
}

export function addAcknowledgement(
  attempt: Attempt,
  said: Acknowledgement & {
    readonly progress: Progress;
    readonly receipt: NonNullable<Acknowledgement["receipt"]>;
  },
  record: AttemptRecord,
  report: Report,
): void {
  const { progress, receipt, check, final } = said;
  const { place } = record;
  const facts: AcknowledgedSegment = {
    ...segmentOf(record, progress, final),
    check,
    receiptLeaf: receipt.leafHash.slice(),
    receiptPosition: receipt.position,
    receiptRecord: said.receiptRecord.slice(),
  };
  const before = attempt.acknowledged.newest;
  if (!final && check !== Check.MATCH) implausible(place, "final", report);
  if (!follows(facts, before)) {
    report(findingAt(place, "ACKNOWLEDGEMENT_GAP"));
    // What says a number again answers nothing more.
    if (before !== undefined && facts.segment <= before.segment) return;
  } else if (!isCounted(facts, progress)) implausible(place, "messages", report);
  const steps = before === undefined ? facts.requestFrames > 0n : !isLess(facts, before);
  if (!steps) report(findingAt(place, "REQUEST_FRAMES_IMPLAUSIBLE"));
  attempt.acknowledged = withSegment(attempt.acknowledged, facts);
  // A failed check says already that the two sides do not agree.
  if (check === Check.MATCH) {
    const request = { frames: facts.requestFrames, commitment: progress.request.slice(), place };
    differs((attempt.requests ??= new RunningCommitments()).consumer(request), "request", report);
    const response = { frames: facts.framesEnd, commitment: progress.response.slice(), place };
    differs(
      (attempt.responses ??= new RunningCommitments()).consumer(response),
      "response",
      report,
    );
  }
  const answered = meet(facts, facts.receiptRecord, attempt.acknowledged, attempt.receipts);
  if (answered !== undefined) comparePair(attempt, answered, facts, report);
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
    report(findingAt(place, "REQUEST_DIFFERS"));
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
  { request }: Attempt,
  receipt: SegmentFacts,
  said: AcknowledgedSegment,
  report: Report,
): void {
  const { place, check } = said;
  const isNamed =
    said.receiptPosition === receipt.place.position &&
    equalBytes(said.receiptLeaf, receipt.leafHash);
  if (!isNamed) report(findingAt(place, "HANDLE_DIFFERS"));
  if (check !== Check.MATCH) return;
  if (said.framesEnd > receipt.framesEnd) report(findingAt(place, "ACKNOWLEDGED_BEYOND_RECEIPT"));
  else if (
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
    report(findingAt(place, "CLOSINGS_CONTRADICT", fields));
  }
}

function finalOr(final: boolean): string {
  return final ? "final" : "segment";
}

function differs(place: Place | undefined, what: "request" | "response", report: Report): void {
  const code: FindingCode = what === "request" ? "REQUEST_DIFFERS" : "RESPONSE_DIFFERS";
  if (place !== undefined) report(findingAt(place, code));
}

function implausible(place: Place, member: string, report: Report): void {
  report(findingAt(place, "RECORD_IMPLAUSIBLE", { member }));
}
