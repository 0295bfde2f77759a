/** How a term was opened, judged again from the votes of the batch that did it (DESIGN.md section 7). */
import { equalBytes, parseBase64 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import type { Verifier } from "../crypto/ports.ts";
import { EffectKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import { readHead, type SignedHead } from "../ledger/embedded/checkpoints.ts";
import { cosigningRules } from "../registry/cosigning.ts";
import type { RegistryState, TermFact } from "../registry/state.ts";
import type { FinalSizes } from "./final-sizes.ts";
import type { Finding } from "./findings.ts";
import type { FoldedBatch } from "./ledger-fold.ts";
import type { LedgerTree } from "./ledger-tree.ts";

export interface JudgedOpening {
  readonly findings: readonly Finding[];
  /**
   * Whether the leaves show that the start is right. Where a sequencer had signed two histories they do
   * not: what its witnesses were shown is not on the ledger.
   */
  readonly startShown: boolean;
}

/**
 * The votes are counted under every rule from the last final size to the start; the start is the highest
 * checkpoint that they name in the highest term, and nothing final lies above it. That the votes carry
 * the authorities' signatures is the fold's to see.
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
  const start = String(term.start);
  const finalSize = finals.newest?.size ?? 0n;
  if (finalSize > term.start) report("TERM_START_WRONG", { start, final: String(finalSize) });
  const votes = votesOf(folded, before, verifier);
  const newest = votes.reduce((most, { head }) => (head.term > most ? head.term : most), 0n);
  const heads = votes.map(({ head }) => head).filter((head) => head.term === newest);
  const foreign = heads.filter(({ size, root }) => {
    const own = size > index ? undefined : tree.rootAt(size);
    return own === undefined || !equalBytes(own, root);
  });
  for (const { size } of foreign) report("LOG_FORK", { of: String(newest), size: String(size) });
  const highest = heads.reduce((most, { size }) => (size > most ? size : most), 0n);
  if (foreign.length === 0 && highest !== term.start) {
    report("TERM_START_WRONG", { start, highest: String(highest) });
  }
  const to = term.start > 0n ? term.start : 1n;
  const from = finalSize < to ? finalSize : to;
  for (const { cities, quorum } of cosigningRules(before, { from, to })) {
    const count = votes.filter(({ city }) => cities.includes(city)).length;
    if (count >= quorum) continue;
    report("TERM_VOTES_MISSING", { votes: String(count), quorum: String(quorum) });
  }
  return { findings, startShown: foreign.length === 0 };
}

interface SequencerVote {
  readonly city: string;
  readonly head: SignedHead;
}

function votesOf(
  { batch, applied }: FoldedBatch,
  before: RegistryState,
  verifier: Verifier,
): readonly SequencerVote[] {
  return batch.facts.flatMap((fact, position): readonly SequencerVote[] => {
    const isApplied = applied.effects.effects[position]?.kind === EffectKind.APPLIED;
    if (fact.kind !== "statement" || !isApplied) return [];
    const { name, claims, body } = fact.said.statement;
    if (name !== "vote" || body.on !== "sequencer") return [];
    const head = headOf(body.checkpoint, before, verifier);
    return head === undefined ? [] : [{ city: claims.iss, head }];
  });
}

function headOf(
  checkpoint: string,
  state: RegistryState,
  verifier: Verifier,
): SignedHead | undefined {
  const note = parseBase64(checkpoint);
  if (note === undefined) return undefined;
  try {
    return readHead({ state, skewMs: 0 }, note, verifier);
  } catch (cause) {
    if (cause instanceof CausewayError) return undefined;
    throw cause;
  }
}
