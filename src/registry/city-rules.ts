/** What a city says of itself: that it asks to be a member, and its keys when it is one. */
import { toHex } from "../base/bytes.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { sha256 } from "../base/sha256.ts";
import { boundKeys } from "../credential/signers.ts";
import type { CityBody, FoundingCity } from "../credential/statements.ts";
import { ResultKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import { bindKeys, rawDigest, rawKey } from "./keys.ts";
import type { Change, Rule, Said } from "./rule.ts";
import { newestStanding, replacing, standingFrom } from "./standing.ts";
import type { CandidacyFact, CityFact, KeyBinding, RegistryState } from "./state.ts";

type BodyOf<C extends CityBody["change"]> = Extract<CityBody, { readonly change: C }>;

export const stateCity: Rule<"city"> = (said, { state }) => {
  const { body } = said;
  switch (body.change) {
    case "candidacy":
      return stand(said, body, state);
    case "rotation":
    case "recovery":
      return renewAuthority(said, body, state);
    case "witness":
      return replaceWitness(said, body, state);
  }
};

/** Every key of a city, as they are bound when it is admitted. */
export function keysOfCity(city: FoundingCity, since: bigint): readonly KeyBinding[] {
  const { id: owner, authority, next, witness, witness_tls: tls } = city;
  return [
    { key: rawKey(authority), use: "authority", owner, since },
    { key: rawKey(witness), use: "witness", owner, since },
    { key: rawDigest(next), use: "next-authority", owner, since },
    { key: rawDigest(tls), use: "tls", owner, since },
  ];
}

/** It waits for votes. Its keys are bound with its admission, so that nobody takes a key away by asking. */
function stand(
  { claims, address, payload }: Said<"city">,
  { change: _change, ...members }: BodyOf<"candidacy">,
  state: RegistryState,
): Change | ReasonCode {
  const id = claims.sub;
  if (newestStanding(state.cities.get(id)) !== undefined) return "ALREADY_TAKEN";
  const city: FoundingCity = { id, ...members };
  if (bindKeys(state, keysOfCity(city, address.index)) === undefined) return "KEY_BOUND";
  const digest = toHex(sha256(payload));
  const fact: CandidacyFact = { city, payload: digest, standing: standingFrom(address, claims) };
  return { state: { ...state, candidacies: state.candidacies.with(digest, fact) }, results: [] };
}

/**
 * The next authority key takes the place of the one in force: with both signatures, or with its own alone
 * when the other was stolen.
 */
function renewAuthority(
  said: Said<"city">,
  { change, authority, next }: BodyOf<"rotation" | "recovery">,
  state: RegistryState,
): Change | ReasonCode {
  const { claims, address } = said;
  const before = cityOfFact(claims.sub, state);
  if (typeof before === "string") return before;
  if (toHex(sha256(rawKey(authority))) !== before.city.next) return "KEY_NOT_COMMITTED";
  const fact: CityFact = {
    id: before.id,
    city: { ...before.city, authority, next },
    standing: standingFrom(address, {}),
    ...(change === "recovery" ? { recovered: true } : {}),
  };
  return changed(said, fact, { state, digests: [["next-authority", next]] });
}

function replaceWitness(
  said: Said<"city">,
  { change: _change, ...witness }: BodyOf<"witness">,
  state: RegistryState,
): Change | ReasonCode {
  const { claims, address } = said;
  const before = cityOfFact(claims.sub, state);
  if (typeof before === "string") return before;
  const fact: CityFact = {
    id: before.id,
    city: { ...before.city, ...witness },
    standing: standingFrom(address, {}),
  };
  return changed(said, fact, { state, digests: [["tls", witness.witness_tls]] });
}

/** The newest fact counts as soon as it is included: two that did not know of each other never both stand. */
function cityOfFact(id: string, { cities }: RegistryState): CityFact | ReasonCode {
  const facts = cities.get(id);
  return facts === undefined ? "MEMBER_UNKNOWN" : (newestStanding(facts) ?? "MEMBER_NOT_ACTIVE");
}

function changed(
  { claims, body, address }: Said<"city">,
  fact: CityFact,
  {
    state,
    digests,
  }: {
    readonly state: RegistryState;
    readonly digests: readonly (readonly ["next-authority" | "tls", string])[];
  },
): Change | ReasonCode {
  const since = address.index;
  const bound = bindKeys(state, [
    ...boundKeys({ name: "city", claims, body }).map((key) => ({ ...key, since })),
    ...digests.map(([use, hex]) => ({ key: rawDigest(hex), use, owner: fact.id, since })),
  ]);
  if (bound === undefined) return "KEY_BOUND";
  const facts = replacing(state.cities.get(fact.id) ?? [], fact);
  const kind = body.change === "witness" ? ResultKind.WITNESS_CHANGED : ResultKind.CITY_ROTATED;
  return {
    state: { ...bound, cities: bound.cities.with(fact.id, facts) },
    results: [{ kind, subject: fact.id }],
  };
}
