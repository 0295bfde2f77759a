/** Whether the votes of one batch appoint a sequencer, and from which leaf on its term counts. Pure. */
import { equalBytes } from "../base/bytes.ts";
import { cityOf } from "../base/ids.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { ResultKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import { citiesInForce, quorumInForce } from "./electorate.ts";
import { bindKeys } from "./keys.ts";
import type { Ballot, Change } from "./rule.ts";
import type { RegistryState, TermFact } from "./state.ts";
import type { RootAt } from "./structure.ts";

/** What the votes give. */
export interface Appointment {
  /**
   * Index of the term's first leaf: the size of the highest checkpoint that the votes name of the highest
   * term. If they contradict this tree, the first leaf of the appointed gateway after all others', which
   * a witness does not take on trust.
   */
  readonly start: bigint;
  /** City of the sequencer that signed what does not stand on this tree, when one did. */
  readonly liar?: string;
}

/**
 * Judges the votes on a sequencer that stand in one batch of the appointed gateway, each valid by itself,
 * against the registry before that batch (DESIGN section 7).
 *
 * @param rootAt of the tree before the batch, asked for sizes up to `state.size`.
 * @returns `VOTES_MISSING` unless they agree, are of different cities and enough of them count;
 * `TERM_INVALID` when the term is not above the newest, when a leaf of another gateway stands at or after
 * its start, or when too few of the checkpoints go with this tree.
 */
export function judgeAppointment(
  state: RegistryState,
  ballots: readonly Ballot[],
  rootAt: RootAt,
): Appointment | ReasonCode {
  const cities = citiesInForce(state);
  const counted = ballots.filter(({ city }) => cities.includes(city));
  const [first] = counted;
  if (first === undefined || !agree(ballots)) return "VOTES_MISSING";
  if (first.term <= newestTerm(state)) return "TERM_INVALID";
  const { quorum } = quorumInForce(state);
  const run = ownRun(state, first.gateway);
  const stands = ({ checkpoint: { size, root } }: Ballot): boolean =>
    isOnTree(state, size, root, rootAt);

  const highest = counted.reduce((term, { checkpoint }) => {
    return checkpoint.term > term ? checkpoint.term : term;
  }, 0n);
  const named = counted.filter(({ checkpoint }) => checkpoint.term === highest);
  if (named.every(stands)) {
    if (counted.length < quorum) return "VOTES_MISSING";
    const start = named.reduce((max, { checkpoint: { size } }) => (size > max ? size : max), 0n);
    return start < run ? "TERM_INVALID" : { start };
  }

  const liar = cityOf(state.terms.find(({ term }) => term === highest)?.gateway ?? "");
  const others = counted.filter(({ city }) => city !== liar);
  if (!cities.every((city) => city === liar || others.some((vote) => vote.city === city))) {
    return "VOTES_MISSING";
  }
  // What a larger tree has at the start shows in proofs that a fold does not see: witnesses ask for them.
  const going = others.filter((vote) => stands(vote) || vote.checkpoint.size > run);
  return going.length < quorum - 1 ? "TERM_INVALID" : { start: run, liar };
}

/** The term that the votes of a batch open, or why they open none and are void. */
export function appoint(
  {
    before,
    after,
    index,
  }: {
    /** The registry before the batch, and after its records. */
    readonly before: RegistryState;
    readonly after: RegistryState;
    readonly index: bigint;
  },
  ballots: readonly Ballot[],
  rootAt: RootAt,
): Change | ReasonCode {
  const judged = judgeAppointment(before, ballots, rootAt);
  if (typeof judged === "string") return judged;
  const { gateway: owner, term, address, tls, tlsDigest, logKey } = ballots[0] as Ballot;
  const bound = bindKeys(after, [
    { key: logKey, use: "log", owner, since: index },
    { key: tlsDigest, use: "tls", owner, since: index },
  ]);
  if (bound === undefined) return "KEY_BOUND";
  const fact: TermFact = {
    term,
    gateway: owner,
    address,
    tls,
    logKey,
    start: judged.start,
    since: index,
  };
  return {
    state: { ...bound, terms: [...bound.terms, fact] },
    results: [{ kind: ResultKind.SEQUENCER_APPOINTED, subject: owner }],
  };
}

/** The newest term of a registry; a vote names one above it. */
export function newestTerm({ terms }: RegistryState): bigint {
  return terms.at(-1)?.term ?? 0n;
}

function agree(ballots: readonly Ballot[]): boolean {
  const cities = new Set(ballots.map(({ city }) => city));
  const choices = new Set(ballots.map(({ choice }) => choice));
  return cities.size === ballots.length && choices.size === 1;
}

/** The first index after every leaf of another gateway. */
function ownRun({ chains }: RegistryState, gateway: string): bigint {
  let run = 0n;
  for (const [id, { index }] of chains) if (id !== gateway && index >= run) run = index + 1n;
  return run;
}

function isOnTree(
  { size: treeSize }: RegistryState,
  size: bigint,
  root: Uint8Array,
  rootAt: RootAt,
): boolean {
  const held = size > treeSize ? undefined : rootAt(size);
  return held !== undefined && equalBytes(held, root);
}
