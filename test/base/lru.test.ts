import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Lru } from "../../src/base/lru.ts";

describe("a map of bounded size", () => {
  test("forgets the entry that was not used for longest", () => {
    const map = new Lru<string, number>(2);
    map.set("a", 1);
    map.set("b", 2);
    assert.equal(map.get("a"), 1);
    map.set("c", 3);
    assert.deepEqual([map.get("a"), map.get("b"), map.get("c")], [1, undefined, 3]);
    assert.equal(map.entryCount, 2);
  });

  test("drops nothing when an entry is set again", () => {
    const map = new Lru<string, number>(2);
    map.set("a", 1);
    map.set("b", 2);
    map.set("b", 3);
    assert.deepEqual([map.get("a"), map.get("b")], [1, 3]);
  });

  test("has room again after a deletion", () => {
    const map = new Lru<string, number>(2);
    map.set("a", 1);
    map.set("b", 2);
    map.delete("b");
    map.set("c", 3);
    assert.deepEqual([map.get("a"), map.get("b"), map.get("c")], [1, undefined, 3]);
  });

  test("gives up its oldest entry first, and nothing when it is empty", () => {
    const map = new Lru<string, number>(2);
    map.set("a", 1);
    map.set("b", 2);
    assert.deepEqual([map.takeOldest(), map.takeOldest(), map.takeOldest()], [1, 2, undefined]);
  });

  test("holds what a list in the order of use holds, whatever is done to it", () => {
    const step = fc.record({
      act: fc.constantFrom("get", "get", "set", "set", "delete", "takeOldest" as const),
      key: fc.constantFrom("a", "b", "c", "d"),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const map = new Lru<string, number>(3);
        let used: (readonly [string, number])[] = [];
        for (const [i, { act, key }] of steps.entries()) {
          const known = used.find(([name]) => name === key);
          const others = used.filter(([name]) => name !== key);
          if (act === "get") {
            assert.equal(map.get(key), known?.[1]);
            if (known !== undefined) used = [...others, known];
          } else if (act === "set") {
            map.set(key, i);
            used = [...others, [key, i] as const].slice(-3);
          } else if (act === "delete") {
            map.delete(key);
            used = others;
          } else {
            assert.equal(map.takeOldest(), used.shift()?.[1]);
          }
          assert.equal(map.entryCount, used.length);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("refuses a bound that is not a positive whole number", () => {
    for (const entriesMax of [0, -1, 1.5, Number.NaN]) {
      assert.throws(() => new Lru(entriesMax), RangeError);
    }
  });
});
