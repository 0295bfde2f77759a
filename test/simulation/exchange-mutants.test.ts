import assert from "node:assert/strict";
import { register } from "node:module";
import test from "node:test";
import { brokenSources, portProofs, sourceProofs } from "./exchange-mutants.ts";
import { allExchangeRules, type ExchangeRules } from "./exchange-rules.ts";
import { runExchangeSchedule, runLyingSchedule } from "./exchange-schedule.ts";

register(new URL("./exchange-mutant-hooks.js", import.meta.url), { data: brokenSources });

/** Another step of a machine makes other schedules of the same seeds: then the next ones are looked through. */
const searched = Number(process.env["CAUSEWAY_SIM_SEARCH"] ?? 150);

async function firstBroken(
  first: number,
  run: typeof runExchangeSchedule,
  rules: ExchangeRules = allExchangeRules,
): Promise<{ readonly seed: number; readonly violation: string } | undefined> {
  for (const seed of [first, ...Array.from({ length: searched }, (_, other) => other)]) {
    const { violation } = await run(seed, { rules });
    if (violation === undefined) continue;
    if ((await runExchangeSchedule(seed)).violation === undefined) return { seed, violation };
  }
  return undefined;
}

for (const [rule, first] of Object.entries(portProofs)) {
  test(`around the exchange, without ${rule} some schedule breaks that is all well with it`, async (t) => {
    const rules = { ...allExchangeRules, [rule]: false };
    const broken = await firstBroken(first, runExchangeSchedule, rules);
    assert.notEqual(broken, undefined);
    t.diagnostic(`${broken?.seed}: ${broken?.violation}`);
  });
}

for (const [rule, first] of Object.entries(sourceProofs)) {
  test(`in the code of the exchange, without ${rule} some schedule breaks that is all well with it`, async (t) => {
    const url = new URL(`./exchange-schedule.js?mutant=${rule}`, import.meta.url).href;
    const mutant = (await import(url)) as { runExchangeSchedule: typeof runExchangeSchedule };
    const broken = await firstBroken(first, mutant.runExchangeSchedule);
    assert.notEqual(broken, undefined);
    t.diagnostic(`${broken?.seed}: ${broken?.violation}`);
  });
}

test("in the code of the exchange, without singleUse an honest provider is convicted for a consumer that says a call twice", async (t) => {
  const url = new URL("./exchange-schedule.js?mutant=singleUse", import.meta.url).href;
  const mutant = (await import(url)) as { runLyingSchedule: typeof runLyingSchedule };
  for (let seed = 0; seed < searched; seed++) {
    const { violation, kind } = await mutant.runLyingSchedule(seed);
    if (kind !== "one call twice" || violation === undefined) continue;
    assert.equal((await runLyingSchedule(seed)).violation, undefined);
    t.diagnostic(`${seed}: ${violation}`);
    return;
  }
  assert.fail("no schedule breaks");
});
