import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { Verifier } from "../crypto/ports.ts";
import type { CheckpointPair } from "../gen/causeway/record/v1/record_pb.ts";
import { readHead, type SignedHead } from "../ledger/embedded/checkpoints.ts";
import { trustOf } from "../ledger/embedded/trust.ts";
import { type Finding, findingAt, type Place } from "./findings.ts";
import type { LedgerFold } from "./ledger-fold.ts";

/** Two signed checkpoints that are shown as a contradiction, held against each other and this tree. */
export function judgeReportedCheckpoints(
  { firstNote, secondNote }: CheckpointPair,
  place: Place,
  { network, state, tree }: LedgerFold,
  verifier: Verifier,
): Finding | undefined {
  if (network === undefined) return undefined;
  let heads: readonly SignedHead[];
  const trust = trustOf(network, state);
  try {
    heads = [firstNote, secondNote].map((note) => readHead(trust, note, verifier));
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    return findingAt(place, "RECORD_IMPLAUSIBLE", { member: "checkpoints" });
  }
  const [first, second] = heads as [SignedHead, SignedHead];
  const contradict = first.size === second.size && !equalBytes(first.root, second.root);
  const foreign = heads.find(({ size, root }) => {
    const own = tree.rootAt(size);
    return own !== undefined && !equalBytes(own, root);
  });
  if (!contradict && foreign === undefined) {
    return findingAt(place, "RECORD_IMPLAUSIBLE", { member: "checkpoints" });
  }
  return findingAt(place, "LOG_FORK", { size: String((foreign ?? first).size) });
}
