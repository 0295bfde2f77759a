/** What the consumer makes of one segment whose proof is there: every check up to the result that it records. */
import type { ReasonCode } from "../base/reasons.ts";
import type { AnswerFrame, Proof } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { Receipt } from "../gen/causeway/record/v1/record_pb.ts";
import { isWithinMask } from "./answer-mask.ts";
import { type Attempt, type ExchangeOptions, sentCall } from "./consumer-attempt.ts";
import type { CheckResult } from "./consumer-machine.ts";
import type { ConsumerRequest } from "./consumer-request.ts";
import { type ProofCheck, checkSeen } from "./proof-check.ts";
import { checkReceipt, responseSalt } from "./receipt-check.ts";
import { type ProofContext, readOpened } from "./received-proof.ts";

const checkReasons: Readonly<Record<Exclude<CheckResult, "match">, ReasonCode>> = {
  "commitment-mismatch": "COMMITMENT_MISMATCH",
  "key-unknown": "RECEIPT_KEY_UNKNOWN",
  "seen-fork": "SEEN_FORK",
  "time-implausible": "TIME_IMPLAUSIBLE",
  "stale-seal": "STALE_SEAL",
  "grant-taken": "GRANT_TAKEN",
  "mask-violation": "MASK_VIOLATION",
};

/** The reason that a failed check gives to the caller. */
export function reasonOfCheck(result: Exclude<CheckResult, "match">): ReasonCode {
  return checkReasons[result];
}

export interface CheckedSegment {
  readonly result: CheckResult;
  /** Proofs of the provider that are valid: what they show is due on the ledger. */
  readonly shown: readonly (Proof | undefined)[];
}

/** Takes the segment into what the attempt has received, and checks it. */
export function checkSegment(segment: {
  readonly attempt: Attempt;
  readonly request: ConsumerRequest | undefined;
  readonly answer: AnswerFrame;
  readonly receipt: Receipt;
  readonly checked: Exclude<ProofCheck, { kind: "invalid" }>;
  readonly context: ProofContext;
  readonly options: ExchangeOptions;
}): CheckedSegment {
  const { attempt, request, answer, receipt, checked, context, options } = segment;
  const { received } = attempt;
  const { clock, replica } = options.ports;
  const { header, recordHash } = checked.proof;
  received.add(answer, responseSalt(answer));
  if (checked.kind === "key-unknown") return { result: "key-unknown", shown: [] };
  const opened = received.segment === 1 ? readOpened(answer.opened, context) : undefined;
  const shown = [answer.proof, opened && answer.opened];
  if (checkSeen(header, replica, attempt.link) === "fork") return { result: "seen-fork", shown };
  const result = checkReceipt({
    answer,
    receipt,
    received,
    header,
    sent: sentCall(attempt, request, options),
    opened,
    replica,
    nowMs: clock.nowMs(),
  });
  received.previous = recordHash;
  received.requestFrames = receipt.progress?.requestFrames ?? 1n;
  const { mask } = options;
  const isExcluded =
    result === "match" && mask !== undefined && !isWithinMask(answer, receipt.final, mask);
  return { result: isExcluded ? "mask-violation" : result, shown };
}
