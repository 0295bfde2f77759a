import assert from "node:assert/strict";
import test from "node:test";
import { runMany } from "./many.ts";
import { runLyingSchedule } from "./exchange-schedule.ts";

const toldSeed = process.env["CAUSEWAY_SIM_SEED"];

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
      const { violation, kind, hasLied, convictions } = await runLyingSchedule(seed);
      if (convictions.length > 0) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      if (violation !== undefined) return `${kind}: ${violation}`;
      return hasLied && convictions.length === 0
        ? `nothing says that there was ${kind}`
        : undefined;
    },
  });
  if (count >= 400) assert.equal(kinds.size, 13, [...kinds.keys()].join(", "));
});

test("the seed of lies that is asked for", {
  skip: toldSeed === undefined && "no seed is given",
}, async (t) => {
  const { violation, lines, kind, convictions } = await runLyingSchedule(Number(toldSeed), {
    isTold: true,
  });
  for (const line of lines) t.diagnostic(line);
  t.diagnostic(`${kind}: ${convictions.join(", ")}`);
  assert.equal(violation, undefined);
});
