/** Percentiles of measured values. */

export interface Spread {
  readonly p50: number;
  readonly p99: number;
}

/** By nearest rank; NaN of nothing. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = Float64Array.from(values).sort();
  const at = (q: number): number =>
    sorted[Math.max(Math.ceil(q * sorted.length) - 1, 0)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}
