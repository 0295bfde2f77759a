import assert from "node:assert/strict";
import { test } from "node:test";
import { concatBytes, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import fc from "fast-check";
import { initialState } from "../../src/registry/initial.ts";
import { decodeSnapshot, encodeSnapshot } from "../../src/registry/snapshot.ts";
import { OrderedMap } from "../../src/registry/ordered-map.ts";
import { history, play } from "./histories.ts";
import { createFlow } from "./support.ts";

const { ledger, network, grant } = await createFlow();
const bytes = encodeSnapshot(ledger.state);

test("a snapshot gives back every fact with its types", () => {
  const state = decodeSnapshot(bytes);
  assert.ok(state !== undefined);
  assert.equal(state.size, 5n);
  assert.deepEqual(state.digest, ledger.state.digest);
  assert.deepEqual(state.network, ledger.state.network);
  assert.deepEqual(state.grants.get(grant.claims.jti), ledger.state.grants.get(grant.claims.jti));
  assert.deepEqual([...state.chains], [...ledger.state.chains]);
  assert.deepEqual([...state.keys], [...ledger.state.keys]);
  assert.deepEqual([...state.usedJti], [...ledger.state.usedJti]);
  assert.deepEqual(encodeSnapshot(state), bytes);
});

/** The registry with its maps as lists of entries, so that every member is compared. */
function spelt(value: unknown): unknown {
  if (value instanceof OrderedMap) return [...value].map(([key, inner]) => [key, spelt(inner)]);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map(spelt);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, spelt(inner)]));
}

test("a snapshot of any history gives back every member of the registry", async () => {
  const met = new Set<string>();
  await fc.assert(
    fc.asyncProperty(history, async (steps) => {
      for (const state of (await play(network, steps)).states.slice(-3)) {
        assert.deepEqual(spelt(decodeSnapshot(encodeSnapshot(state))), spelt(state));
        for (const [name, value] of Object.entries(state)) {
          const isEmpty = value instanceof OrderedMap ? value.size === 0 : value.length === 0;
          if (!isEmpty) met.add(name);
        }
      }
    }),
    { numRuns: 40 },
  );
  for (const name of ["votes", "candidacies", "terms", "chainStops"])
    assert.ok(met.has(name), name);
});

test("the empty registry has a snapshot", () => {
  const empty = initialState(network.id);
  const restored = decodeSnapshot(encodeSnapshot(empty));
  assert.equal(restored?.size, 0n);
  assert.equal(restored.network, undefined);
  assert.deepEqual(restored.networkId, network.id);
});

test("equal registries have equal snapshots, whatever the order in which they grew", () => {
  const { keys } = ledger.state;
  const backwards = [...keys].toReversed();
  let other = initialState(network.id).keys;
  for (const [id, binding] of backwards) other = other.with(id, binding);
  assert.deepEqual(encodeSnapshot({ ...ledger.state, keys: other }), bytes);
});

for (const at of [0, 31, 32, 1000, bytes.length - 1]) {
  test(`a snapshot with byte ${at} changed is refused STORAGE_FAILED`, () => {
    const damaged = bytes.map((byte, i) => (i === at ? byte ^ 1 : byte));
    assert.throws(() => decodeSnapshot(damaged), { code: "STORAGE_FAILED" });
  });
}

test("a snapshot that was cut is refused STORAGE_FAILED", () => {
  assert.throws(() => decodeSnapshot(bytes.subarray(0, -1)), { code: "STORAGE_FAILED" });
  assert.throws(() => decodeSnapshot(new Uint8Array()), { code: "STORAGE_FAILED" });
});

test("a snapshot of another release is folded again", () => {
  const json = utf8('{"format":"causeway/registry-snapshot/0","state":{}}');
  assert.equal(decodeSnapshot(concatBytes(sha256(json), json)), undefined);
});
