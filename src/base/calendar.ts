/** Statutory limits count working days of a published calendar, never of a guessed one. */
import { CausewayError } from "./errors.ts";

/** Days that differ from the rule that Monday to Friday are working days, by published year. */
export interface WorkingCalendar {
  /** A year that is absent is not published. */
  readonly years: readonly {
    readonly year: number;
    /** ISO dates that are no working days although they are Monday to Friday. */
    readonly off: readonly string[];
    /** ISO dates that are working days although they are Saturday or Sunday. */
    readonly on: readonly string[];
  }[];
}

const dayMs = 24 * 3600 * 1000;

function parseDate(date: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(date) ? Date.parse(`${date}T00:00:00Z`) : Number.NaN;
  // Some impossible dates parse: the 30th of February as the 2nd of March.
  if (Number.isNaN(ms) || formatDate(ms) !== date) throw new RangeError("not an ISO date");
  return ms;
}

function formatDate(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

/** Whether an ISO date is a working day. Throws YEAR_NOT_PUBLISHED for a year that the calendar lacks. */
export function isWorkingDay(calendar: WorkingCalendar, date: string): boolean {
  const ms = parseDate(date);
  const published = calendar.years.find(({ year }) => year === Number(date.slice(0, 4)));
  if (published === undefined) {
    throw new CausewayError(
      "YEAR_NOT_PUBLISHED",
      `the calendar of ${date.slice(0, 4)} is not published`,
      {
        fields: { year: date.slice(0, 4) },
      },
    );
  }
  const weekday = new Date(ms).getUTCDay();
  const isWeekend = weekday === 0 || weekday === 6;
  return isWeekend ? published.on.includes(date) : !published.off.includes(date);
}

/**
 * The last day of a limit of `workingDays` (at least 1) that begins on the day after `date`: the ISO
 * date of that working day. Throws YEAR_NOT_PUBLISHED when the limit reaches into an unpublished year.
 */
export function addWorkingDays(
  calendar: WorkingCalendar,
  date: string,
  workingDays: number,
): string {
  if (!Number.isSafeInteger(workingDays) || workingDays < 1) {
    throw new RangeError(`not a number of working days: ${workingDays}`);
  }
  let ms = parseDate(date);
  for (let left = workingDays; left > 0; ) {
    ms += dayMs;
    if (isWorkingDay(calendar, formatDate(ms))) left--;
  }
  return formatDate(ms);
}
