/** What two closings of one attempt must have in common. */
import { equalBytes } from "../base/bytes.ts";
import { Check, Outcome } from "../gen/causeway/record/v1/record_pb.ts";
import type {
  Attempt,
  AttemptRecord,
  ConsumerClosing,
  NamedRecord,
  ProviderClosing,
} from "./attempt.ts";
import { either, judgeNamed, sidesOf } from "./blame.ts";
import { findingAt, type Judge, type Report } from "./findings.ts";
import type { SegmentJudging } from "./segments.ts";

/** An attempt that both sides have closed. */
export interface ClosedAttempt extends Attempt {
  readonly providerClosing: ProviderClosing;
  readonly consumerClosing: ConsumerClosing;
}

/** What else is known of the records that a consumer names. */
export interface Naming extends SegmentJudging {
  /** Whether it is a refusal of a call that the provider could not verify, and so named none. */
  readonly isNameless: (named: NamedRecord) => boolean;
}

export function compareSides(attempt: ClosedAttempt, naming: Naming): void {
  const { acknowledged } = attempt;
  const { report, strays } = naming;
  for (const { place, check, receipt } of acknowledged.waiting?.values() ?? []) {
    const judge = judgeNamed(receipt, attempt, strays, check === Check.MATCH);
    report(findingAt(place, "HANDLE_DIFFERS"), judge);
  }
  compareClosings(attempt, naming);
  checkWindow(attempt, report);
}

/** What a provider let out beyond the window, it did without acknowledgements, or with some that are withheld. */
function checkWindow(attempt: ClosedAttempt, report: Report): void {
  const { acknowledged, receipts, consumerClosing, foundation } = attempt;
  if (foundation === undefined) return;
  if (receipts.count - acknowledged.count <= Math.max(1, foundation.window)) return;
  // A chain that goes on in a new epoch may have lost acknowledgements that the provider was given: then what
  // closes the attempt is another process than the one that made it.
  const { header, outcome, place } = consumerClosing;
  const isAnswer = outcome === Outcome.DISPUTED || outcome === Outcome.UNKNOWN_AFTER_RESTART;
  const isOther = header.epoch !== 0n && acknowledged.newest?.header.epoch !== header.epoch;
  if (isAnswer && isOther) return;
  const judge: Judge = () => either(sidesOf(attempt), "ACKNOWLEDGEMENT_SHOWN");
  report(findingAt(place, "WINDOW_EXCEEDED"), judge);
}

function compareClosings(attempt: ClosedAttempt, { report, strays, isNameless }: Naming): void {
  const { consumerClosing: consumer, providerClosing: provider, genuine } = attempt;
  const { place, outcome, refusal } = consumer;
  if (refusal !== undefined && !isHandleOf(refusal, provider)) {
    const judge: Judge = isNameless(refusal)
      ? () => either(sidesOf(attempt), "CALL_OPENED")
      : judgeNamed(refusal, attempt, strays, true);
    report(findingAt(place, "HANDLE_DIFFERS"), judge);
  }
  if (outcome === Outcome.REFUSED && provider.kind === "receipt") {
    const fields = { consumer: "refused", provider: "receipt" };
    const judge: Judge =
      refusal === undefined
        ? () => either(sidesOf(attempt), "ANSWER_KEPT")
        : judgeNamed(refusal, attempt, strays, true);
    report(findingAt(place, "CLOSINGS_CONTRADICT", fields), judge);
  }
  if (outcome === Outcome.DISPUTED && genuine) report(findingAt(place, "DISPUTED"));
}

/** Whether a handle names a record. */
function isHandleOf(handle: NamedRecord, record: AttemptRecord): boolean {
  return handle.position === record.place.position && equalBytes(handle.leafHash, record.leafHash);
}
