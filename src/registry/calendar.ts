import type { Calendar, CalendarYear } from "../credential/statements.ts";
import type { RegistryState } from "./state.ts";

/**
 * The working-day calendar as a decision under `seenSize` sees it: the years of the founding document,
 * and those that votes have published since.
 */
export function calendarAt(state: RegistryState, seenSize: bigint): Calendar {
  const founded = seenSize > 0n ? (state.network?.body.calendar.years ?? []) : [];
  const years = new Map<number, CalendarYear>(founded.map((year) => [year.year, year]));
  for (const { since, year } of state.calendar) {
    if (since < seenSize) years.set(year.year, year);
  }
  return { years: [...years.values()].toSorted((a, b) => a.year - b.year) };
}

/** Whether a year has begun (UTC) at a Unix time in seconds. */
export function hasBegun(year: number, atS: number): boolean {
  return Date.UTC(year) <= atS * 1000;
}
