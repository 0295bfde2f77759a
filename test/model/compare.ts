/** The questions that the fold and the model are both asked. */
import assert from "node:assert/strict";
import { cosignersBetween, cosigningRuleAt } from "../../src/registry/cosigning.ts";
import type { RegistryState, Standing } from "../../src/registry/state.ts";
import { toHex } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { citiesAt, type FactKind, factsOf, type History, newest, quorumAt } from "./facts.ts";
import { digestOf } from "./rules.ts";

interface Kept {
  readonly standing: Standing;
}

const tables: Readonly<
  Record<Exclude<FactKind, "city" | "request" | "grant">, keyof RegistryState>
> = {
  agency: "agencies",
  gateway: "gateways",
  administrator: "administrators",
  service: "services",
  policy: "policies",
};

/** Asserts that both say the same of every member, key, quorum, term and grant. */
export function assertSameRegistry(history: History, state: RegistryState, told: string): void {
  const size = history.leaves.length;
  assert.equal(Number(state.size), size, told);
  for (const [kind, table] of Object.entries(tables)) {
    const facts = state[table] as unknown as Iterable<readonly [string, readonly Kept[]]>;
    const kept = new Map(facts);
    const ids = history.facts.flatMap((fact) => (fact.kind === kind ? [fact.id] : []));
    assert.deepEqual([...kept.keys()].sort(), [...new Set(ids)].sort(), `${told}: each ${kind}`);
    for (const [id, all] of kept) {
      const expected = factsOf(history, kind as FactKind, id).map(({ since, until, suspendedBy }) =>
        standingText(since, until?.index, until?.position, suspendedBy),
      );
      const found = all.map(({ standing }) => textOf(standing));
      assert.deepEqual(found, expected, `${told}: the facts of ${kind} ${id}`);
    }
  }
  compareAccess(history, state, told);
  compareCosigning(history, state, told);
}

function standingText(
  since: number,
  index: number | undefined,
  position: number | undefined,
  by: string | undefined,
): string {
  return `${since} to ${index === undefined ? "now" : `${index}/${position}`} ${by ?? ""}`;
}

function textOf({ since, until, suspendedBy }: Standing): string {
  const index = until === undefined ? undefined : Number(until.index);
  return standingText(Number(since), index, until?.position, suspendedBy);
}

function compareAccess(history: History, state: RegistryState, told: string): void {
  const expected = history.facts.flatMap(({ kind, id, since, until }) =>
    kind === "grant"
      ? [`${id} ${standingText(since, until?.index, until?.position, undefined)}`]
      : [],
  );
  const found = [...state.grants.values()].map(({ jti, standing }) => `${jti} ${textOf(standing)}`);
  assert.deepEqual(found.sort(), expected.sort(), `${told}: the grants`);
  assert.deepEqual(
    [...state.pendingGrants.keys()].sort(),
    history.pending.map(({ id }) => id).sort(),
    `${told}: the grants that wait`,
  );
  assert.deepEqual(
    [...state.requests.keys()].sort(),
    history.facts.flatMap(({ kind, id }) => (kind === "request" ? [id] : [])).sort(),
    `${told}: the requests`,
  );
  assert.deepEqual(
    [...state.usedJti.keys()].sort(),
    [...history.usedJti].sort(),
    `${told}: each jti`,
  );
}

function compareCosigning(history: History, state: RegistryState, told: string): void {
  const size = history.leaves.length;
  for (const at of [...new Set([size, size - 1, size - 3, 1])].filter((one) => one > 0)) {
    const { cities, quorum, faults } = cosigningRuleAt(state, BigInt(at));
    const expected = quorumAt(history, at);
    assert.deepEqual([...cities], citiesAt(history, at), `${told}: the cities at size ${at}`);
    assert.deepEqual([quorum, faults], [expected?.quorum, expected?.faults], `${told}: the quorum`);
  }
  const witnesses = cosignersBetween(state, { from: BigInt(size), to: BigInt(size) });
  assert.deepEqual(
    witnesses.map(({ city, key }) => `${city} ${toHex(sha256(key.publicKey))}`),
    citiesAt(history, size).map((id) => {
      return `${id} ${digestOf(newest(history, "city", id)?.body["witness"] as string)}`;
    }),
    `${told}: the witnesses`,
  );
  assert.deepEqual(
    state.terms.map(({ term, gateway, since }) => `${term} ${gateway} ${since}`),
    history.terms.map(({ term, gateway, since }) => `${term} ${gateway} ${since}`),
    `${told}: the terms`,
  );
  assert.deepEqual(
    state.rules.map(({ since, version }) => [Number(since), version]),
    history.rules.map(({ since, version }) => [since, version]),
    `${told}: the rules`,
  );
}
