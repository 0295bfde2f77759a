/** What two closings of one attempt must have in common. */
import { equalBytes } from "../base/bytes.ts";
import { Check, Outcome } from "../gen/causeway/record/v1/record_pb.ts";
import type {
  AcknowledgedSegment,
  Attempt,
  AttemptRecord,
  ConsumerClosing,
  ProviderClosing,
  SegmentFacts,
} from "./attempts.ts";
import { findingAt, type Report } from "./findings.ts";

/** An attempt that both sides have closed. */
export interface ClosedAttempt extends Attempt {
  readonly providerClosing: ProviderClosing;
  readonly consumerClosing: ConsumerClosing;
}

export function compareSides(attempt: ClosedAttempt, report: Report): void {
  const { acknowledged, receipts, consumerClosing, foundation } = attempt;
  for (const segment of acknowledged) compareSegment(attempt, segment, report);
  compareClosings(attempt, report);
  const unacknowledged = receipts.length - acknowledged.length;
  if (foundation !== undefined && unacknowledged > foundation.window) {
    report(findingAt(consumerClosing.place, "WINDOW_EXCEEDED"));
  }
}

function compareSegment(attempt: ClosedAttempt, said: AcknowledgedSegment, report: Report): void {
  const receipt = attempt.receipts.find(({ recordHash }) =>
    equalBytes(recordHash, said.receiptRecord),
  );
  const { receiptLeaf: leafHash, receiptPosition: position, place } = said;
  if (receipt === undefined || !isHandleOf({ leafHash, position }, receipt)) {
    report(findingAt(place, "HANDLE_DIFFERS"));
    return;
  }
  // A failed check says already that the two sides do not agree.
  if (said.check !== Check.MATCH) return;
  if (said.framesEnd > receipt.framesEnd) report(findingAt(place, "ACKNOWLEDGED_BEYOND_RECEIPT"));
  if (differ("request", said, receipt)) report(findingAt(place, "REQUEST_DIFFERS"));
  if (differ("response", said, receipt)) report(findingAt(place, "RESPONSE_DIFFERS"));
}

/** Commitments run on frame by frame: only at equal numbers of frames do they say the same. */
function differ(what: "request" | "response", a: SegmentFacts, b: SegmentFacts): boolean {
  const atEqual =
    what === "request" ? a.requestFrames === b.requestFrames : a.framesEnd === b.framesEnd;
  return atEqual && !equalBytes(a[what], b[what]);
}

function compareClosings(attempt: ClosedAttempt, report: Report): void {
  const { consumerClosing: consumer, providerClosing: provider, genuine } = attempt;
  const { place, outcome, refusal } = consumer;
  if (refusal !== undefined && !isHandleOf(refusal, provider)) {
    report(findingAt(place, "HANDLE_DIFFERS"));
  }
  if (outcome === Outcome.REFUSED && provider.kind === "receipt") {
    report(findingAt(place, "CLOSINGS_CONTRADICT", { consumer: "refused", provider: "receipt" }));
  }
  if (outcome === Outcome.DISPUTED && genuine) report(findingAt(place, "DISPUTED"));
}

/** Whether a handle names a record. */
function isHandleOf(
  handle: { readonly leafHash: Uint8Array; readonly position: number },
  record: AttemptRecord,
): boolean {
  return handle.position === record.place.position && equalBytes(handle.leafHash, record.leafHash);
}
