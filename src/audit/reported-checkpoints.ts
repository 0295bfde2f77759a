import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { Verifier } from "../crypto/ports.ts";
import type { CheckpointPair } from "../gen/causeway/record/v1/record_pb.ts";
import { readHead, type SignedHead } from "../ledger/embedded/checkpoints.ts";
import { type Finding, findingAt, type Place } from "./findings.ts";
import type { LedgerFold } from "./ledger-fold.ts";

/** Two signed checkpoints of one origin that are shown as a contradiction, held against each other and this tree. */
export function judgeReportedCheckpoints(
  { firstNote, secondNote }: CheckpointPair,
  place: Place,
  fold: LedgerFold,
  verifier: Verifier,
): Finding | undefined {
  const trust = { state: fold.state, skewMs: 0 };
  let heads: readonly SignedHead[];
  try {
    heads = [firstNote, secondNote].map((note) => readHead(trust, note, verifier));
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    return findingAt(place, "RECORD_IMPLAUSIBLE", { member: "checkpoints" });
  }
  const [first, second] = heads as [SignedHead, SignedHead];
  const contradict = first.size === second.size && !equalBytes(first.root, second.root);
  const foreign = heads.find((head) => isForeign(head, fold));
  if (first.term !== second.term || (!contradict && foreign === undefined)) {
    return findingAt(place, "RECORD_IMPLAUSIBLE", { member: "checkpoints" });
  }
  const { term, size } = foreign ?? first;
  return findingAt(place, "LOG_FORK", { of: String(term), size: String(size) });
}

/** Whether the log signed a root that the tree did not have. Above the next term's start its leaves were dropped. */
function isForeign({ term, size, root }: SignedHead, { state, tree }: LedgerFold): boolean {
  const next = state.terms.find((fact) => fact.term > term);
  if (next !== undefined && size > next.start) return false;
  const own = tree.rootAt(size);
  return own !== undefined && !equalBytes(own, root);
}
