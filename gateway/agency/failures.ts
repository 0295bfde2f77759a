/** Remote addresses whose calls do not authenticate: a few may, the rest costs them their turn. */
import type { Clock } from "../../src/base/clock.ts";
import { Lru } from "../../src/base/lru.ts";
import { createRateLimiter, networkOf, type RateLimit } from "../ledger/rate-limit.ts";

export interface Failures {
  /** Counts a call of this address that did not authenticate. */
  count(address: string): void;
  /** Whether so many have failed that nothing more is verified for it now. */
  isFull(address: string): boolean;
}

/** Networks that are remembered as full: one that is dropped may try again at once. */
const networksMax = 4096;

export function createFailures(limit: RateLimit, clock: Pick<Clock, "monotonicMs">): Failures {
  const take = createRateLimiter(limit, clock);
  const fullUntilMs = new Lru<string, number>(networksMax);
  return {
    count: (address) => {
      const waitS = take(address);
      if (waitS !== undefined) {
        fullUntilMs.set(networkOf(address), clock.monotonicMs() + waitS * 1000);
      }
    },
    isFull: (address) => (fullUntilMs.get(networkOf(address)) ?? 0) > clock.monotonicMs(),
  };
}
