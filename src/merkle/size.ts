/** Tree sizes and leaf indexes as `bigint`. */
import { CausewayError } from "../base/errors.ts";
import { treeSizeMax } from "../base/limits.ts";

/**
 * A tree size or leaf index as `bigint`.
 * A number that is no safe integer, or anything negative, is a `RangeError`: it is never rounded.
 * Throws TOO_LARGE above 2^63-1.
 */
export function toTreeSize(value: bigint | number): bigint {
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw new RangeError(`not an exact integer: ${value}`);
  }
  const exact = BigInt(value);
  if (exact < 0n) throw new RangeError(`a tree size is not negative: ${exact}`);
  if (exact > treeSizeMax) {
    throw new CausewayError("TOO_LARGE", "a tree size is at most 2^63-1");
  }
  return exact;
}

const decimalPattern = /^(?:0|[1-9][0-9]{0,18})$/;

/** The size or index that canonical decimal text gives, or `undefined`: no sign, no leading zero, at most 2^63-1. */
export function parseTreeSize(text: string): bigint | undefined {
  if (!decimalPattern.test(text)) return undefined;
  const value = BigInt(text);
  return value > treeSizeMax ? undefined : value;
}
