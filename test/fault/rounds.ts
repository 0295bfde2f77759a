/** How often a test of faults does what it does, and the seed of its random moments; both by the environment. */
import { randomInt } from "node:crypto";
import type { FindingCode } from "../../src/audit/findings.ts";

const factor = Number(process.env["CAUSEWAY_FAULT_ROUNDS"] ?? 1);

/**
 * What many rounds one after the other show of honest gateways: a sequencer that is killed again before it serves
 * includes nothing for longer than the bound.
 */
export const findingsOfRounds: readonly FindingCode[] = factor > 1 ? ["LATE"] : [];

/** CAUSEWAY_FAULT_ROUNDS is how many times the usual number of rounds is wanted. */
export function rounds(usual: number): number {
  return usual * factor;
}

/** Whether more than the usual rounds are wanted. */
export const isSoak: boolean = factor > 1;

/** All of these where more than the usual rounds are wanted, else every `nth`: which of them the seed says. */
export function some<T>(cases: readonly T[], nth: number): readonly T[] {
  return factor > 1 ? cases : cases.filter((_, i) => i % nth === seed % nth);
}

/** All of these where the long tests run too, else every `nth` as with `some`. */
export function most<T>(cases: readonly T[], nth: number): readonly T[] {
  return process.env["CAUSEWAY_TEST_LONG"] === "1" ? cases : some(cases, nth);
}

export const seed: number = Number(process.env["CAUSEWAY_FAULT_SEED"] ?? randomInt(2 ** 31));

/** Numerical Recipes' linear congruential generator: enough to spread moments. */
export class Moments {
  #state: number;

  constructor(state: number) {
    this.#state = state;
  }

  /** From 0 up to, not including, `end`. */
  below(end: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return (this.#state / 2 ** 32) * end;
  }

  /** Waits for less than `maxMs`. */
  async wait(maxMs: number): Promise<void> {
    const delayMs = this.below(maxMs);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
  }

  of<T>(choices: readonly T[]): T {
    return choices[Math.floor(this.below(choices.length))] as T;
  }
}
