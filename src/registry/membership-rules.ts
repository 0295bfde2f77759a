/** The rules of the founding document, and of the members that cities and agencies let in and change. */
import { equalBytes, toHex } from "../base/bytes.ts";
import type { ReasonCode } from "../base/reasons.ts";
import { sha256 } from "../base/sha256.ts";
import { boundKeys } from "../credential/signers.ts";
import type { AgencyBody, GatewayBody, NetworkBody, Statement } from "../credential/statements.ts";
import { ResultKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import { keyDigest } from "../record/leaf.ts";
import { endChain, isEndedKey, placeOf } from "./chain-stops.ts";
import { keysOfCity } from "./city-rules.ts";
import { bindKeys, rawDigest, rawKey } from "./keys.ts";
import type { Rule } from "./rule.ts";
import { newestStanding, replacing, standingFrom } from "./standing.ts";
import type {
  AdministratorFact,
  AgencyFact,
  CityFact,
  FactAddress,
  GatewayFact,
  KeyBinding,
  RegistryState,
  TermFact,
} from "./state.ts";

function bindingsOf(statement: Statement, since: bigint): readonly KeyBinding[] {
  return boundKeys(statement).map((bound) => ({ ...bound, since }));
}

function networkKeys({ cities, sequencer }: NetworkBody, since: bigint): readonly KeyBinding[] {
  const { gateway: owner, log, tls } = sequencer;
  return [
    ...cities.flatMap((city) => keysOfCity(city, since)),
    { key: rawKey(log), use: "log", owner, since },
    { key: rawDigest(tls), use: "tls", owner, since },
  ];
}

function firstTerm({ sequencer }: NetworkBody): TermFact {
  const { gateway, address, tls, log } = sequencer;
  return { term: 0n, gateway, address, tls, logKey: rawKey(log), start: 0n, since: 0n };
}

/** The founding document: the network, its cities, their witnesses and the sequencer of term 0. */
export const foundNetwork: Rule<"network"> = ({ body, address }, { state }) => {
  const since = address.index;
  const bound = bindKeys(state, networkKeys(body, since));
  if (bound === undefined) return "KEY_BOUND";
  let { cities } = bound;
  for (const founding of body.cities) {
    const fact: CityFact = { id: founding.id, city: founding, standing: standingFrom(address, {}) };
    cities = cities.with(founding.id, [fact]);
  }
  const id = state.networkId;
  return {
    state: {
      ...bound,
      cities,
      network: { id, name: body.name, bounds: body.bounds, body },
      terms: [firstTerm(body)],
      quorums: [{ since, quorum: body.quorum, faults: body.faults }],
      rules: [{ since, version: body.rules }],
    },
    results: [
      { kind: ResultKind.NETWORK_FOUNDED, subject: toHex(id) },
      ...body.cities.map((city) => ({ kind: ResultKind.CITY_ADMITTED, subject: city.id })),
      { kind: ResultKind.SEQUENCER_APPOINTED, subject: body.sequencer.gateway },
    ],
  };
};

// A later statement of a member changes it. One that was suspended is changed by nobody before it is resumed.

/** A new authority key is the one that was committed to, and commits to the next one. */
function commitmentFault(before: AgencyBody, after: AgencyBody): ReasonCode | undefined {
  const committed =
    before.authority === after.authority
      ? before.next === after.next
      : before.next === toHex(sha256(rawKey(after.authority)));
  return committed ? undefined : "KEY_NOT_COMMITTED";
}

export const stateAgency: Rule<"agency"> = ({ claims, body, address }, { state }) => {
  const id = claims.sub;
  const facts = state.agencies.get(id) ?? [];
  const before = newestStanding(facts);
  if (facts.length > 0 && before === undefined) return "MEMBER_NOT_ACTIVE";
  const fault = before === undefined ? undefined : commitmentFault(before.body, body);
  if (fault !== undefined) return fault;
  const since = address.index;
  const bound = bindKeys(state, [
    ...bindingsOf({ name: "agency", claims, body }, since),
    { key: rawDigest(body.next), use: "next-authority", owner: id, since },
  ]);
  if (bound === undefined) return "KEY_BOUND";
  const fact: AgencyFact = { id, body, standing: standingFrom(address, claims) };
  const kind = before === undefined ? ResultKind.AGENCY_ADMITTED : ResultKind.AGENCY_CHANGED;
  return {
    state: { ...bound, agencies: bound.agencies.with(id, replacing(facts, fact)) },
    results: [{ kind, subject: id }],
  };
};

export const stateGateway: Rule<"gateway"> = ({ claims, body, address }, { state }) => {
  const id = claims.sub;
  const facts = state.gateways.get(id) ?? [];
  const before = newestStanding(facts);
  if (facts.length > 0 && before === undefined) return "MEMBER_NOT_ACTIVE";
  const [batchKey, tokenKey] = [rawKey(body.batch), rawKey(body.token)];
  if (areConfused([batchKey, tokenKey], facts)) return "KEY_BOUND";
  if (isEndedKey(state.chainStops.get(id), batchKey)) return "CHAIN_ENDED";
  const since = address.index;
  const bound = bindKeys(state, [
    ...bindingsOf({ name: "gateway", claims, body }, since),
    ...body.tls.map((digest): KeyBinding => {
      return { key: rawDigest(digest), use: "tls", owner: id, since };
    }),
  ]);
  if (bound === undefined) return "KEY_BOUND";
  const ended = endEarlier({ state: bound, facts, id }, body, address);
  if (typeof ended === "string") return ended;
  const fact: GatewayFact = {
    id,
    body,
    batchKey,
    tokenKey,
    standing: standingFrom(address, claims),
  };
  const kind = before === undefined ? ResultKind.GATEWAY_ADMITTED : ResultKind.GATEWAY_CHANGED;
  return {
    state: { ...ended, gateways: ended.gateways.with(id, replacing(facts, fact)) },
    results: [{ kind, subject: id }],
  };
};

/** A header names its key by 8 bytes: they must tell all keys apart that a gateway has or had. */
function areConfused(keys: readonly Uint8Array[], facts: readonly GatewayFact[]): boolean {
  const all = [...keys, ...facts.flatMap(({ batchKey, tokenKey }) => [batchKey, tokenKey])];
  const distinct = new Set(all.map(toHex));
  const digests = new Set([...distinct].map((hex) => toHex(keyDigest(rawDigest(hex)))));
  return digests.size < distinct.size || equalBytes(keys[0] as Uint8Array, keys[1] as Uint8Array);
}

/** With `last` the chain under the earlier batch keys ends there. */
function endEarlier(
  {
    state,
    facts,
    id,
  }: {
    readonly state: RegistryState;
    readonly facts: readonly GatewayFact[];
    readonly id: string;
  },
  { batch, last }: GatewayBody,
  address: FactAddress,
): RegistryState | ReasonCode {
  if (last === undefined) return state;
  const inForce = rawKey(batch);
  const earlier = facts.map(({ batchKey }) => batchKey).filter((key) => !equalBytes(key, inForce));
  // A first statement has no earlier key whose chain could end.
  if (earlier.length === 0) return "NOT_SUPPORTED";
  return endChain(state, id, { last: placeOf(last), keys: earlier, address });
}

export const stateAdministrator: Rule<"administrator"> = (said, { state }) => {
  const { claims, body, address } = said;
  const facts = state.administrators.get(claims.sub) ?? [];
  const before = newestStanding(facts);
  const statement: Statement = { name: "administrator", claims, body };
  // Another agency's administrator, suspended or not, is bound to it.
  const bound = bindKeys(state, bindingsOf(statement, address.index));
  if (bound === undefined) return "KEY_BOUND";
  if (facts.length > 0 && before === undefined) return "MEMBER_NOT_ACTIVE";
  const fact: AdministratorFact = {
    kid: claims.sub,
    agency: claims.iss,
    roles: body.roles,
    standing: standingFrom(address, claims),
  };
  const kind =
    before === undefined ? ResultKind.ADMINISTRATOR_ADMITTED : ResultKind.ADMINISTRATOR_CHANGED;
  return {
    state: {
      ...bound,
      administrators: bound.administrators.with(claims.sub, replacing(facts, fact)),
    },
    results: [{ kind, subject: claims.sub }],
  };
};
