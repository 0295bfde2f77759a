/**
 * Votes of cities. A vote counts from its own record on, whatever its carrier had seen: otherwise votes
 * that are cast at the same time would never pass. The newest vote of a city about one thing is its vote.
 * The record that reaches the quorum carries the outcome out, or is void when it cannot be.
 */
import type { ReasonCode } from "../base/reasons.ts";
import { formatJcs, type JsonObject } from "../credential/jcs.ts";
import type { VoteBody } from "../credential/statements.ts";
import { ResultKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import { castBallot } from "./ballot.ts";
import { hasBegun } from "./calendar.ts";
import { keysOfCity } from "./city-rules.ts";
import { citiesInForce, isQuorumOf, quorumInForce } from "./electorate.ts";
import { bindKeys } from "./keys.ts";
import type { Change, Result, Rule, Said } from "./rule.ts";
import { isKnownRules } from "./rules-version.ts";
import { gives, type Ground, newestStanding, standingFrom, taken } from "./standing.ts";
import type { CityFact, RegistryState } from "./state.ts";

/** A vote that counts together with those of other batches. */
type Lasting = Exclude<VoteBody, { readonly on: "sequencer" | "engine" }>;
type On<N extends VoteBody["on"]> = Extract<VoteBody, { readonly on: N }>;

export const castVote: Rule<"vote"> = (said, ground) => {
  const { body } = said;
  if (body.on === "sequencer") return castBallot(said, body, ground);
  // No other engine is at hand: `isSupported` has told these apart.
  if (body.on === "engine") return "NOT_SUPPORTED";
  return voteFault(said, body, ground) ?? count(said, body, ground.state);
};

/** Why a vote cannot be carried out, now that it is cast. */
function voteFault(said: Said<"vote">, body: Lasting, ground: Ground): ReasonCode | undefined {
  const { state } = ground;
  switch (body.on) {
    case "admission":
      return admissionFault(said, body, ground);
    case "exclusion":
      return exclusionFault(said, body, state);
    case "quorum": {
      const before = quorumInForce(state);
      if (before.quorum === body.quorum && before.faults === body.faults) return "ALREADY_TAKEN";
      return isQuorumOf(citiesInForce(state).length, body) ? undefined : "QUORUM_INVALID";
    }
    case "rules":
      if (!isKnownRules(body.version)) return "NOT_SUPPORTED";
      return body.version === (state.rules.at(-1)?.version ?? 0) + 1 ? undefined : "VERSION_WRONG";
    case "calendar":
      return isPublished(state, body.year.year) && hasBegun(body.year.year, ground.atS)
        ? "ALREADY_TAKEN"
        : undefined;
  }
}

function admissionFault(
  { claims }: Said<"vote">,
  body: On<"admission">,
  ground: Ground,
): ReasonCode | undefined {
  const { state } = ground;
  if (newestStanding(state.cities.get(claims.sub)) !== undefined) return "ALREADY_TAKEN";
  const candidacy = state.candidacies.get(body.candidacy);
  const isKnown = candidacy?.city.id === claims.sub && gives(candidacy.standing, ground);
  if (!isKnown) return "MEMBER_UNKNOWN";
  return isQuorumOf(citiesInForce(state).length + 1, body) ? undefined : "QUORUM_INVALID";
}

function exclusionFault(
  { claims }: Said<"vote">,
  body: On<"exclusion">,
  state: RegistryState,
): ReasonCode | undefined {
  if (claims.iss === claims.sub) return "SIGNER_NOT_ALLOWED";
  const facts = state.cities.get(claims.sub);
  if (facts === undefined) return "MEMBER_UNKNOWN";
  if (newestStanding(facts) === undefined) return "ALREADY_TAKEN";
  const others = citiesInForce(state).length - 1;
  const canPass = others >= quorumInForce(state).quorum;
  return canPass && isQuorumOf(others, body) ? undefined : "QUORUM_INVALID";
}

function isPublished({ network, calendar }: RegistryState, year: number): boolean {
  const years = [...(network?.body.calendar.years ?? []), ...calendar.map((fact) => fact.year)];
  return years.some((published) => published.year === year);
}

/** What counts together: the subject and everything that the vote says. */
export function choiceOf(sub: string, body: VoteBody): string {
  return formatJcs({ ...body, sub } as unknown as JsonObject);
}

function count(said: Said<"vote">, body: Lasting, before: RegistryState): Change | ReasonCode {
  const { claims, address } = said;
  const { iss: city, sub } = claims;
  const choice = choiceOf(sub, body);
  const topic = `${body.on} ${sub} `;
  const votes = before.votes.with(`${topic}${city}`, { city, choice, address });
  const voters = citiesInForce(before);
  const inFavour = [...votes.withPrefix(topic)].filter(
    ([, vote]) => vote.choice === choice && voters.includes(vote.city),
  );
  const voted: Result = { kind: ResultKind.VOTED, subject: sub };
  if (inFavour.length < quorumInForce(before).quorum) {
    return { state: { ...before, votes }, results: [voted] };
  }
  let remaining = votes;
  for (const [key] of votes.withPrefix(topic)) remaining = remaining.without(key);
  const change = carryOut(said, body, { ...before, votes: remaining });
  return typeof change === "string" ? change : { ...change, results: [voted, ...change.results] };
}

function carryOut(said: Said<"vote">, body: Lasting, state: RegistryState): Change | ReasonCode {
  const since = said.address.index;
  switch (body.on) {
    case "admission":
      return admit(said, body, state);
    case "exclusion":
      return exclude(said, body, state);
    case "quorum":
      return withQuorum({ state, results: [] }, body, said);
    case "rules":
      return {
        state: { ...state, rules: [...state.rules, { since, version: body.version }] },
        results: [{ kind: ResultKind.RULES_CHANGED, subject: said.claims.sub }],
      };
    case "calendar":
      return {
        state: { ...state, calendar: [...state.calendar, { since, year: body.year }] },
        results: [{ kind: ResultKind.CALENDAR_CHANGED, subject: said.claims.sub }],
      };
  }
}

function admit(
  said: Said<"vote">,
  body: On<"admission">,
  state: RegistryState,
): Change | ReasonCode {
  const { address } = said;
  const candidacy = state.candidacies.get(body.candidacy);
  if (candidacy === undefined) return "MEMBER_UNKNOWN";
  const { city } = candidacy;
  const bound = bindKeys(state, keysOfCity(city, address.index));
  if (bound === undefined) return "KEY_BOUND";
  const fact: CityFact = { id: city.id, city, standing: standingFrom(address, {}) };
  const facts = [...(bound.cities.get(city.id) ?? []), fact];
  const admitted: Change = {
    state: {
      ...bound,
      cities: bound.cities.with(city.id, facts),
      candidacies: bound.candidacies.without(body.candidacy),
    },
    results: [{ kind: ResultKind.CITY_ADMITTED, subject: city.id }],
  };
  return withQuorum(admitted, body, said);
}

/** Its agencies and gateways are no longer active with it; what it voted counts no more. */
function exclude(said: Said<"vote">, body: On<"exclusion">, state: RegistryState): Change {
  const { claims, address } = said;
  const city = claims.sub;
  const facts = state.cities.get(city) as readonly [CityFact, ...CityFact[]];
  const newest = facts.at(-1) as CityFact;
  let { votes } = state;
  for (const [key, vote] of state.votes) if (vote.city === city) votes = votes.without(key);
  const excluded: Change = {
    state: {
      ...state,
      votes,
      cities: state.cities.with(city, [...facts.slice(0, -1), taken(newest, address)]),
    },
    results: [{ kind: ResultKind.CITY_EXCLUDED, subject: city }],
  };
  return withQuorum(excluded, body, said);
}

function withQuorum(
  { state, results }: Change,
  { quorum, faults }: { readonly quorum: number; readonly faults: number },
  { claims, address }: Said<"vote">,
): Change {
  const before = quorumInForce(state);
  if (before.quorum === quorum && before.faults === faults) return { state, results };
  const fact = { since: address.index, quorum, faults };
  return {
    state: { ...state, quorums: [...state.quorums, fact] },
    results: [...results, { kind: ResultKind.QUORUM_CHANGED, subject: claims.net ?? claims.sub }],
  };
}
