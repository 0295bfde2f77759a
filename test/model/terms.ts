/** How a term of the sequencer opens, when the checkpoints that the votes name are of one tree. */
import type { ReasonCode } from "../../src/base/reasons.ts";
import type { History } from "./facts.ts";
import { electorate } from "./votes.ts";

/** A vote on a sequencer, with what its checkpoint is. */
export interface TermVote {
  readonly city: string;
  readonly gateway: string;
  readonly term: number;
  readonly log: string;
  /** Address and TLS key, as one text. */
  readonly place: string;
  /** Of the checkpoint: its term, its size, and whether this ledger has that tree. */
  readonly checkpointTerm: number;
  readonly size: number;
  readonly stands: boolean;
}

/** Opens the term of the votes; the reasons against it otherwise. */
export function openTerm(
  history: History,
  votes: readonly TermVote[],
  at: { readonly index: number; readonly carrier: string },
): ReadonlySet<ReasonCode> {
  const reasons = new Set<ReasonCode>();
  const [first] = votes as [TermVote];
  const { gateway, term, log, place } = first;
  const agree = votes.every(
    (vote) =>
      vote.gateway === gateway && vote.term === term && vote.log === log && vote.place === place,
  );
  const cities = electorate(history);
  const voters = new Set(votes.map(({ city }) => city).filter((city) => cities.includes(city)));
  const quorum = history.quorums.at(-1)?.quorum ?? 1;
  if (!agree || voters.size < votes.length || voters.size < quorum) reasons.add("VOTES_MISSING");
  if (at.carrier !== gateway) reasons.add("VOTES_MISSING");
  if (term <= (history.terms.at(-1)?.term ?? 0)) reasons.add("TERM_INVALID");
  const highest = Math.max(...votes.map(({ checkpointTerm }) => checkpointTerm));
  const named = votes.filter(({ checkpointTerm }) => checkpointTerm === highest);
  const start = Math.max(...named.map(({ size }) => size));
  if (named.some(({ stands }) => !stands) || start > at.index) reasons.add("TERM_INVALID");
  // The term opens with leaves of its own gateway alone.
  if (history.leaves.slice(start).some((leaf) => leaf.gateway !== gateway)) {
    reasons.add("TERM_INVALID");
  }
  if (reasons.size === 0) history.terms.push({ term, gateway, log, since: at.index });
  return reasons;
}
