/** What two closings of one attempt must have in common. */
import { equalBytes } from "../base/bytes.ts";
import { Outcome } from "../gen/causeway/record/v1/record_pb.ts";
import type { Attempt, AttemptRecord, ConsumerClosing, ProviderClosing } from "./attempt.ts";
import { findingAt, type Report } from "./findings.ts";

/** An attempt that both sides have closed. */
export interface ClosedAttempt extends Attempt {
  readonly providerClosing: ProviderClosing;
  readonly consumerClosing: ConsumerClosing;
}

export function compareSides(attempt: ClosedAttempt, report: Report): void {
  const { acknowledged, receipts, consumerClosing, foundation } = attempt;
  for (const { place } of acknowledged.waiting?.values() ?? []) {
    report(findingAt(place, "HANDLE_DIFFERS"));
  }
  compareClosings(attempt, report);
  const unacknowledged = receipts.count - acknowledged.count;
  if (foundation !== undefined && unacknowledged > Math.max(1, foundation.window)) {
    report(findingAt(consumerClosing.place, "WINDOW_EXCEEDED"));
  }
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
