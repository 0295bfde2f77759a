/** What the end of a ledger says of attempts that not both sides have closed. */
import { Check, Outcome } from "../gen/causeway/record/v1/record_pb.ts";
import type { Attempt, AttemptRecord } from "./attempt.ts";
import { convicted, judgeNamed } from "./blame.ts";
import type { Naming } from "./compare-sides.ts";
import { findingAt } from "./findings.ts";
import type { SegmentJudging } from "./segments.ts";

/** How old records are at the end of the ledger. */
export interface AttemptAge {
  /** What answers the record would stand by now. */
  isOverdue(record: AttemptRecord): boolean;
  /** Its gateway has started again behind it, and has had the time to close what was open. */
  isRestarted(record: AttemptRecord): boolean;
}

/** What is left to say of an attempt. */
type Finished = "open" | "overdue" | "complete";

/** An attempt that a provider has on record, and that one side has not closed. */
export function judgeUnfinished(
  attempt: Attempt,
  begun: AttemptRecord,
  age: AttemptAge,
  judging: SegmentJudging,
): Finished {
  const { report } = judging;
  const { receipts, acknowledged, providerClosing, consumerClosing } = attempt;
  const newest = receipts.newest ?? begun;
  const found: Finished[] = [];
  // A stream may be silent for long: it has to end once the other side or the own process has ended it.
  if (providerClosing === undefined) {
    const due = isEnded(consumerClosing, newest, age);
    if (due) report(findingAt(newest.place, "PROVIDER_CLOSING_MISSING"));
    found.push(due ? "overdue" : "open");
  }
  if (consumerClosing === undefined) {
    const due = isEnded(providerClosing, acknowledged.newest, age);
    const { place } = providerClosing ?? newest;
    // A token of its own it has to answer; one that it has not signed is the provider's invention.
    const failing = attempt.genuine ? attempt.issuer : begun.place.gateway;
    if (due) report(findingAt(place, "CONSUMER_CLOSING_MISSING"), () => convicted(failing));
    found.push(due ? "overdue" : "open");
  }
  if (isRecordMissing(attempt, age, judging)) found.push("overdue");
  return found.includes("overdue") ? "overdue" : (found[0] ?? "complete");
}

/** A consumer may close alone what the provider has no record of, but not answer a record of it. */
export function judgeUnanswered(
  attempt: Attempt,
  age: AttemptAge,
  judging: Naming & {
    /** A record names it in which no call may stand. */
    readonly isMentioned: boolean;
  },
): Finished {
  const { acknowledged, consumerClosing } = attempt;
  const { isMentioned, isNameless, report, strays } = judging;
  if (acknowledged.newest !== undefined) {
    return isRecordMissing(attempt, age, judging) ? "overdue" : "open";
  }
  if (consumerClosing === undefined) return "complete";
  const { outcome, refusal, place } = consumerClosing;
  const named = refusal !== undefined && !isNameless(refusal) ? refusal : undefined;
  const answers =
    outcome === Outcome.DISPUTED || outcome === Outcome.UNKNOWN_AFTER_RESTART
      ? !isMentioned
      : named !== undefined;
  if (!answers) return "complete";
  if (!age.isOverdue(consumerClosing)) return "open";
  // What it disputes or has forgotten it has found final on the ledger, or it lies.
  const judge =
    named === undefined ? () => convicted(place.gateway) : judgeNamed(named, attempt, strays, true);
  report(findingAt(place, "PROVIDER_RECORD_MISSING"), judge);
  return "overdue";
}

/** The consumer answers a receipt that is not on the ledger: the oldest one says it for all. */
function isRecordMissing(
  attempt: Attempt,
  age: AttemptAge,
  { report, strays }: SegmentJudging,
): boolean {
  const [oldest] = attempt.acknowledged.waiting?.values() ?? [];
  if (oldest === undefined || !age.isOverdue(oldest)) return false;
  const { place, receipt, check } = oldest;
  const judge = judgeNamed(receipt, attempt, strays, check === Check.MATCH);
  report(findingAt(place, "PROVIDER_RECORD_MISSING"), judge);
  return true;
}

/** Whether a side has to have closed: the other did, or the process that has it on record is gone. */
function isEnded(
  other: AttemptRecord | undefined,
  own: AttemptRecord | undefined,
  age: AttemptAge,
): boolean {
  return (
    (other !== undefined && age.isOverdue(other)) || (own !== undefined && age.isRestarted(own))
  );
}
