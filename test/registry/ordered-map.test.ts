import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { OrderedMap } from "../../src/registry/ordered-map.ts";

const key = fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom("a", "a b", "a c", "ab"));
const entries = fc.array(fc.tuple(key, fc.nat()), { maxLength: 200 });

function sorted(map: ReadonlyMap<string, number>): [string, number][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

test("an ordered map holds what a Map holds, ascending", () => {
  fc.assert(
    fc.property(entries, (given) => {
      const map = OrderedMap.from(given);
      const reference = new Map(given);
      assert.deepEqual([...map], sorted(reference));
      assert.deepEqual(
        [...map.keys()],
        sorted(reference).map(([one]) => one),
      );
      assert.deepEqual(
        [...map.values()],
        sorted(reference).map(([, value]) => value),
      );
      assert.equal(map.size, reference.size);
      for (const [one, value] of reference) assert.equal(map.get(one), value);
      assert.equal(map.get("never there"), undefined);
      assert.equal(map.has("never there"), false);
    }),
  );
});

test("entries by prefix are those that a filter finds", () => {
  fc.assert(
    fc.property(entries, key, (given, prefix) => {
      const expected = sorted(new Map(given)).filter(([one]) => one.startsWith(prefix));
      assert.deepEqual([...OrderedMap.from(given).withPrefix(prefix)], expected);
    }),
  );
});

test("an entry more leaves every earlier map as it was", () => {
  fc.assert(
    fc.property(entries, (given) => {
      const versions = [OrderedMap.empty<number>()];
      for (const [one, value] of given)
        versions.push((versions.at(-1) as OrderedMap<number>).with(one, value));
      for (const [count, version] of versions.entries()) {
        assert.deepEqual([...version], sorted(new Map(given.slice(0, count))));
      }
    }),
  );
});

test("what is taken out is gone, and every earlier map is as it was", () => {
  fc.assert(
    fc.property(entries, fc.array(key, { maxLength: 60 }), (given, gone) => {
      const whole = OrderedMap.from(given);
      const reference = new Map(given);
      let map = whole;
      for (const one of [...gone, ...given.slice(0, 50).map(([other]) => other)]) {
        map = map.without(one);
        reference.delete(one);
        assert.deepEqual([...map], sorted(reference));
        assert.equal(map.size, reference.size);
      }
      assert.deepEqual([...whole], sorted(new Map(given)));
    }),
  );
});

test("a map emptied in ascending order stays shallow", () => {
  let map = OrderedMap.from(
    Array.from({ length: 20_000 }, (_, i): [string, number] => [String(i).padStart(6, "0"), i]),
  );
  for (let i = 0; i < 19_990; i++) map = map.without(String(i).padStart(6, "0"));
  assert.deepEqual(
    [...map.values()],
    Array.from({ length: 10 }, (_, i) => 19_990 + i),
  );
});

test("a map filled in ascending order answers for 100,000 entries without depth", () => {
  let map = OrderedMap.empty<number>();
  for (let i = 0; i < 100_000; i++) map = map.with(String(i).padStart(6, "0"), i);
  assert.equal(map.size, 100_000);
  assert.equal(map.get("099999"), 99_999);
  assert.deepEqual(
    [...map.withPrefix("00000")].map(([, value]) => value),
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
});
