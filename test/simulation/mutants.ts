/** The rules of the protocol that a schedule can be run without. */
export interface Rules {
  /** A witness compares and replaces its promise in one step. */
  readonly witnessAtomic: boolean;
  /** A promise is durable before its cosignature is answered. */
  readonly promiseBeforeAnswer: boolean;
  /** A witness cosigns only what its own replica holds. */
  readonly witnessAsksReplica: boolean;
  readonly oldQuorum: boolean;
  readonly newQuorum: boolean;
  /** Every file is copied to the disk again when it is opened. */
  readonly checkpointAtStart: boolean;
  /** What a change of term took away is submitted again. */
  readonly resubmitAfterTerm: boolean;
  /** A journal that was lost goes on in a new epoch. */
  readonly epochAfterLoss: boolean;
  /** A header leaves after its COMMIT. */
  readonly releaseAfterCommit: boolean;
  /** Grants are looked at again when a batch is closed. */
  readonly recheckAtClose: boolean;
  /** The age of the newest final checkpoint counts from its time, not from the start of the process. */
  readonly budgetSurvivesRestart: boolean;
  /** A witness does not cosign a size that leaves out what it holds. */
  readonly withholdsOmitted: boolean;
  /** Nor does it cosign such a size again. */
  readonly withholdsHeartbeats: boolean;
  readonly termPromiseDurable: boolean;
  /** After a promise nothing of a lower term is cosigned. */
  readonly witnessLeavesTerm: boolean;
  /** A witness looks at the start of a term before it cosigns in it. */
  readonly witnessChecksStart: boolean;
  /** It looks at those of the terms before, too, of which nothing is final. */
  readonly earlierStartsChecked: boolean;
  /** A vote names nothing of a term that a later one leaves out. */
  readonly votesPassOver: boolean;
  readonly votesStandOnTree: boolean;
  /** When a sequencer lied, the start is what q-1 other cities have in common. */
  readonly startOfLiarsTerm: boolean;
  readonly sequencerPolls: boolean;
  /** It serves only after it was quiet for a while. */
  readonly sequencerIsQuiet: boolean;
  readonly signAfterPersist: boolean;
  readonly followerKeepsFinal: boolean;
  readonly followersCompareHeads: boolean;
  readonly followersRotate: boolean;
  /** Who opened a term is asked for the next one first. */
  readonly followersAskOpener: boolean;
}

export const allRules: Rules = {
  witnessAtomic: true,
  promiseBeforeAnswer: true,
  witnessAsksReplica: true,
  oldQuorum: true,
  newQuorum: true,
  checkpointAtStart: true,
  resubmitAfterTerm: true,
  epochAfterLoss: true,
  releaseAfterCommit: true,
  recheckAtClose: true,
  budgetSurvivesRestart: true,
  withholdsOmitted: true,
  withholdsHeartbeats: true,
  termPromiseDurable: true,
  witnessLeavesTerm: true,
  witnessChecksStart: true,
  earlierStartsChecked: true,
  votesPassOver: true,
  votesStandOnTree: true,
  startOfLiarsTerm: true,
  sequencerPolls: true,
  sequencerIsQuiet: true,
  signAfterPersist: true,
  followerKeepsFinal: true,
  followersCompareHeads: true,
  followersRotate: true,
  followersAskOpener: true,
};

export function without(rule: keyof Rules): Rules {
  return { ...allRules, [rule]: false };
}
