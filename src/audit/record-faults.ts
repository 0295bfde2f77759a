/** Members of one record that contradict each other, whatever else is on the ledger. */
import { isReasonCode } from "../base/reasons.ts";
import { type Decision, Verdict } from "../gen/causeway/record/v1/parts_pb.ts";
import { type Closed, Outcome, type Refusal, Side } from "../gen/causeway/record/v1/record_pb.ts";

/** The member of a refusal that contradicts another. */
export function refusalFault(refusal: Refusal): string | undefined {
  const { aggregate, call, callCommitment, caller, decision, method, methodCommitment } = refusal;
  const { reason, recheck, side } = refusal;
  if (!isReasonCode(reason)) return "reason";
  if ((side === Side.PROVIDER) !== (caller.case === "peer")) return "caller";
  if (side === Side.CONSUMER && (call !== undefined || decision !== undefined)) return "side";
  if (recheck !== undefined && decision === undefined) return "recheck";
  if (aggregate !== undefined) return call === undefined ? undefined : "aggregate";
  if ((call === undefined) !== callCommitment.length > 0) return "call";
  return method !== "" && methodCommitment.length > 0 ? "method" : undefined;
}

/** A denial refuses for its own reason; a permit is refused only by what came after it. */
export function contradicts({ reason, recheck }: Refusal, decision: Decision): boolean {
  if (decision.verdict === Verdict.DENY) {
    return recheck !== undefined || !decision.reasons.some(({ code }) => code === reason);
  }
  const ownReasons = ["POLICY_DENIED", "QUOTA_EXHAUSTED"];
  return recheck === undefined && (ownReasons.includes(reason) || reason.startsWith("GRANT_"));
}

const providerOutcomes: ReadonlySet<Outcome> = new Set([
  Outcome.UPSTREAM_ERROR,
  Outcome.REVOKED,
  Outcome.STALE,
  Outcome.LIMIT,
  Outcome.PEER_LOST,
  Outcome.SHUTDOWN,
  Outcome.GATEWAY_RESTARTED,
]);
const bothOutcomes: ReadonlySet<Outcome> = new Set([
  Outcome.CANCELLED,
  Outcome.DEADLINE,
  Outcome.GATEWAY_ERROR,
]);

/** Whether a closing's members are such as its side and outcome ask for. */
export function isOutcomeOf({
  side,
  outcome,
  recheck,
  tokenDigest,
  nextAttempt,
  attempt,
}: Closed): boolean {
  if (nextAttempt !== 0 && nextAttempt !== attempt + 1) return false;
  if ((side === Side.CONSUMER) !== tokenDigest.length > 0) return false;
  const isTaken = outcome === Outcome.REVOKED || outcome === Outcome.STALE;
  if (isTaken !== (recheck !== undefined)) return false;
  return bothOutcomes.has(outcome) || providerOutcomes.has(outcome) === (side === Side.PROVIDER);
}
