import type {
  ProvableTree,
  StartQuestion,
  StartVote,
} from "../../src/ledger/embedded/term-start.ts";
import type {
  PromisedHead,
  SettledTerms,
  TermOpening,
} from "../../src/ledger/embedded/witness-types.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";
import { proveConsistency, proveInclusion } from "../../src/merkle/prove.ts";
import { type Facts, rulesOf, type Term } from "./facts.ts";
import { readerOf, type Row, type Rows, rootOf, type Vote } from "./history.ts";
import type { Rules } from "./mutants.ts";
import { cityName } from "./notes.ts";
import { isRightlyOpened, restsOnRightTerms } from "../../src/ledger/embedded/witness-terms.ts";
import type { Sim } from "./sim.ts";

/** Somebody's ledger, with what is shown of the starts of its terms. */
export interface Ledger {
  readonly rows: Rows;
  readonly finalSize: number;
  readonly sim: { readonly evidence: Pick<Sim["evidence"], "get"> };
}

/**
 * How a term was opened, for a witness that is to cosign in it; `undefined` when one before it, of which
 * nothing is final yet and on which it rests, was not opened rightly: what votes name of such a term is of
 * no account.
 */
export function openingOf(ledger: Ledger, term: number, rules: Rules): TermOpening | undefined {
  const opening = openingIn(ledger, term, rules);
  if (opening === undefined || !rules.earlierStartsChecked) return opening;
  const earlier = termsOf(ledger).flatMap((fact) => {
    const isAsked = fact.term > 0 && fact.term < term && fact.since >= ledger.finalSize;
    return isAsked ? [{ term: BigInt(fact.term), since: BigInt(fact.since) }] : [];
  });
  const shown = (of: bigint): TermOpening | undefined => openingIn(ledger, Number(of), rules);
  return restsOnRightTerms(opening, earlier, shown) ? opening : undefined;
}

/** Whether the newest term of a history, unless it is final, is one that a witness takes part in. */
export function isRight(ledger: Ledger, rules: Rules): boolean {
  const newest = termsOf(ledger).at(-1);
  if (newest === undefined || newest.term === 0 || newest.since < ledger.finalSize) return true;
  const opening = openingOf(ledger, newest.term, rules);
  return opening !== undefined && isRightlyOpened(opening);
}

/** The terms of a ledger, if the newest is one that a witness takes part in. */
export function settledIn(
  ledger: Ledger,
  final: PromisedHead | undefined,
  rules: Rules,
): SettledTerms | undefined {
  const terms = termsOf(ledger).map(({ term }) => BigInt(term));
  if (terms.length < 2 || final === undefined || !isRight(ledger, rules)) return undefined;
  return { terms, final };
}

function termsOf({ rows }: Ledger): readonly Term[] {
  return rows.at(-1)?.facts.terms ?? [];
}

function openingIn(
  { rows, finalSize, sim }: Ledger,
  term: number,
  rules: Rules,
): TermOpening | undefined {
  const fact = rows.at(-1)?.facts.terms.find((one) => one.term === term);
  if (fact === undefined) return undefined;
  const { votes, since } = fact;
  const evidence = sim.evidence.get(term);
  const start = evidence === undefined ? fact.start : Number(evidence.start);
  const before = (rows[since - 1] as Row).facts;
  const question = questionOf(before, votes, { from: Math.min(finalSize, start), to: start });
  const tree = {
    rootAt: (size: bigint) => (size > BigInt(rows.length) ? undefined : rootOf(rows, Number(size))),
  };
  const opening = { term: BigInt(term), start: BigInt(fact.start), since: BigInt(since), tree };
  if (rules.witnessChecksStart) return { ...opening, question, evidence };
  const size = BigInt(fact.start);
  const root = rootOf(rows, fact.start);
  const right = question.votes.map((vote) => ({ ...vote, size, root }));
  return { ...opening, question: { ...question, votes: right } };
}

/** What the start is worked out from. */
export function questionOf(
  facts: Facts,
  votes: readonly Vote[],
  sizes: { readonly from: number; readonly to: number },
): StartQuestion {
  const top = Math.max(0, ...votes.map(({ highest }) => highest?.key.term ?? 0));
  const liar = facts.terms.find(({ term }) => term === top)?.gateway ?? 0;
  return {
    votes: votes.map(startVote),
    rules: rulesOf(facts, Math.max(1, sizes.from), Math.max(1, sizes.to)),
    sequencerCity: cityName(liar),
  };
}

function startVote({ city, highest }: Vote): StartVote {
  return {
    city: cityName(city),
    term: BigInt(highest?.key.term ?? 0),
    size: BigInt(highest?.size ?? 0),
    root: highest?.root ?? emptyRoot,
  };
}

export function provable(rows: Rows): ProvableTree {
  const reader = readerOf(rows);
  return {
    rootAt: (size) => (size > BigInt(rows.length) ? undefined : rootOf(rows, Number(size))),
    leafHash: (index) => (rows[Number(index)] as Row).batch.leafHash,
    inclusionProof: (index, size) => proveInclusion({ index, size, reader }),
    consistencyProof: (size1, size2) => proveConsistency({ size1, size2, reader }),
  };
}
