/** What the simulated registry knows after a leaf: a model of the fold, with the rules of terms and quorums as DESIGN.md has them. */
import { equalBytes } from "../../src/base/bytes.ts";
import { type CosigningRule, cosigningRules } from "../../src/registry/cosigning.ts";
import { initialState } from "../../src/registry/initial.ts";
import type { CityFact, QuorumFact, RegistryState } from "../../src/registry/state.ts";
import { type Content, type Row, rootBelow, type SimBatch, type Vote } from "./history.ts";
import { cityName, cityOf, type LogKey, type Note } from "./notes.ts";

export interface Tip {
  readonly id: number;
  readonly epoch: number;
  readonly seq: number;
  readonly leafHash: Uint8Array;
  readonly seenSize: number;
  readonly sealedAtMs: number;
  readonly index: number;
}

export interface Term {
  readonly term: number;
  readonly gateway: number;
  readonly key: LogKey;
  readonly start: number;
  readonly since: number;
  /** Those that opened it. */
  readonly votes: readonly Vote[];
}

export interface Facts {
  readonly size: number;
  /** By gateway. */
  readonly chains: readonly (Tip | undefined)[];
  readonly terms: readonly Term[];
  /** Index of the revocation, by grant. */
  readonly revoked: ReadonlyMap<number, number>;
  /** Cities and quorums, as the real rules read them. */
  readonly registry: RegistryState;
}

export const noFacts: Facts = {
  size: 0,
  chains: [],
  terms: [],
  revoked: new Map(),
  registry: initialState(new Uint8Array(32)),
};

const onlyRules = new WeakMap<RegistryState, readonly CosigningRule[]>();

export function rulesOf(facts: Facts, from: number, to: number): readonly CosigningRule[] {
  // Cities that never changed have one rule for all sizes.
  if (facts.registry.quorums.length === 1 && to > 0) {
    const known = onlyRules.get(facts.registry);
    if (known !== undefined) return known;
    const rules = cosigningRules(facts.registry, { from: 0n, to: 1n });
    onlyRules.set(facts.registry, rules);
    return rules;
  }
  return cosigningRules(facts.registry, { from: BigInt(from), to: BigInt(to) });
}

/** Whether these cities satisfy every rule from one final size to another. */
export function satisfies(
  facts: Facts,
  sizes: { readonly from: number; readonly to: number },
  cities: ReadonlySet<number>,
): boolean {
  return rulesOf(facts, sizes.from, sizes.to).every(
    (rule) => rule.cities.filter((id) => cities.has(cityOf(id))).length >= rule.quorum,
  );
}

interface Place {
  readonly before: Row | undefined;
  readonly index: number;
  readonly areVotesChecked: boolean;
}

export function applyContents(facts: Facts, batch: SimBatch, place: Place): Facts {
  const { id, epoch, seq, leafHash, seenSize, sealedAtMs, gateway } = batch;
  const { index } = place;
  const chains = facts.chains.slice();
  chains[gateway] = { id, epoch, seq, leafHash, seenSize, sealedAtMs, index };
  let next: Facts = { ...facts, size: index + 1, chains };
  for (const content of batch.contents) next = apply(next, content, { ...place, batch, old: facts });
  return next;
}

function apply(
  facts: Facts,
  content: Content,
  at: Place & { readonly batch: SimBatch; readonly old: Facts },
): Facts {
  switch (content.kind) {
    case "revocation":
      if (facts.revoked.has(content.grant)) return facts;
      return { ...facts, revoked: new Map(facts.revoked).set(content.grant, at.index) };
    case "membership":
      return { ...facts, registry: withCities(facts.registry, content, at.index) };
    case "votes":
      return withTerm(facts, content.votes, at);
    case "founding":
    case "receipt":
    case "epoch":
      return facts;
  }
}

