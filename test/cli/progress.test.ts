import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { progressText, startProgress } from "../../gateway/cli/progress.ts";

describe("progress", () => {
  for (const [text, done, from, total, passedMs] of [
    ["0 of 10 batches, 0.0/s", 0, 0, 10, 0],
    ["5 of 10 batches, 2.5/s, 2 s left", 5, 0, 10, 2000],
    ["7 of 10 batches, 2.5/s, 2 s left", 5, 2, 10, 2000],
    ["1000 of 500000 batches, 500/s, 16 min 38 s left", 1000, 0, 500_000, 2000],
    ["100 of 1000000 batches, 100/s, 2 h 46 min left", 100, 0, 1_000_000, 1000],
    ["100 batches, 50/s", 100, 0, undefined, 2000],
  ] as const) {
    test(`says ${text}`, () => {
      assert.equal(progressText({ done, from, total, passedMs, unit: "batches" }), text);
    });
  }

  const watch = (isErrorTerminal: boolean, progress?: boolean): string => {
    let said = "";
    let nowMs = 0;
    const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
    const warn = (text: string): void => void (said += text);
    const shown = startProgress({ warn, clock, isErrorTerminal }, "batches", { progress });
    for (let done = 0n; done <= 50n; done += 1n) {
      nowMs += 100;
      shown.at(done, 50n);
    }
    shown.end();
    return said;
  };
  test("is silent where no terminal is and nobody asked for it", () => {
    assert.equal(watch(false), "");
  });
  test("is one line a second where it was asked for", () => {
    const lines = watch(false, true).split("\n");
    assert.equal(lines.length, 7);
    assert.equal(lines[0], "9 of 50 batches, 9.0/s, 5 s left");
    assert.equal(lines.at(-2), "50 of 50 batches, 9.8/s, 0 s left");
  });
  test("writes over its line in a terminal, and ends it", () => {
    const said = watch(true);
    assert.equal(said.split("\r").length, 7);
    assert.equal(said.split("\n").length, 2);
  });
});
