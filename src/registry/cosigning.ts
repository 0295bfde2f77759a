/**
 * Who speaks for the cities, and how many must: what a checkpoint of a size is judged by. It follows from
 * the leaves below that size alone (DESIGN.md sections 4 and 7).
 */
import { toHex } from "../base/bytes.ts";
import {
  cosignatureType,
  createVerifierKey,
  ed25519Type,
  type VerifierKey,
} from "../note/verifier-key.ts";
import { rawKey } from "./keys.ts";
import type { CityFact, RegistryState, TermFact } from "./state.ts";

/** A city's one cosigning key and where its witness answers. */
export interface CityWitness {
  readonly city: string;
  /** The key of its cosignatures, named `causeway/<network id hex>/<city>`. */
  readonly key: VerifierKey;
  /** `host:port` of `add-checkpoint` over HTTPS. */
  readonly address: string;
  /** SHA-256 of its TLS key's SPKI DER, lower-case hex. */
  readonly tls: string;
}

/** Cities of which `quorum` must have cosigned. */
export interface CosigningRule {
  /** Ids, ascending. */
  readonly cities: readonly string[];
  readonly quorum: number;
  readonly faults: number;
}

/** The origin of a term: the first line of its checkpoints and the name of its log key. */
export function originOf(networkId: Uint8Array, term: bigint): string {
  return `causeway/${toHex(networkId)}/${term}`;
}

/** The term whose origin this is, among those that the registry knows. */
export function termOfOrigin(state: RegistryState, origin: string): TermFact | undefined {
  return state.terms.find(({ term }) => originOf(state.networkId, term) === origin);
}

// Facts never change, and each note of a round is judged by the same ones. A fact is of one network.
const logKeys = new WeakMap<TermFact, VerifierKey>();
const witnesses = new WeakMap<CityFact, CityWitness>();

/** The log key of a term, named after its origin. */
export function logKeyOf(state: RegistryState, fact: TermFact): VerifierKey {
  const known = logKeys.get(fact);
  if (known !== undefined) return known;
  const name = originOf(state.networkId, fact.term);
  const key = createVerifierKey({ name, type: ed25519Type, publicKey: fact.logKey });
  logKeys.set(fact, key);
  return key;
}

/** Whether the log of a term, opened where the fact says, may sign a size: each holds the leaf that opened it. */
export function isSizeOfTerm({ term, since }: TermFact, size: bigint): boolean {
  return term === 0n || size > since;
}

/** The rule for a size: the cities that its leaves leave, and their quorum. */
export function cosigningRuleAt(state: RegistryState, size: bigint): CosigningRule {
  const cities = [...state.cities].flatMap(([id, facts]) =>
    facts.some((fact) => isInForce(fact, size)) ? [id] : [],
  );
  const { quorum, faults } = quorumAt(state, size);
  return { cities, quorum, faults };
}

/**
 * Every rule that a checkpoint of size `to` has to satisfy when `from` is the final size before it: the one
 * of `from`, and each one that the leaves between them made. For the first final size `from` is 0.
 */
export function cosigningRules(
  state: RegistryState,
  { from, to }: { readonly from: bigint; readonly to: bigint },
): readonly CosigningRule[] {
  const changes = new Set<bigint>();
  for (const facts of state.cities.values()) {
    for (const { standing } of facts) {
      changes.add(standing.since + 1n);
      if (standing.until !== undefined) changes.add(standing.until.index + 1n);
    }
  }
  for (const { since } of state.quorums) changes.add(since + 1n);
  const between = [...changes].filter((size) => size > from && size < to);
  const sizes = [...(from > 0n ? [from] : []), ...between, to];
  const rules = sizes.map((size) => cosigningRuleAt(state, size));
  return rules.filter((rule, i) => !rules.slice(0, i).some((earlier) => isSameRule(earlier, rule)));
}

/**
 * The witness of every city that counts at some size from `from` to `to`, with the key that speaks for it
 * at `to`: a new key does from its leaf on, and an excluded city keeps its last one for the old quorum.
 */
export function cosignersBetween(
  state: RegistryState,
  { from, to }: { readonly from: bigint; readonly to: bigint },
): readonly CityWitness[] {
  const counted = new Set(cosigningRules(state, { from, to }).flatMap(({ cities }) => cities));
  return [...state.cities].flatMap(([id, facts]) => {
    const newest = facts.findLast(({ standing }) => standing.since < to);
    return counted.has(id) && newest !== undefined ? [witnessOf(state, newest)] : [];
  });
}

function witnessOf({ networkId }: RegistryState, fact: CityFact): CityWitness {
  const known = witnesses.get(fact);
  if (known !== undefined) return known;
  const { id, city } = fact;
  const key = createVerifierKey({
    name: `causeway/${toHex(networkId)}/${id}`,
    type: cosignatureType,
    publicKey: rawKey(city.witness),
  });
  const witness = { city: id, key, address: city.witness_address, tls: city.witness_tls };
  witnesses.set(fact, witness);
  return witness;
}

/** Whether a fact counts for the tree of the first `size` leaves. */
function isInForce({ standing }: CityFact, size: bigint): boolean {
  const { since, until } = standing;
  return since < size && (until === undefined || until.index >= size);
}

function quorumAt(
  { quorums }: RegistryState,
  size: bigint,
): { readonly quorum: number; readonly faults: number } {
  const fact = quorums.findLast(({ since }) => since < size);
  if (fact === undefined) throw new RangeError(`no quorum is known at size ${size}`);
  return fact;
}

function isSameRule(a: CosigningRule, b: CosigningRule): boolean {
  return a.quorum === b.quorum && a.cities.join() === b.cities.join();
}
