import assert from "node:assert/strict";
import test from "node:test";
import { type Rules, without } from "./mutants.ts";
import { runSchedule } from "./schedule.ts";

/**
 * For each rule a schedule that went wrong without it, and was all well with it.
 */
const proofs: Readonly<Partial<Record<keyof Rules, number>>> = {
  witnessAtomic: 81,
  promiseBeforeAnswer: 26,
  witnessAsksReplica: 33,
  oldQuorum: 517,
  newQuorum: 421,
  checkpointAtStart: 25,
  resubmitAfterTerm: 705,
  epochAfterLoss: 47,
  releaseAfterCommit: 0,
  recheckAtClose: 1,
  budgetSurvivesRestart: 0,
  withholdsOmitted: 638,
  withholdsHeartbeats: 3356,
  termPromiseDurable: 8,
  witnessLeavesTerm: 0,
  votesStandOnTree: 16,
  startOfLiarsTerm: 16,
  sequencerPolls: 158,
  signAfterPersist: 166,
  followerKeepsFinal: 117,
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