/** The registry whose cities are those from this leaf on. */
export function withCities(
  registry: RegistryState,
  change: { readonly cities: readonly number[]; readonly quorum: number; readonly faults: number },
  index: number,
): RegistryState {
  let { cities } = registry;
  const wanted = new Set(change.cities.map(cityName));
  const address = { index: BigInt(index), position: 0 };
  for (const [id, facts] of registry.cities) {
    const newest = facts.at(-1);
    if (wanted.has(id) || newest === undefined || newest.standing.until !== undefined) continue;
    const standing = { ...newest.standing, until: address };
    cities = cities.with(id, [...facts.slice(0, -1), { ...newest, standing }]);
  }
  for (const id of wanted) {
    const facts = cities.get(id) ?? [];
    if (facts.length > 0 && facts.at(-1)?.standing.until === undefined) continue;
    const standing = { address, since: BigInt(index) };
    cities = cities.with(id, [...facts, { id, standing } as CityFact]);
  }
  const { quorum, faults } = change;
  const quorums: readonly QuorumFact[] = [
    ...registry.quorums,
    { since: BigInt(index), quorum, faults },
  ];
  return { ...registry, cities, quorums };
}

/** The votes on a sequencer open its term, or are void. */
function withTerm(
  facts: Facts,
  votes: readonly Vote[],
  at: Place & { readonly batch: SimBatch; readonly old: Facts },
): Facts {
  const start = startOf(facts, votes, at);
  if (start === undefined) return facts;
  const { term, gateway, key } = votes[0] as Vote;
  const fact: Term = { term, gateway, key, start, since: at.index, votes };
  return { ...facts, terms: [...facts.terms, fact] };
}

function startOf(
  facts: Facts,
  votes: readonly Vote[],
  at: Place & { readonly batch: SimBatch; readonly old: Facts },
): number | undefined {
  const [first] = votes;
  if (first === undefined) return undefined;
  const { term, gateway, key } = first;
  const isOne = votes.every((vote) => vote.term === term && vote.key === key);
  const newest = facts.terms.at(-1);
  if (!isOne || gateway !== at.batch.gateway || newest === undefined || term <= newest.term) {
    return undefined;
  }
  const checked = votes.filter(({ highest }) => highest === undefined || isOfTerm(facts, highest));
  // The tree that the votes stand on ends before the leaf that carries them.
  const size = at.index;
  const [rule] = rulesOf(at.old, size, size);
  if (rule === undefined) return undefined;
  const counted = checked.filter(({ city }) => rule.cities.includes(cityName(city)));
  const heads = counted.flatMap(({ city, highest }) => (highest === undefined ? [] : [{ city, highest }]));
  const top = Math.max(-1, ...heads.map(({ highest }) => highest.key.term));
  const highest = heads.filter(({ highest: head }) => head.key.term === top);
  const stands = (head: Note): boolean =>
    !at.areVotesChecked ||
    (head.size <= size && equalBytes(rootBelow(at.before, head.size), head.root));
  const wrong = highest.filter(({ highest: head }) => !stands(head));
  if (wrong.length === 0) {
    const start = Math.max(0, ...highest.map(({ highest: head }) => head.size));
    const isEnough = new Set(counted.map(({ city }) => city)).size >= rule.quorum;
    return isEnough && areOthersBelow(facts, gateway, start) ? start : undefined;
  }
  const liar = facts.terms.find((fact) => fact.term === top)?.gateway;
  const others = counted.filter(({ city }) => city !== liar);
  const needed = rule.cities.filter((id) => cityOf(id) !== liar);
  if (!needed.every((id) => others.some(({ city }) => cityName(city) === id))) return undefined;
  const run = trailingRun(at.before, gateway, size);
  const onTree = others.filter(({ highest: head }) => {
    if (head === undefined || head.key.term !== top) return false;
    return head.size >= run ? true : stands(head);
  });
  return onTree.length >= rule.quorum - 1 && areOthersBelow(facts, gateway, run) ? run : undefined;
}

/** Whether the note is under the log key of its term, as this history knows it. */
function isOfTerm(facts: Facts, note: Note): boolean {
  return facts.terms.some(({ term, key }) => term === note.key.term && key === note.key);
}

function areOthersBelow(facts: Facts, gateway: number, start: number): boolean {
  return facts.chains.every((tip, g) => g === gateway || tip === undefined || tip.index < start);
}

/** First index of the leaves of one gateway with which a history ends. */
function trailingRun(before: Row | undefined, gateway: number, size: number): number {
  let start = size;
  for (let row = before; row?.batch.gateway === gateway; row = row.before) start = row.index;
  return start;
}
