/** The process's own clock, timers and randomness: the only adapters of these ports. */
import { randomFillSync } from "node:crypto";
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

// Asking the generator for a few bytes costs as much as asking it for some kilobytes.
const drawn = new Uint8Array(4096);
let drawnFrom = drawn.length;

/** Each byte is given once, and nothing that was given stays behind. */
export const systemRandom: RandomBytes = (length) => {
  if (!Number.isSafeInteger(length) || length < 0) throw new RangeError("no number of bytes");
  if (length > drawn.length) return randomFillSync(new Uint8Array(length));
  if (length > drawn.length - drawnFrom) {
    randomFillSync(drawn);
    drawnFrom = 0;
  }
  const to = drawnFrom + length;
  const bytes = drawn.slice(drawnFrom, to);
  drawn.fill(0, drawnFrom, to);
  drawnFrom = to;
  return bytes;
};

/** Runs `work` once everything that this turn of the event loop brought has been handled. */
export function deferToEndOfTurn(work: () => void): void {
  setImmediate(work);
}
