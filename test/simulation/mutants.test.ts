import assert from "node:assert/strict";
import test from "node:test";
import { type Rules, without } from "./mutants.ts";
import { runSchedule } from "./schedule.ts";

/**
 * For each rule a schedule that goes wrong without it, and is all well with it.
 */
const proofs: Readonly<Partial<Record<keyof Rules, number>>> = {
  witnessAtomic: 51,
  promiseBeforeAnswer: 28,
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
  signAfterPersist: 322,
  followerKeepsFinal: 117,
  followersCompareHeads: 16,
  followersRotate: 2,
};

for (const [rule, seed] of Object.entries(proofs)) {
  test(`without ${rule} schedule ${seed} breaks what it keeps with it`, () => {
    assert.equal(runSchedule(seed).violation, undefined);
    const { violation } = runSchedule(seed, { rules: without(rule as keyof Rules) });
    assert.notEqual(violation, undefined);
  });
}
