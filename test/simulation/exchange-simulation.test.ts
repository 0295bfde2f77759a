import assert from "node:assert/strict";
import test from "node:test";
import { runMany } from "./many.ts";
import { runExchangeSchedule } from "./exchange-schedule.ts";

const toldSeed = process.env["CAUSEWAY_SIM_SEED"];

test("a seed of exchanges replays exactly", async () => {
  for (let seed = 0; seed < 6; seed++) {
    const [one, other] = [await runExchangeSchedule(seed), await runExchangeSchedule(seed)];
    assert.equal(one.logHash, other.logHash, `seed ${seed}`);
  }
});

test("different seeds are different schedules of exchanges", async () => {
  const hashes = new Set<string>();
  for (let seed = 0; seed < 6; seed++) hashes.add((await runExchangeSchedule(seed)).logHash);
  assert.equal(hashes.size, 6);
});

test("no data without a durable record on either side, one closing of each attempt, and an auditor without a finding", {
  skip: toldSeed !== undefined && "one seed is replayed",
}, async () => {
  await runMany({
    name: "schedules of exchanges",
    usual: 100,
    weight: 10,
    replay: "node scripts/test.mjs simulation/exchange-simulation",
    run: async (seed) => (await runExchangeSchedule(seed)).violation,
  });
});

test("the seed of exchanges that is asked for", {
  skip: toldSeed === undefined && "no seed is given",
}, async (t) => {
  const { violation, lines } = await runExchangeSchedule(Number(toldSeed), { isTold: true });
  for (const line of lines) t.diagnostic(line);
  assert.equal(violation, undefined);
});
