/**
 * Refusals are evidence, and must not be a way to fill the ledger: the first 8 a second of one
 * (caller, reason) are single records, durable before the answer; further ones are answered at once
 * and counted in one aggregate, sealed within the next second. What is refused before anything of its call was
 * read has no call to record: it is counted from the first on.
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

interface Now {
  readonly unixMs: number;
  readonly monotonicMs: number;
}

export class RefusalLimiter {
  readonly #windows = new Map<string, Window>();

  /** Whether this refusal is to be a record of its own; otherwise it has been counted. */
  admit(caller: string, reason: ReasonCode, now: Now): boolean {
    const window = this.#windowOf(caller, reason, now);
    if (window === undefined) return true;
    if (window.single < singleRefusalsMax) {
      window.single++;
      return true;
    }
    count(window, now);
    return false;
  }

  /** Counts a refusal that has no record of its own. Beyond the bound of pairs it is not counted. */
  count(caller: string, reason: ReasonCode, now: Now): void {
    const window = this.#windowOf(caller, reason, now);
    if (window !== undefined) count(window, now);
  }

  /** The window of a pair; `undefined` when there are too many of them. */
  #windowOf(caller: string, reason: ReasonCode, now: Now): Window | undefined {
    const key = `${reason} ${caller}`;
    const known = this.#windows.get(key);
    if (known !== undefined || this.#windows.size >= pairsMax) return known;
    const startedMs = now.monotonicMs;
    const window = { caller, reason, startedMs, single: 0, count: 0, firstAtMs: 0, lastAtMs: 0 };
    this.#windows.set(key, window);
    return window;
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

function count(window: Window, now: Now): void {
  if (window.count === 0) window.firstAtMs = now.unixMs;
  window.lastAtMs = now.unixMs;
  window.count++;
}
