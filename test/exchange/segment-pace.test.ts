import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { segmentGatherMs } from "../../src/base/limits.ts";
import { SegmentPace } from "../../src/exchange/segment-pace.ts";

describe("when the segments of an answer are cut", () => {
  let nowMs: number;
  let timers: { readonly atMs: number; readonly run: () => void }[];
  let turn: (() => void)[];
  let cuts: number[];
  let pace: SegmentPace;

  beforeEach(() => {
    nowMs = 1000;
    timers = [];
    turn = [];
    cuts = [];
    pace = new SegmentPace({
      clock: { nowMs: () => nowMs, monotonicMs: () => nowMs },
      scheduler: {
        after: (delayMs, run) => {
          const timer = { atMs: nowMs + delayMs, run };
          timers.push(timer);
          return () => {
            timers = timers.filter((one) => one !== timer);
          };
        },
      },
      defer: (work) => turn.push(work),
      cut: () => cuts.push(nowMs),
    });
  });

  function endTurn(): void {
    for (const work of turn.splice(0)) work();
  }

  function passMs(ms: number): void {
    const untilMs = nowMs + ms;
    for (;;) {
      const next = timers.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > untilMs) break;
      timers = timers.filter((one) => one !== next);
      nowMs = next.atMs;
      next.run();
    }
    nowMs = untilMs;
  }

  it("one cut for all that comes in one turn", () => {
    for (let i = 0; i < 5; i++) pace.came(false);
    assert.deepEqual(cuts, []);
    endTurn();
    assert.deepEqual(cuts, [1000]);
  });

  it("a message that comes alone is cut in its turn, however soon after the last", () => {
    for (let i = 0; i < 5; i++) {
      pace.came(false);
      endTurn();
      pace.taken(1);
      passMs(1);
    }
    assert.deepEqual(cuts, [1000, 1001, 1002, 1003, 1004]);
  });

  it("behind a segment of several messages it gathers from that segment on, and cuts once", () => {
    pace.taken(2);
    for (let i = 0; i < 5; i++) {
      passMs(1);
      pace.came(false);
      endTurn();
    }
    assert.deepEqual(cuts, []);
    passMs(100);
    assert.deepEqual(cuts, [1000 + segmentGatherMs]);
  });

  it("a full segment is cut at once", () => {
    pace.taken(2);
    pace.came(false);
    pace.came(true);
    endTurn();
    assert.deepEqual(cuts, [1000]);
    pace.taken(9);
    passMs(100);
    assert.deepEqual(cuts, [1000], "the gathering has ended with what it gathered");
  });

  it("after a pause what comes is not kept waiting", () => {
    pace.taken(2);
    passMs(segmentGatherMs);
    pace.came(false);
    endTurn();
    assert.deepEqual(cuts, [1000 + segmentGatherMs]);
  });

  it("what is gathered is cut when its end is told, and nothing after the end of the attempt", () => {
    pace.taken(2);
    pace.came(false);
    pace.flush();
    assert.deepEqual(cuts, [1000]);
    pace.taken(2);
    pace.came(false);
    pace.end();
    passMs(100);
    assert.deepEqual(cuts, [1000]);
  });
});
