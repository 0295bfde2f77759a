import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { QuorumCheckpoint } from "../note/quorum.ts";
import type { Finding } from "./findings.ts";
import type { LedgerFold } from "./ledger-fold.ts";

/**
 * Holds a checkpoint that was obtained elsewhere against a replayed ledger: a cut or another history
 * shows (DESIGN.md invariant 6).
 */
export function laterCheckpointFindings(note: Uint8Array, fold: LedgerFold): readonly Finding[] {
  const { tree } = fold;
  let checkpoint: QuorumCheckpoint;
  try {
    checkpoint = fold.readNote(note);
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    return [{ code: "CHECKPOINT_REJECTED", index: tree.size, fields: { reason: cause.code } }];
  }
  const { size, root } = checkpoint;
  const own = tree.rootAt(size);
  if (own === undefined) {
    const fields = { size: String(size), held: String(tree.size) };
    return [{ code: "TRUNCATED", index: tree.size, fields }];
  }
  if (equalBytes(own, root)) return [];
  // Which leaf differs does not show; that every final size below agreed does.
  const finals = fold.finals;
  let agreed = 0n;
  for (let final = finals.firstAbove(0n); final !== undefined && final.size < size; ) {
    agreed = final.size;
    final = finals.firstAbove(final.size);
  }
  return [{ code: "CHECKPOINT_FORK", index: agreed, fields: { size: String(size) } }];
}
