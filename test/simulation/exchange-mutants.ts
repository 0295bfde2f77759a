/** Rules of the exchange, each with what the product or what stands around it is like without. */
import type { MutantSource } from "./exchange-mutant-hooks.ts";
import type { ExchangeRules } from "./exchange-rules.ts";

/** A rule that is kept in the code of the two sides: some of its text is replaced as it is loaded. */
export const brokenSources: Readonly<Record<string, readonly MutantSource[]>> = {
  writesAreNotRetried: [
    {
      file: "consumer-machine.js",
      from: "event.replayable && !state.writes",
      to: "event.replayable",
    },
  ],
  handedOverIsNotRetried: [
    { file: "consumer-machine.js", from: "safe && !state.handedOver &&", to: "safe &&" },
    { file: "consumer-request.js", from: "return this.#replayable;", to: "return true;" },
  ],
  forgottenIsAnswered: [
    { file: "unknown-attempts.js", from: "if (found.unknown !== undefined)", to: "if (false)" },
  ],
  providerClosesAfterRestart: [
    { file: "provider.js", from: 'await this.#closeLeft(states, "gateway-restarted");', to: "" },
  ],
  consumerClosesAfterRestart: [
    {
      file: "known-attempts.js",
      from: 'this.#left.push({ name, outcome: "unknown-after-restart", prevRecord });',
      to: "",
    },
  ],
  scanWaitsForOpenAttempts: [
    {
      file: "known-attempts.js",
      from: "[...this.#openMet.values()].reduce(least, this.#scanned)",
      to: "this.#scanned",
    },
  ],
  unsealedIsClosed: [
    { file: "provider.js", from: "return this.#unsealed.size > 0;", to: "return false;" },
  ],
  closingFollowsWhatIsSealed: [
    { file: "known-attempts.js", from: "this.#notRecorded(attempt, changes);", to: "" },
  ],
  windowIsKept: [
    { file: "provider-machine.js", from: "state.unacknowledged < state.window", to: "true" },
  ],
  openedBeforeWriting: [
    { file: "provider-machine.js", from: "return event.writes\n", to: "return false\n" },
  ],
  creditAfterReceipt: [
    {
      file: "provider-attempt.js",
      from: "messages: isSealing ? 0 : this.#untold",
      to: "messages: this.#untold",
    },
  ],
  handedOverIsCounted: [
    {
      file: "consumer-sealing.js",
      from: "frames: this.#handedOver",
      to: "frames: attempt.received.framesEnd",
    },
  ],
  providerClosesOnce: [
    {
      file: "provider-machine.js",
      from: 'case "closing":\n        case "ended":\n            return stay(state);',
      to: `case "closing":
            return abandon(marked, { outcome: by, reason: reasonOfInterruption[by] });
        case "ended":
            return stay(state);`,
    },
  ],
  consumerClosesOnce: [
    {
      file: "consumer-machine.js",
      from: 'return stay(by === "taken" && isClosing(state) ? state : marked);',
      to: 'return sealClosed(marked, outcome, reason, "fail");',
    },
  ],
  nothingFollowsWhatIsReplaced: [
    { file: "provider-machine.js", from: "if (replaced)\n", to: "if (false)\n" },
  ],
  staleIsNotReleased: [
    {
      file: "recheck.js",
      from: "closedAtMs - final.timeMs > foundations.maxStalenessMs",
      to: "false",
    },
  ],
  closedBeforeItsReceipt: [
    {
      file: "unanswered.js",
      from: "?? nowMs) - closedBeforeMs",
      to: "?? nowMs)",
    },
  ],
  earlierAttemptsAreNotHeard: [
    { file: "consumer-sealing.js", from: "attempt.carriage.close();", to: "" },
  ],
  lookedBackAfterRestart: [
    { file: "unanswered-receipts.js", from: "unacknowledged.restored(peer,", to: "void (peer," },
  ],
  lookedBackFromTheOldest: [
    { file: "unacknowledged.js", from: "this.#places.hold(from);", to: "" },
  ],
  lookedBackFromWhatIsUnderWay: [
    {
      file: "unacknowledged.js",
      from: "this.#places.hold();",
      to: "this.#places.hold(); this.#places.letGo(from);",
    },
    { file: "unacknowledged.js", from: "over: () => this.#places.letGo(from),", to: "over() {}," },
  ],
  lookedBackFromWhatIsNotFinal: [
    { file: "unacknowledged.js", from: "this.#places.hold(named.from);", to: "" },
  ],
  answersPassTheMask: [
    {
      file: "answer-mask.js",
      from: "message: (bytes) => messages.apply(bytes),",
      to: "message: (bytes) => bytes,",
    },
  ],
  partsUnderCredit: [
    {
      file: "parts.js",
      from: "if (this.#sent - this.#credited + length > partCreditBytes)",
      to: "if (false)",
    },
  ],
  creditIsGiven: [
    { file: "link-carriage.js", from: "if (credit !== undefined)", to: "if (false)" },
  ],
  takenEndsCalls: [
    { file: "consumer.js", from: 'kindOfBatch(header) === "governance"', to: "false" },
  ],
  overEndsCalls: [{ file: "expiry-watch.js", from: "this.#over();", to: "void 0;" }],
  takenEndsWhatIsSealed: [
    {
      file: "consumer-machine.js",
      from: 'return stay(by === "taken" && isClosing(state) ? state : marked);',
      to: 'return stay(by === "taken" ? state : marked);',
    },
  ],
  singleUse: [
    { file: "used-attempts.js", from: "if (this.#forgetAtMs.has(key))", to: "if (false)" },
  ],
};

/** For each rule around the two sides a schedule that went wrong without it, and was all well with it. */
export const portProofs: Readonly<Partial<Record<keyof ExchangeRules, number>>> = {
  receiptsDurable: 0,
  acknowledgementsDurable: 0,
  rechecked: 12,
  openKept: 5,
  answersAwaited: 1,
  nonceChecked: 5,
  takingsAct: 1,
  takingsKept: 15,
  quotasKept: 6,
};

/** And for each in the code. */
export const sourceProofs: Readonly<Record<string, number>> = {
  writesAreNotRetried: 0,
  handedOverIsNotRetried: 23,
  forgottenIsAnswered: 3,
  providerClosesAfterRestart: 11,
  consumerClosesAfterRestart: 5,
  scanWaitsForOpenAttempts: 171,
  unsealedIsClosed: 171,
  closingFollowsWhatIsSealed: 7,
  windowIsKept: 1,
  creditAfterReceipt: 0,
  openedBeforeWriting: 0,
  handedOverIsCounted: 38,
  providerClosesOnce: 0,
  consumerClosesOnce: 133,
  nothingFollowsWhatIsReplaced: 12,
  staleIsNotReleased: 89,
  closedBeforeItsReceipt: 0,
  answersPassTheMask: 2,
  earlierAttemptsAreNotHeard: 7,
  lookedBackAfterRestart: 1,
  lookedBackFromTheOldest: 3,
  lookedBackFromWhatIsUnderWay: 29,
  lookedBackFromWhatIsNotFinal: 39,
  partsUnderCredit: 0,
  creditIsGiven: 0,
  takenEndsCalls: 1,
  overEndsCalls: 2,
  takenEndsWhatIsSealed: 1,
};
