/** What the simulated registry knows after a leaf: a model of the fold, with the rules of terms and quorums as DESIGN.md has them. */
import { emptyRoot } from "../../src/merkle/hash.ts";
import { judgeAppointment } from "../../src/registry/appointment.ts";
import type { Ballot } from "../../src/registry/rule.ts";
import { type CosigningRule, cosigningRules } from "../../src/registry/cosigning.ts";
import { initialState } from "../../src/registry/initial.ts";
import type { ChainTip, CityFact, QuorumFact, RegistryState } from "../../src/registry/state.ts";
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

const noKey = new Uint8Array(32);
const onlyRules = new WeakMap<RegistryState["quorums"], readonly CosigningRule[]>();

export function rulesOf(facts: Facts, from: number, to: number): readonly CosigningRule[] {
  // Cities that never changed have one rule for all sizes.
  if (facts.registry.quorums.length === 1 && to > 0) {
    const known = onlyRules.get(facts.registry.quorums);
    if (known !== undefined) return known;
    const rules = cosigningRules(facts.registry, { from: 0n, to: 1n });
    onlyRules.set(facts.registry.quorums, rules);
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
  const tip = { index: BigInt(index) } as ChainTip;
  const registry = {
    ...facts.registry,
    size: BigInt(index + 1),
    chains: facts.registry.chains.with(gatewayName(gateway), tip),
  };
  let next: Facts = { ...facts, size: index + 1, chains, registry };
  for (const content of batch.contents)
    next = apply(next, content, { ...place, batch, old: facts });
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

/** What is known after the founding document, by which the log of term 0 is that of this key. */
export function foundedFacts(
  facts: Facts,
  founding: {
    readonly cities: readonly number[];
    readonly quorum: number;
    readonly faults: number;
    readonly key: LogKey;
  },
): Facts {
  const { key } = founding;
  const first = { term: 0n, address: "", tls: "", logKey: noKey, start: 0n, since: 0n };
  const registered = { ...first, gateway: gatewayName(key.city) };
  return {
    ...facts,
    registry: { ...withCities(facts.registry, founding, 0), terms: [registered] },
    terms: [{ term: 0, gateway: key.city, key, start: 0, since: 0, votes: [] }],
  };
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

/** The votes on a sequencer open its term, or are void: the real rule decides. One that names no known log is void by itself. */
function withTerm(
  facts: Facts,
  all: readonly Vote[],
  at: Place & { readonly batch: SimBatch; readonly old: Facts },
): Facts {
  const votes = all.filter(({ highest }) => highest === undefined || isOfTerm(facts, highest));
  const [first] = votes;
  if (first === undefined || first.gateway !== at.batch.gateway) return facts;
  const { term, gateway, key } = first;
  const ballots = votes.map((vote) => ballotOf(vote, at));
  const rootAt = (size: bigint): Uint8Array => rootBelow(at.before, Number(size));
  const judged = judgeAppointment(at.old.registry, ballots, rootAt);
  if (typeof judged === "string") return facts;
  const start = Number(judged.start);
  const fact: Term = { term, gateway, key, start, since: at.index, votes };
  const registered = {
    term: BigInt(term),
    gateway: gatewayName(gateway),
    address: "",
    tls: "",
    logKey: new Uint8Array(32),
    start: judged.start,
    since: BigInt(at.index),
  };
  const registry = { ...facts.registry, terms: [...facts.registry.terms, registered] };
  return { ...facts, registry, terms: [...facts.terms, fact] };
}

function ballotOf({ city, term, gateway, key, highest }: Vote, at: Place): Ballot {
  const named = {
    term: highest?.key.term ?? 0,
    size: highest?.size ?? 0,
    root: highest?.root ?? emptyRoot,
  };
  const isTaken = !at.areVotesChecked && named.size <= at.index;
  const root = isTaken ? rootBelow(at.before, named.size) : named.root;
  return {
    city: cityName(city),
    choice: `${term} ${gateway} ${key.id}`,
    gateway: gatewayName(gateway),
    term: BigInt(term),
    address: "",
    tls: "",
    tlsDigest: new Uint8Array(32),
    logKey: new Uint8Array(32),
    checkpoint: { term: BigInt(named.term), size: BigInt(named.size), root },
  } as unknown as Ballot;
}

/** Whether the note is under the log key of its term, as this history knows it. */
function isOfTerm(facts: Facts, note: Note): boolean {
  return facts.terms.some(({ term, key }) => term === note.key.term && key === note.key);
}

export function gatewayName(gateway: number): string {
  return `${cityName(gateway)}/a/gw`;
}
