/** A witness and the terms: what it promises before its city votes, when it takes part, and what it must not do once its state is lost. */
import type { LostState } from "../store/store.ts";
import { newestVotes, type StartVote, verifyStart } from "./term-start.ts";
import type {
  PromisedHead,
  SettledTerms,
  StoredWitness,
  TermOpening,
  TermPromise,
  WitnessEffect,
  WitnessEvent,
  WitnessState,
  WitnessStep,
} from "./witness-types.ts";

/** Whether the term was opened by enough votes, and begins in this tree where they let it. */
export function isRightlyOpened(opening: TermOpening): boolean {
  const { start: lowest, since, question, tree, evidence } = opening;
  const start = evidence?.start ?? lowest;
  if (start < lowest || start > since) return false;
  return verifyStart(question, tree, start, evidence) === "right";
}

/**
 * Whether a term goes on from an earlier one: its votes name that term or a higher one, or its start keeps
 * the leaf with that term's votes. In the appointed gateway's chain there may be votes of an earlier term
 * whose leaves are lost. Where those come between the start and the votes of this term, they open theirs at
 * a wrong place, and nothing that a quorum cosigned depends on it.
 */
function restsOn(
  { start, question, evidence }: TermOpening,
  earlier: { readonly term: bigint; readonly since: bigint },
): boolean {
  return (
    earlier.since < (evidence?.start ?? start) ||
    question.votes.some(({ term }) => term >= earlier.term)
  );
}

/**
 * Whether every earlier term that an opening rests on was rightly opened. What an earlier term rests on that is judged
 * so is judged with it; what stands behind the start of that one, without being rested on, is not rested on by a
 * later one either, unless its votes name just that.
 *
 * @param earlier those that are not final, in ascending order.
 */
export function restsOnRightTerms(
  opening: TermOpening,
  earlier: readonly { readonly term: bigint; readonly since: bigint }[],
  shown: (term: bigint) => TermOpening | undefined,
): boolean {
  const [{ term: named }] = newestVotes(opening.question) as [StartVote];
  const right: TermOpening[] = [];
  for (const fact of earlier.toReversed()) {
    const bases = right.length === 0 ? [opening] : right;
    if (fact.term !== named && !bases.some((base) => restsOn(base, fact))) continue;
    const before = shown(fact.term);
    if (before === undefined || !isRightlyOpened(before)) return false;
    right.push(before);
  }
  return true;
}

/**
 * Whether nothing of a term is cosigned, because what was promised is not known any more: in the term in
 * which that was found, and under the key of that time for ever. Of two cities the one with a new key
 * goes on at once: without it no later term could be opened.
 */
export function isSilenced(state: WitnessState, term: bigint): boolean {
  const { lost, config } = state;
  if (lost === undefined) return false;
  return config.key === lost.key || (term <= lost.term && config.isPair?.() !== true);
}

/** Whether the city has a vote for the next term: not before its witness took part again. */
function hasVote(state: WitnessState): boolean {
  const { lost, config, promises } = state;
  if (lost === undefined) return true;
  if (config.key === lost.key) return false;
  const isPair = config.isPair?.() === true;
  return [...promises.values()].some(
    ({ term }) => term > lost.term || (isPair && term === lost.term),
  );
}

/**
 * What the city's vote names: the highest checkpoint cosigned, by (term, size), of those that can have become
 * final. None of a term can that a later one, rightly opened, leaves out: of what is final every quorum of votes
 * tells, and the later term would keep the leaf with that term's votes. Named all the same, it would make the
 * vote void wherever its term is not known, which is everywhere but here where the term died before anyone followed
 * it. A city that has cosigned in such terms alone names the newest final checkpoint.
 */
export function votedHead(
  { promises }: StoredWitness,
  settled: SettledTerms | undefined,
): PromisedHead | undefined {
  let highest: PromisedHead | undefined;
  for (const head of promises.values()) {
    if (settled !== undefined && isLeftOut(head.term, settled)) continue;
    if (highest === undefined || head.term > highest.term) highest = head;
  }
  return highest ?? (promises.size > 0 ? settled?.final : undefined);
}

/** Of a term that is known a smaller checkpoint may be final, although the highest does not stand any more. */
function isLeftOut(term: bigint, { terms }: SettledTerms): boolean {
  return !terms.includes(term) && terms.some((later) => later > term);
}

export function askForTerm(
  state: WitnessState,
  event: Extract<WitnessEvent, { kind: "promise term" }>,
): WitnessStep {
  const { id, term, choice, currentTerm, settled } = event;
  if (!hasVote(state)) return refuseTerm(state, id, "WITNESS_STATE_LOST");
  // Promised, and perhaps not signed: the same vote may be made again until the term is known.
  const isSame = choice !== undefined && choice === state.promisedChoice;
  if (isSame && term === state.promisedTerm && term > currentTerm) {
    return { state, effects: [termPromised(id, state, settled)] };
  }
  if (term <= state.promisedTerm || term <= currentTerm) return refuseTerm(state, id, "TERM_ENDED");
  const asked = choice === undefined ? {} : { choice };
  return { state, effects: [{ kind: "store term", id, term, ...asked }] };
}

export function keepTerm(
  state: WitnessState,
  event: Extract<WitnessEvent, { kind: "term stored" }>,
): WitnessStep {
  const { id, promisedTerm, choice, isNew, settled } = event;
  if (!isNew) return refuseTerm({ ...state, promisedTerm }, id, "TERM_ENDED");
  const next = { ...state, promisedTerm, promisedChoice: choice };
  return { state: next, effects: [termPromised(id, next, settled)] };
}

function termPromised(
  id: number,
  state: WitnessState,
  settled: SettledTerms | undefined,
): WitnessEffect {
  const result: TermPromise = {
    kind: "promised",
    term: state.promisedTerm,
    highest: votedHead(state, settled),
  };
  return { kind: "term promised", id, result };
}

function refuseTerm(
  state: WitnessState,
  id: number,
  reason: Extract<TermPromise, { kind: "refused" }>["reason"],
): WitnessStep {
  return { state, effects: [{ kind: "term promised", id, result: { kind: "refused", reason } }] };
}

/** A promise is durable before it is cosigned: a cosignature without one shows that the state was lost. */
export function hearOwnCosignature(
  state: WitnessState,
  event: Extract<WitnessEvent, { kind: "own cosignature" }>,
): WitnessStep {
  const { term, origin, size, key = state.config.key } = event;
  const promise = state.promises.get(origin);
  if (promise !== undefined && promise.size >= size) return { state, effects: [] };
  if (isKnownLost(state, { term, key })) return { state, effects: [] };
  return loseState(state, { key, term }, size);
}

/** A store that knows of no promise at all has not what the key before this one has promised. */
export function hearKeyReplaced(
  state: WitnessState,
  { key, term }: Extract<WitnessEvent, { kind: "key replaced" }>,
): WitnessStep {
  if (state.promises.size > 0 || state.lost !== undefined) return { state, effects: [] };
  return loseState(state, { key, term }, 0n);
}

function loseState(state: WitnessState, lost: LostState, size: bigint): WitnessStep {
  return {
    state: { ...state, lost },
    effects: [
      { kind: "store lost", lost },
      { kind: "report", reason: "WITNESS_STATE_LOST", size },
    ],
  };
}

/** Whether it was found already: in this term or a later one, and of the present key if it is of that. */
function isKnownLost({ lost, config }: WitnessState, { term, key }: LostState): boolean {
  if (lost === undefined || lost.term < term) return false;
  return lost.key === key || key !== config.key || lost.term > term;
}
