import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { RunningCommitments } from "../../src/audit/running-commitments.ts";
import { sha256 } from "../../src/base/sha256.ts";

const place = { index: 0n, position: 0, gateway: "hangzhou/civil-affairs/gw1" };
const other = { index: 1n, position: 0, gateway: "shenzhen/market-regulation/gw1" };

const receipt = { leafHash: sha256(new Uint8Array()), position: 0, recordHash: new Uint8Array(32) };

function commitment(frames: number, lie = false): Uint8Array {
  return sha256(Uint8Array.of(frames & 0xff, (frames >> 8) & 0xff, frames >> 16, lie ? 1 : 0));
}

/** What one side says, at ascending numbers of frames; `lies` are those it says otherwise. */
const side = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 30 }).map((steps) => {
  let frames = 0;
  return steps.map((step) => (frames += step));
});

describe("running commitments of two sides", () => {
  test("are contradicted at exactly the numbers that both say and one lies at, in any order of the ledger", () => {
    fc.assert(
      fc.property(
        side,
        side,
        fc.array(fc.boolean(), { maxLength: 60 }),
        fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 4 }),
        (provider, consumer, turns, lies) => {
          const both = new RunningCommitments();
          const [left, right] = [[...provider], [...consumer]];
          const found: number[] = [];
          for (let turn = 0; left.length + right.length > 0; turn++) {
            const isLeft = right.length === 0 || (left.length > 0 && turns[turn] !== false);
            const frames = (isLeft ? left : right).shift() as number;
            const lie = !isLeft && lies.includes(frames);
            const at = isLeft ? place : other;
            const said = {
              frames: BigInt(frames),
              commitment: commitment(frames, lie),
              place: at,
              receipt,
            };
            const met = isLeft ? both.provider(said) : both.consumer(said);
            if (met === undefined) continue;
            assert.deepEqual([met.place, met.within], [other, undefined]);
            found.push(frames);
          }
          const expected = provider.filter((n) => consumer.includes(n) && lies.includes(n));
          assert.deepEqual(
            found.toSorted((a, b) => a - b),
            expected,
          );
        },
      ),
    );
  });

  test("of one side alone are contradicted where it says two things of one number", () => {
    const both = new RunningCommitments();
    const said = { frames: 2n, commitment: commitment(2), place, receipt };
    assert.equal(both.provider(said), undefined);
    assert.equal(both.provider(said), undefined);
    const met = both.provider({ ...said, commitment: commitment(2, true) });
    assert.deepEqual([met?.place, met?.within], [place, "provider"]);
  });

  test("take a time that grows with their number, also when one chain comes wholly before the other", () => {
    const timeOf = (count: number): number => {
      const both = new RunningCommitments();
      const same = commitment(1);
      const startedMs = performance.now();
      for (let i = 1; i <= count; i++)
        both.provider({ frames: BigInt(i), commitment: same, place, receipt });
      for (let i = 1; i <= count; i++)
        both.consumer({ frames: BigInt(i), commitment: same, place: other, receipt });
      return performance.now() - startedMs;
    };
    timeOf(20_000);
    const [few, many] = [timeOf(20_000), timeOf(320_000)];
    // Sixteen times as many: a square would be 256 times as long.
    assert.ok(many < Math.max(few, 5) * 100, `${few} ms, ${many} ms`);
  });
});
