/** The process's own clock, timers and randomness: the only adapters of these ports. */
import { randomBytes } from "node:crypto";
import type { Clock, RandomBytes, Scheduler } from "../src/base/clock.ts";

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

export const systemScheduler: Scheduler = {
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

export const systemRandom: RandomBytes = (length) => new Uint8Array(randomBytes(length));

/** Runs `work` once everything that this turn of the event loop brought has been handled. */
export function deferToEndOfTurn(work: () => void): void {
  setImmediate(work);
}
