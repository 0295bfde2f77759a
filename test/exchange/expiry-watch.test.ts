import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { timerMsMax } from "../../src/base/limits.ts";
import { ExpiryWatch } from "../../src/exchange/expiry-watch.ts";

/** A clock and timers of their own, which the test moves. */
class Time {
  nowMs = 1_000_000_000;
  rung = 0;
  timers: { readonly atMs: number; readonly run: () => void }[] = [];
  readonly watch: ExpiryWatch;

  constructor(onRung: (time: Time) => void = () => undefined) {
    const ports = {
      clock: { nowMs: () => this.nowMs, monotonicMs: () => this.nowMs },
      scheduler: {
        after: (delayMs: number, run: () => void) => {
          assert.ok(delayMs >= 1 && delayMs <= timerMsMax);
          const timer = { atMs: this.nowMs + delayMs, run };
          this.timers.push(timer);
          return () => {
            this.timers = this.timers.filter((other) => other !== timer);
          };
        },
      },
    };
    this.watch = new ExpiryWatch(ports, () => {
      this.rung += 1;
      onRung(this);
    });
  }

  /** @param seconds from now, as Unix seconds. */
  at(seconds: number): number {
    return this.nowMs / 1000 + seconds;
  }

  pass(ms: number): void {
    this.nowMs += ms;
    const due = this.timers.filter(({ atMs }) => atMs <= this.nowMs);
    this.timers = this.timers.filter(({ atMs }) => atMs > this.nowMs);
    for (const { run } of due) run();
  }
}

describe("the watch over what ends by itself", () => {
  it("rings when the first of it ends, and then once", () => {
    const time = new Time();
    for (const seconds of [30, 10, 20]) time.watch.add(time.at(seconds));
    assert.equal(time.timers.length, 1);
    time.pass(9999);
    assert.equal(time.rung, 0);
    time.pass(1);
    assert.equal(time.rung, 1);
    time.pass(60_000);
    assert.equal(time.rung, 1);
  });

  it("watches what is added again when it has rung", () => {
    const time = new Time((rung) => {
      if (rung.rung === 1) rung.watch.add(rung.at(20));
    });
    time.watch.add(time.at(10));
    time.pass(10_000);
    time.pass(19_999);
    assert.equal(time.rung, 1);
    time.pass(1);
    assert.equal(time.rung, 2);
  });

  it("waits on where its clock was set back meanwhile", () => {
    const time = new Time();
    time.watch.add(time.at(10));
    const [timer] = time.timers;
    time.timers = [];
    time.nowMs += 6000;
    timer?.run();
    assert.equal(time.rung, 0);
    time.pass(4000);
    assert.equal(time.rung, 1);
  });

  it("keeps to what a timer can wait for, however far the end is", () => {
    const time = new Time();
    time.watch.add(time.at(timerMsMax / 500));
    time.pass(timerMsMax);
    time.pass(timerMsMax - 1);
    assert.equal(time.rung, 0);
    time.pass(1);
    assert.equal(time.rung, 1);
  });

  it("sets no timer for what has no end, or once it is closed", () => {
    const time = new Time();
    time.watch.add(undefined);
    assert.equal(time.timers.length, 0);
    time.watch.add(time.at(10));
    time.watch.close();
    time.watch.add(time.at(5));
    assert.equal(time.timers.length, 0);
  });
});
