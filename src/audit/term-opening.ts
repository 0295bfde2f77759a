/** How a term was opened, judged again from the votes of the batch that did it (DESIGN.md section 7). */
import { equalBytes, parseBase64 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { cityOf } from "../base/ids.ts";
import type { Verifier } from "../crypto/ports.ts";
import { EffectKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import { readHead } from "../ledger/embedded/checkpoints.ts";
import { type StartVote, verifyStart } from "../ledger/embedded/term-start.ts";
import { cosigningRules } from "../registry/cosigning.ts";
import type { RegistryState, TermFact } from "../registry/state.ts";
import type { FinalSizes } from "./final-sizes.ts";
import type { Finding } from "./findings.ts";
import type { FoldedBatch } from "./ledger-fold.ts";
import type { LedgerTree } from "./ledger-tree.ts";

export interface JudgedOpening {
  readonly findings: readonly Finding[];
  /**
   * Whether the leaves show that the start is right. Where votes name trees that are not this one they do
   * not: by what a witness told the trees apart is not on the ledger.
   */
  readonly startShown: boolean;
}

/**
 * What a witness judges before its first cosignature in a term, as far as the leaves show it: the votes
 * are counted under every rule from the last final size to the start, the start is the highest checkpoint
 * that they name in the highest term, and nothing final lies above it.
 */
export function judgeOpening(
  folded: FoldedBatch,
  term: TermFact,
  ledger: {
    /** The registry before the batch. */
    readonly before: RegistryState;
    readonly tree: LedgerTree;
    readonly finals: FinalSizes;
    readonly verifier: Verifier;
  },
): JudgedOpening {
  const { index, batch } = folded;
  const { before, tree, finals, verifier } = ledger;
  const findings: Finding[] = [];
  const report = (code: Finding["code"], fields: Finding["fields"]): void => {
    const { gateway } = batch.header;
    findings.push({ code, index, gateway, fields: { term: String(term.term), ...fields } });
  };
  const { start } = term;
  const finalSize = finals.newest?.size ?? 0n;
  if (finalSize > start) {
    report("TERM_START_WRONG", { start: String(start), final: String(finalSize) });
  }
  const votes = votesOf(folded, before, verifier);
  const newest = votes.reduce((most, vote) => (vote.term > most ? vote.term : most), 0n);
  const heads = votes.filter((vote) => vote.term === newest);
  const rootAt = (size: bigint): Uint8Array | undefined =>
    size > index ? undefined : tree.rootAt(size);
  const foreign = heads.filter(({ size, root }) => {
    const own = rootAt(size);
    return own !== undefined && !equalBytes(own, root);
  });
  for (const { size } of foreign) report("LOG_FORK", { of: String(newest), size: String(size) });
  const beyond = heads.some(({ size }) => rootAt(size) === undefined);
  if (foreign.length > 0 || beyond) return { findings, startShown: false };

  const sequencer = before.terms.find((fact) => fact.term === newest)?.gateway;
  const to = start > 0n ? start : 1n;
  const question = {
    votes,
    rules: cosigningRules(before, { from: finalSize < to ? finalSize : to, to }),
    sequencerCity: sequencer === undefined ? "" : cityOf(sequencer),
  };
  const verdict =
    votes.length === 0 ? "too few votes" : verifyStart(question, { rootAt }, start, undefined);
  if (verdict === "too few votes") report("TERM_VOTES_MISSING", { votes: String(votes.length) });
  if (verdict === "wrong") report("TERM_START_WRONG", { start: String(start) });
  return { findings, startShown: true };
}

function votesOf(
  { batch, applied }: FoldedBatch,
  before: RegistryState,
  verifier: Verifier,
): readonly StartVote[] {
  return batch.facts.flatMap((fact, position): readonly StartVote[] => {
    const isApplied = applied.effects.effects[position]?.kind === EffectKind.APPLIED;
    if (fact.kind !== "statement" || !isApplied) return [];
    const { name, claims, body } = fact.said.statement;
    if (name !== "vote" || body.on !== "sequencer") return [];
    const head = headOf(body.checkpoint, before, verifier);
    return head === undefined ? [] : [{ city: claims.iss, ...head }];
  });
}

function headOf(
  checkpoint: string,
  state: RegistryState,
  verifier: Verifier,
): Omit<StartVote, "city"> | undefined {
  const note = parseBase64(checkpoint);
  if (note === undefined) return undefined;
  try {
    const { term, size, root } = readHead({ state, skewMs: 0 }, note, verifier);
    return { term, size, root };
  } catch (cause) {
    if (cause instanceof CausewayError) return undefined;
    throw cause;
  }
}
