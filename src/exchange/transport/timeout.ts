/** The `grpc-timeout` header: at most 8 digits and a unit. */
import { CausewayError } from "../../base/errors.ts";
import { timerMsMax } from "../../base/limits.ts";

const unitMs: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/**
 * Milliseconds of a `grpc-timeout`, rounded up, and at most what a timer takes (24.8 days).
 * Throws PROTOCOL_ERROR when it is malformed.
 */
export function parseTimeout(text: string): number {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  if (match === null) throw new CausewayError("PROTOCOL_ERROR", "grpc-timeout is malformed");
  return Math.min(Math.ceil(Number(match[1]) * (unitMs[match[2] as string] as number)), timerMsMax);
}

/** A `grpc-timeout` for this many milliseconds, rounded up to what 8 digits can say. */
export function formatTimeout(timeoutMs: number): string {
  if (Number.isNaN(timeoutMs)) throw new RangeError("a timeout is a number of milliseconds");
  if (timeoutMs <= 0) return "1n";
  for (const unit of ["m", "S", "M"]) {
    const value = Math.ceil(timeoutMs / (unitMs[unit] as number));
    if (value < 1e8) return `${value}${unit}`;
  }
  return `${Math.min(Math.ceil(timeoutMs / 3_600_000), 99_999_999)}H`;
}
