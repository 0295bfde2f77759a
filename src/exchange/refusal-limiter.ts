/**
 * Refusals are evidence, and must not be a way to fill the ledger: the first 8 a second of one
 * (caller, reason) are single records, durable before the answer; further ones are answered at once
 * and counted in one aggregate, sealed within the next second.
 */
import type { ReasonCode } from "../base/reasons.ts";

/** Single records a second of one (caller, reason). */
export const singleRefusalsMax: number = 8;
const windowMs = 1000;
/** (caller, reason) pairs that are counted at once; beyond it every refusal is single. */
const pairsMax = 10_000;

export interface RefusalCount {
  readonly caller: string;
  readonly reason: ReasonCode;
  readonly count: number;
  /** Unix milliseconds of the first and the last. */
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}

interface Window {
  readonly caller: string;
  readonly reason: ReasonCode;
  readonly startedMs: number;
  single: number;
  count: number;
  firstAtMs: number;
  lastAtMs: number;
}

export class RefusalLimiter {
  readonly #windows = new Map<string, Window>();

  /** Whether this refusal is to be a record of its own; otherwise it has been counted. */
  admit(caller: string, reason: ReasonCode, now: { unixMs: number; monotonicMs: number }): boolean {
    const key = `${reason} ${caller}`;
    let window = this.#windows.get(key);
    if (window === undefined) {
      if (this.#windows.size >= pairsMax) return true;
      window = {
        caller,
        reason,
        startedMs: now.monotonicMs,
        single: 0,
        count: 0,
        firstAtMs: 0,
        lastAtMs: 0,
      };
      this.#windows.set(key, window);
    }
    if (window.single < singleRefusalsMax) {
      window.single++;
      return true;
    }
    if (window.count === 0) window.firstAtMs = now.unixMs;
    window.lastAtMs = now.unixMs;
    window.count++;
    return false;
  }

  /** Closes the windows that are over and returns what they counted; to be called at least twice a second. */
  drain(monotonicMs: number): RefusalCount[] {
    const counted: RefusalCount[] = [];
    for (const [key, window] of this.#windows) {
      if (monotonicMs - window.startedMs < windowMs) continue;
      this.#windows.delete(key);
      if (window.count > 0) counted.push(window);
    }
    return counted;
  }

  /** What is counted and not drained yet, at shutdown. */
  drainAll(): RefusalCount[] {
    return this.drain(Number.POSITIVE_INFINITY);
  }
}
