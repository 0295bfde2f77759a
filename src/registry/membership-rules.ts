/** The rules of the founding document and of the members that it lets in. */
import { equalBytes, toHex } from "../base/bytes.ts";
import { boundKeys } from "../credential/signers.ts";
import type { NetworkBody, Statement } from "../credential/statements.ts";
import { ResultKind } from "../gen/causeway/registry/v1/effects_pb.ts";
import { keyDigest } from "../record/leaf.ts";
import { bindKeys, rawDigest, rawKey } from "./keys.ts";
import type { Rule } from "./rule.ts";
import { standingFrom } from "./standing.ts";
import type { CityFact, KeyBinding, TermFact } from "./state.ts";

function bindingsOf(statement: Statement, since: bigint): readonly KeyBinding[] {
  return boundKeys(statement).map((bound) => ({ ...bound, since }));
}

function networkDigests({ cities, sequencer }: NetworkBody, since: bigint): readonly KeyBinding[] {
  return [
    ...cities.flatMap(({ id, next, witness_tls: tls }): KeyBinding[] => [
      { key: rawDigest(next), use: "next-authority", owner: id, since },
      { key: rawDigest(tls), use: "tls", owner: id, since },
    ]),
    { key: rawDigest(sequencer.tls), use: "tls", owner: sequencer.gateway, since },
  ];
}

function firstTerm({ sequencer }: NetworkBody): TermFact {
  const { gateway, address, tls, log } = sequencer;
  return { term: 0n, gateway, address, tls, logKey: rawKey(log), start: 0n, since: 0n };
}

/** The founding document: the network, its cities, their witnesses and the sequencer of term 0. */
export const foundNetwork: Rule<"network"> = ({ claims, body, address }, { state }) => {
  const since = address.index;
  const bound = bindKeys(state, [
    ...bindingsOf({ name: "network", claims, body }, since),
    ...networkDigests(body, since),
  ]);
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

// A second statement of a member would change it: these rules admit, and change nothing.

export const admitAgency: Rule<"agency"> = ({ claims, body, address }, { state }) => {
  const id = claims.sub;
  if (state.agencies.has(id)) return "NOT_SUPPORTED";
  const since = address.index;
  const bound = bindKeys(state, [
    ...bindingsOf({ name: "agency", claims, body }, since),
    { key: rawDigest(body.next), use: "next-authority", owner: id, since },
  ]);
  if (bound === undefined) return "KEY_BOUND";
  const fact = { id, body, standing: standingFrom(address, claims) };
  return {
    state: { ...bound, agencies: bound.agencies.with(id, [fact]) },
    results: [{ kind: ResultKind.AGENCY_ADMITTED, subject: id }],
  };
};

export const admitGateway: Rule<"gateway"> = ({ claims, body, address }, { state }) => {
  const id = claims.sub;
  if (state.gateways.has(id)) return "NOT_SUPPORTED";
  const [batchKey, tokenKey] = [rawKey(body.batch), rawKey(body.token)];
  // A header names its key by 8 bytes: they must tell the keys of one gateway apart.
  if (equalBytes(keyDigest(batchKey), keyDigest(tokenKey))) return "KEY_BOUND";
  const since = address.index;
  const bound = bindKeys(state, [
    ...bindingsOf({ name: "gateway", claims, body }, since),
    ...body.tls.map((digest): KeyBinding => {
      return { key: rawDigest(digest), use: "tls", owner: id, since };
    }),
  ]);
  if (bound === undefined) return "KEY_BOUND";
  const fact = { id, body, batchKey, tokenKey, standing: standingFrom(address, claims) };
  return {
    state: { ...bound, gateways: bound.gateways.with(id, [fact]) },
    results: [{ kind: ResultKind.GATEWAY_ADMITTED, subject: id }],
  };
};

export const admitAdministrator: Rule<"administrator"> = (said, { state }) => {
  const { claims, body, address } = said;
  const [known] = state.administrators.get(claims.sub) ?? [];
  if (known?.agency === claims.iss) return "NOT_SUPPORTED";
  const statement: Statement = { name: "administrator", claims, body };
  const bound = bindKeys(state, bindingsOf(statement, address.index));
  if (bound === undefined) return "KEY_BOUND";
  const fact = {
    kid: claims.sub,
    agency: claims.iss,
    roles: body.roles,
    standing: standingFrom(address, claims),
  };
  return {
    state: { ...bound, administrators: bound.administrators.with(claims.sub, [fact]) },
    results: [{ kind: ResultKind.ADMINISTRATOR_ADMITTED, subject: claims.sub }],
  };
};
