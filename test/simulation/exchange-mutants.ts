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
  closingConsumerStays: [
    {
      file: "consumer-machine.js",
      from: '        case "sealing":\n        case "ended":\n            return stay(marked);',
      to: '        case "sealing":\n            return sealClosed(marked, by, reason, "fail");\n        case "ended":\n            return stay(marked);',
    },
  ],
  closingProviderStays: [
    {
      file: "provider-machine.js",
      from: 'state: { ...state, phase: "closing", sealing: undefined },\n        effects: [...before',
      to: "state: { ...state, sealing: undefined },\n        effects: [...before",
    },
  ],
  singleUse: [
    { file: "used-attempts.js", from: "if (this.#forgetAtMs.has(key))", to: "if (false)" },
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
  stalenessIsRechecked: [
    {
      file: "recheck.js",
      from: "closedAtMs - final.timeMs > foundations.maxStalenessMs",
      to: "false",
    },
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
  formerAttemptsAreNotHeard: [
    {
      file: "consumer-exchange.js",
      from: "onFrame: (body) => (isCurrent() ? this.onFrame(body) : undefined)",
      to: "onFrame: (body) => this.onFrame(body)",
    },
    {
      file: "consumer-exchange.js",
      from: "onLost: () => (isCurrent() ? this.onLost() : undefined)",
      to: "onLost: () => this.onLost()",
    },
  ],
  closingsBeforeReceiptsCount: [
    {
      file: "unacknowledged.js",
      from: "unanswered.unread = this.#recent.filter((batch) => batch.agency === agency);",
      to: "",
    },
  ],
};

/** For each rule around the two sides a schedule that went wrong without it, and was all well with it. */
export const portProofs: Readonly<Partial<Record<keyof ExchangeRules, number>>> = {
  receiptsDurable: 0,
  acknowledgementsDurable: 0,
  rechecked: 0,
  openKept: 0,
  answersAwaited: 0,
  nonceChecked: 0,
  takingsAct: 0,
  takingsRestored: 0,
};

/** And for each in the code. */
export const sourceProofs: Readonly<Record<string, number>> = {
  writesAreNotRetried: 0,
  handedOverIsNotRetried: 0,
  closingConsumerStays: 0,
  closingProviderStays: 0,
  forgottenIsAnswered: 0,
  providerClosesAfterRestart: 0,
  consumerClosesAfterRestart: 0,
  scanWaitsForOpenAttempts: 0,
  unsealedIsClosed: 0,
  closingFollowsWhatIsSealed: 0,
  windowIsKept: 0,
  stalenessIsRechecked: 0,
  openedBeforeWriting: 0,
  creditAfterReceipt: 0,
  formerAttemptsAreNotHeard: 0,
  closingsBeforeReceiptsCount: 0,
};
