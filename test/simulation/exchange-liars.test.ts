import assert from "node:assert/strict";
import test from "node:test";
import { runMany } from "./many.ts";
import { type LyingOutcome, runLyingSchedule } from "./exchange-schedule.ts";

const toldSeed = process.env["CAUSEWAY_SIM_SEED"];

function brokenIn({ violation, kind, hasLied, convictions }: LyingOutcome): string | undefined {
  if (violation !== undefined) return `${kind}: ${violation}`;
  return hasLied && convictions.length === 0 ? `nothing says that there was ${kind}` : undefined;
}

test("a gateway that lies about its part is convicted, and nobody who is honest is", {
  skip: toldSeed !== undefined && "one seed is replayed",
}, async () => {
  const kinds = new Map<string, number>();
  const count = await runMany({
    name: "schedules with a liar",
    usual: 40,
    weight: 20,
    replay: "node scripts/test.mjs simulation/exchange-liars",
    run: async (seed) => {
      const outcome = await runLyingSchedule(seed);
      const { kind, convictions } = outcome;
      if (convictions.length > 0) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      return brokenIn(outcome);
    },
  });
  if (count >= 400) assert.equal(kinds.size, 13, [...kinds.keys()].join(", "));
});

test("the seed of lies that is asked for", {
  skip: toldSeed === undefined && "no seed is given",
}, async (t) => {
  const outcome = await runLyingSchedule(Number(toldSeed), { isTold: true });
  for (const line of outcome.lines) t.diagnostic(line);
  t.diagnostic(`${outcome.kind}: ${outcome.convictions.join(", ")}`);
  assert.equal(brokenIn(outcome), undefined);
});
