/** How often one remote address may ask: a token bucket for each, of which only the busy ones are kept. */
import { isIPv6 } from "node:net";
import type { Clock } from "../../src/base/clock.ts";
import { Lru } from "../../src/base/lru.ts";

export interface RateLimit {
  /** Requests a second in the long run. */
  readonly perSecond: number;
  /** Requests at once after a pause; at least 1. */
  readonly burst: number;
}

interface Bucket {
  readonly tokens: number;
  readonly atMs: number;
}

/** Addresses that are remembered: one that is dropped has a full bucket again. */
const addressesMax = 16 * 1024;

/** `undefined` when the address may ask now; otherwise the whole seconds after which it may again. */
export type RateLimiter = (address: string) => number | undefined;

/** A limiter by the monotonic clock. Throws RangeError for a limit that nobody could keep to. */
export function createRateLimiter(
  { perSecond, burst }: RateLimit,
  clock: Pick<Clock, "monotonicMs">,
): RateLimiter {
  if (!(perSecond > 0) || !(burst >= 1)) throw new RangeError("a limit lets some requests pass");
  const buckets = new Lru<string, Bucket>(addressesMax);
  return (address) => {
    const name = networkOf(address);
    const nowMs = clock.monotonicMs();
    const { tokens, atMs } = buckets.get(name) ?? { tokens: burst, atMs: nowMs };
    const filled = Math.min(burst, tokens + ((nowMs - atMs) * perSecond) / 1000);
    const isTaken = filled >= 1;
    buckets.set(name, { tokens: isTaken ? filled - 1 : filled, atMs: nowMs });
    return isTaken ? undefined : Math.max(1, Math.ceil((1 - filled) / perSecond));
  };
}

/** One network of IPv6 is one customer: its 2^64 addresses share a bucket. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  const [plain = ""] = address.split("%");
  return isIPv6(plain) ? firstHalf(plain) : address;
}

/** The first four groups of an IPv6 address. */
function firstHalf(address: string): string {
  const [left = "", right] = address.split("::");
  const groups = left === "" ? [] : left.split(":");
  const after = right === undefined || right === "" ? [] : right.split(":");
  const zeros = right === undefined ? 0 : Math.max(0, 8 - groups.length - after.length);
  const all = [...groups, ...Array<string>(zeros).fill("0"), ...after];
  return all
    .slice(0, 4)
    .map((group) => group.toLowerCase().replace(/^0+(?=.)/, ""))
    .join(":");
}
