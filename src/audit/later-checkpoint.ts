import { equalBytes } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { Verifier } from "../crypto/ports.ts";
import { readQuorum } from "../ledger/embedded/checkpoints.ts";
import { parseTreeSize } from "../merkle/size.ts";
import { type Checkpoint, parseCheckpoint } from "../note/checkpoint.ts";
import { parseNote } from "../note/note.ts";
import { verifyNote } from "../note/verify.ts";
import { cosignersBetween, cosigningRuleAt, originOf } from "../registry/cosigning.ts";
import type { Finding } from "./findings.ts";
import type { LedgerFold } from "./ledger-fold.ts";

/** What a checkpoint that was obtained elsewhere says of a replayed ledger. */
export interface JudgedCheckpoint {
  readonly findings: readonly Finding[];
  /** Why it does not show that the ledger is fresh; absent when it does. */
  readonly notFresh?: string;
  /** What of the checkpoint itself could not be verified. */
  readonly notVerified?: string;
}

/**
 * Holds a checkpoint that was obtained elsewhere against a replayed ledger: a cut or another history
 * shows (DESIGN.md invariant 6). Keys and quorums are those that the ledger itself leads to; what a cut
 * ledger has lost of them is said.
 */
export function judgeLaterCheckpoint(
  note: Uint8Array,
  fold: LedgerFold,
  verifier: Verifier,
): JudgedCheckpoint {
  try {
    const checkpoint = parseCheckpoint(parseNote(note).text);
    const later = laterTerm(checkpoint, fold);
    return later === undefined
      ? judgeKnown(note, checkpoint, fold, verifier)
      : judgeLaterTerm(note, checkpoint, { fold, verifier, term: later });
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    return rejectedFor(cause, fold, {});
  }
}

function judgeKnown(
  note: Uint8Array,
  { size, root }: Checkpoint,
  fold: LedgerFold,
  verifier: Verifier,
): JudgedCheckpoint {
  const { state, tree, finals } = fold;
  const isBeyond = size > tree.size;
  // What is final already is cosigned again by the cities of its size alone.
  const before = finals.isFinal(size) ? undefined : finals.lastBelow(size)?.size;
  const from = finals.isFinal(size) ? {} : { from: before ?? 0n };
  let judged: { readonly term: bigint; readonly timeMs: number };
  try {
    judged = readQuorum({ state, skewMs: 0 }, note, { verifier, ...from });
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    const fields = isBeyond ? { size: String(size), held: String(tree.size) } : {};
    const notVerified = "cities and keys may have changed in leaves that the ledger lacks";
    return { ...rejectedFor(cause, fold, fields), ...(isBeyond ? { notVerified } : {}) };
  }
  if (isBeyond) return truncated(fold, { size: String(size) });
  if (!equalBytes(tree.rootAt(size) as Uint8Array, root)) return forked(fold, size);
  const ended = fold.termAt(size);
  if (ended > judged.term) {
    const fields = { size: String(size), term: String(judged.term) };
    return { findings: [{ code: "TERM_OVER", index: size - 1n, fields }] };
  }
  const newest = finals.newest;
  if (newest === undefined || judged.timeMs >= newest.timeMs) return { findings: [] };
  const notFresh = "the checkpoint that was given is older than the newest final one here";
  return { findings: [], notFresh };
}

/**
 * A checkpoint of a term that these leaves do not open: they were cut off, unless it is another history.
 * Its log key is not known; that enough of the known cities cosigned it is.
 */
function judgeLaterTerm(
  note: Uint8Array,
  { size, root }: Checkpoint,
  {
    fold,
    verifier,
    term,
  }: { readonly fold: LedgerFold; readonly verifier: Verifier; readonly term: bigint },
): JudgedCheckpoint {
  const { state, tree } = fold;
  const notVerified = `the log's signature: term ${term} is not known to this ledger`;
  const at = tree.size > 0n ? tree.size : 1n;
  const rule = cosigningRuleAt(state, at);
  const witnesses = cosignersBetween(state, { from: at, to: at });
  const verify = verifier.verify.bind(verifier);
  const keys = witnesses.map(({ key }) => key);
  const signed = verifyNote({ note: parseNote(note), keys, verify });
  const counted = signed.filter(({ timestamp = 0n }) => timestamp > 0n);
  const cities = witnesses.filter(({ key }) => counted.some((one) => one.key === key));
  const own = tree.rootAt(size);
  const fields = { size: String(size), held: String(tree.size), term: String(term) };
  if (cities.length < rule.quorum) {
    const finding = rejection("QUORUM_NOT_MET", fold, fields);
    return { findings: [finding], notVerified };
  }
  if (own === undefined) return { ...truncated(fold, fields), notVerified };
  if (!equalBytes(own, root)) return { ...forked(fold, size), notVerified };
  return { findings: [rejection("CHECKPOINT_INVALID", fold, fields)], notVerified };
}

/** The term of an origin of this network above every term that the ledger opens. */
function laterTerm({ origin }: Checkpoint, { state }: LedgerFold): bigint | undefined {
  const term = parseTreeSize(origin.slice(origin.lastIndexOf("/") + 1));
  const newest = state.terms.at(-1)?.term;
  if (term === undefined || newest === undefined || term <= newest) return undefined;
  return originOf(state.networkId, term) === origin ? term : undefined;
}

function truncated({ tree }: LedgerFold, fields: Finding["fields"]): JudgedCheckpoint {
  const held = String(tree.size);
  return { findings: [{ code: "TRUNCATED", index: tree.size, fields: { ...fields, held } }] };
}

/** Which leaf differs does not show; that a quorum saw the same leaves up to the final size below does. */
function forked({ finals }: LedgerFold, size: bigint): JudgedCheckpoint {
  const index = finals.lastBelow(size)?.size ?? 0n;
  return { findings: [{ code: "CHECKPOINT_FORK", index, fields: { size: String(size) } }] };
}

function rejectedFor(
  { code }: CausewayError,
  fold: LedgerFold,
  fields: Finding["fields"],
): JudgedCheckpoint {
  return { findings: [rejection(code, fold, fields)] };
}

function rejection(
  reason: CausewayError["code"],
  { tree }: LedgerFold,
  fields: Finding["fields"],
): Finding {
  return { code: "CHECKPOINT_REJECTED", index: tree.size, fields: { reason, ...fields } };
}
