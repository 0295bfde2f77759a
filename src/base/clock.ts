/** Time is a parameter: nothing below `gateway/` reads a clock of its own. */
export interface Clock {
  /** Unix milliseconds, an integer. May step. */
  nowMs(): number;
  /** Milliseconds since an arbitrary start; never goes back. */
  monotonicMs(): number;
}

/** A source of random bytes, cryptographically strong in the process and seeded in a simulation. */
export type RandomBytes = (length: number) => Uint8Array;

/** Timers, as a parameter like the clock. */
export interface Scheduler {
  /** Calls `run` once after `delayMs`; the result cancels it. */
  after(delayMs: number, run: () => void): () => void;
}
