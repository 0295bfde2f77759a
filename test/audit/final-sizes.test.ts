import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type FinalSize, FinalSizes } from "../../src/audit/final-sizes.ts";

const histories: fc.Arbitrary<FinalSize[]> = fc
  .uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 20 })
  .map((sizes) =>
    sizes
      .sort((a, b) => a - b)
      .map((size, at) => ({
        size: BigInt(size),
        timeMs: 1_000_000 + at * 250,
        term: BigInt(at >> 2),
      })),
  );

describe("final sizes", () => {
  test("are found as a search through all of them would", () => {
    fc.assert(
      fc.property(histories, fc.bigInt({ min: 0n, max: 62n }), (history, size) => {
        const finals = new FinalSizes();
        for (const final of history) finals.add(final);
        const same = history.find((final) => final.size === size);
        assert.equal(finals.count, history.length);
        assert.deepEqual(finals.newest, history.at(-1));
        assert.equal(finals.isFinal(size), size === 0n || same !== undefined);
        assert.equal(finals.timeOf(size), same?.timeMs);
        assert.deepEqual(
          finals.firstAbove(size),
          history.find((final) => final.size > size),
        );
        assert.deepEqual(
          finals.lastBelow(size),
          history.findLast((final) => final.size < size),
        );
        const ofTerm = history.find(({ term }) => term === size);
        assert.equal(finals.termSinceMs(size), ofTerm?.timeMs);
      }),
    );
  });
});
