import assert from "node:assert/strict";
import test from "node:test";
import { type Rules, without } from "./mutants.ts";
import { runSchedule } from "./schedule.ts";
import { playScript } from "./script.ts";
import { scripts } from "./scripts.ts";

/** How many draws of the delays a script is played with. */
const draws = 8;

for (const [rule, script] of Object.entries(scripts)) {
  test(`without ${rule} goes wrong what is written to, and with it never`, () => {
    const rules = without(rule as keyof Rules);
    const seeds = Array.from({ length: draws }, (_, seed) => seed);
    for (const seed of seeds) assert.equal(playScript(script, seed), undefined, `seed ${seed}`);
    const broken = seeds.filter((seed) =>
      script.breaks.test(playScript(script, seed, { rules }) ?? ""),
    );
    assert.ok(broken.length > draws / 2, `broken by the draws ${broken.join(", ")} alone`);
  });
}

/** For each other rule a drawn schedule that went wrong without it, and was all well with it. */
const proofs: Readonly<Partial<Record<keyof Rules, number>>> = {
  witnessAtomic: 81,
  promiseBeforeAnswer: 7,
  witnessAsksReplica: 40,
  checkpointAtStart: 25,
  epochAfterLoss: 30,
  releaseAfterCommit: 0,
  recheckAtClose: 1,
  budgetSurvivesRestart: 8,
  termPromiseDurable: 43,
  witnessLeavesTerm: 16,
  witnessChecksStart: 1067,
  votesStandOnTree: 473,
  startOfLiarsTerm: 16,
  signAfterPersist: 275,
  followerKeepsFinal: 93,
  followersCompareHeads: 16,
  followersRotate: 2,
};

/** Another step of a machine makes other schedules of the same seeds: then the next ones are looked through. */
const searched = Number(process.env["CAUSEWAY_SIM_SEARCH"] ?? 400);

for (const [rule, first] of Object.entries(proofs)) {
  test(`without ${rule} some schedule breaks that is all well with it`, (t) => {
    const rules = without(rule as keyof Rules);
    const candidates = [first, ...Array.from({ length: searched }, (_, seed) => seed)];
    const seed = candidates.find(
      (one) =>
        runSchedule(one, { rules }).violation !== undefined &&
        runSchedule(one).violation === undefined,
    );
    assert.notEqual(seed, undefined);
    if (seed !== first) t.diagnostic(`found at ${seed}`);
  });
}
