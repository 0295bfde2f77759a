import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { startStatusRecords } from "../../gateway/evidence-status.ts";
import type { Scheduler } from "../../src/base/clock.ts";
import type { SealedRecord } from "../../src/ledger/ports.ts";
import { openRecord } from "../../src/record/record.ts";

/** Runs what is due as time goes on. */
class Timers {
  nowMs = 0;
  readonly #due: { atMs: number; work: () => void }[] = [];
  readonly scheduler: Scheduler = {
    after: (delayMs, work) => {
      const timer = { atMs: this.nowMs + delayMs, work };
      this.#due.push(timer);
      return () => void this.#due.splice(this.#due.indexOf(timer), 1);
    },
  };

  advance(toMs: number): void {
    for (;;) {
      const next = this.#due.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > toMs) break;
      this.#due.splice(this.#due.indexOf(next), 1);
      this.nowMs = next.atMs;
      next.work();
    }
    this.nowMs = toMs;
  }
}

function start(everyS: number): { timers: Timers; sealedAtMs: number[]; stop: () => void } {
  const timers = new Timers();
  const sealedAtMs: number[] = [];
  const stop = startStatusRecords({
    sealer: {
      seal: ({ record }) => {
        const { body } = openRecord(record);
        assert.ok(body.case === "gatewayStatus");
        assert.deepEqual([body.value.openAttempts, body.value.batchesNotFinal], [3n, 4n]);
        sealedAtMs.push(timers.nowMs);
        return Promise.resolve({ record } as SealedRecord);
      },
    },
    clock: { nowMs: () => timers.nowMs },
    scheduler: timers.scheduler,
    everyS,
    gatewayVersion: "1.0.0",
    engineVersion: "cedar-wasm-4.13.0",
    runtimeVersion: "node-20.20.0",
    openAttempts: () => 3,
    batchesNotFinal: () => 4,
    onFailure: assert.fail,
  });
  return { timers, sealedAtMs, stop };
}

describe("the status records of a gateway", () => {
  it("begin a minute after the start and come every hour, until it stops", () => {
    const { timers, sealedAtMs, stop } = start(3600);
    const minuteMs = 60_000;
    timers.advance(122 * minuteMs);
    assert.deepEqual(sealedAtMs, [minuteMs, 61 * minuteMs, 121 * minuteMs]);
    stop();
    timers.advance(1000 * minuteMs);
    assert.equal(sealedAtMs.length, 3);
  });

  it("begin earlier when they come more often than every minute", () => {
    const { timers, sealedAtMs, stop } = start(5);
    timers.advance(10_000);
    assert.deepEqual(sealedAtMs, [5_000, 10_000]);
    stop();
  });
});
