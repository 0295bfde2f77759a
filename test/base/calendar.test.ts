import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { addWorkingDays, isWorkingDay } from "../../src/base/calendar.ts";
import type { Calendar } from "../../src/credential/statements.ts";

const calendar = JSON.parse(readFileSync("demo/data/calendar.json", "utf8")) as Calendar;

test("the published calendar has the years 2004 to 2026, ascending, each day once and in its place", () => {
  assert.deepEqual(
    calendar.years.map(({ year }) => year),
    Array.from({ length: 23 }, (_, i) => 2004 + i),
  );
  for (const { year, off, on } of calendar.years) {
    for (const days of [off, on]) {
      assert.deepEqual([...days], [...new Set(days)].sort());
      assert.ok(days.every((day) => day.startsWith(`${year}-`)));
    }
    const weekday = (day: string): number => new Date(`${day}T00:00:00Z`).getUTCDay();
    assert.ok(off.every((day) => weekday(day) % 6 !== 0));
    assert.ok(on.every((day) => weekday(day) % 6 === 0));
  }
});

const days: readonly (readonly [date: string, isWorking: boolean, why: string])[] = [
  ["2026-09-28", true, "a Monday"],
  ["2026-09-26", false, "a Saturday"],
  ["2026-09-20", true, "a Sunday that makes up for a holiday"],
  ["2026-10-01", false, "a Thursday of the National Day holiday"],
  ["2026-10-10", true, "a Saturday that makes up for it"],
];
for (const [date, isWorking, why] of days) {
  test(`${date}, ${why}, is ${isWorking ? "a" : "no"} working day`, () => {
    assert.equal(isWorkingDay(calendar, date), isWorking);
  });
}

test("five working days from 2026-09-28 end on 2026-10-10", () => {
  assert.equal(addWorkingDays(calendar, "2026-09-28", 5), "2026-10-10");
});

test("a limit that reaches into an unpublished year is an error", () => {
  assert.equal(addWorkingDays(calendar, "2026-12-30", 1), "2026-12-31");
  assert.throws(() => addWorkingDays(calendar, "2026-12-30", 2), {
    code: "YEAR_NOT_PUBLISHED",
    fields: { year: "2027" },
  });
});

for (const date of ["2026-02-30", "2026-2-03", "2026-13-01", "tomorrow", "2026-01-01T00:00:00Z"]) {
  test(`${date} is no ISO date`, () => {
    assert.throws(() => isWorkingDay(calendar, date), RangeError);
  });
}

for (const limit of [0, -1, 1.5, Number.NaN]) {
  test(`a limit of ${limit} working days is misuse`, () => {
    assert.throws(() => addWorkingDays(calendar, "2026-01-05", limit), RangeError);
  });
}

test("between a day and the end of a limit stand exactly the limit's working days", () => {
  const start = Date.UTC(2004, 0, 1);
  const property = fc.property(
    fc.nat(365 * 22),
    fc.integer({ min: 1, max: 60 }),
    (offset, limit) => {
      const iso = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
      const from = start + offset * 86_400_000;
      const end = addWorkingDays(calendar, iso(from), limit);
      let count = 0;
      for (let ms = from + 86_400_000; iso(ms) <= end; ms += 86_400_000) {
        if (isWorkingDay(calendar, iso(ms))) count++;
      }
      assert.equal(count, limit);
      assert.ok(isWorkingDay(calendar, end));
    },
  );
  fc.assert(property, { numRuns: 50 });
});
