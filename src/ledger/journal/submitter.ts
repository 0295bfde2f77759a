import type { Scheduler } from "../../base/clock.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import { submitGatherMs } from "../../base/limits.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import type { Engine, FinalCheckpoint, Replica } from "../ports.ts";
import type { Journal } from "./journal.ts";
import type { JournalBatch } from "./store.ts";
import {
  createSubmissionState,
  stepSubmission,
  type SubmissionEffect,
  type SubmissionEvent,
} from "./submission-machine.ts";

export interface SubmitterOptions {
  readonly journal: Pick<Journal, "reader" | "onSealed" | "mark" | "halt">;
  readonly engine: Pick<Engine, "submit">;
  /** What is final, verified here. */
  readonly replica: Pick<
    Replica,
    "final" | "indexOfLeaf" | "frozenNote" | "onFinal" | "onIncluded"
  >;
  readonly scheduler: Scheduler;
  /** The newest term of the ledger, as the replica has it: a greater one is noticed by itself. */
  term(): bigint;
  /**
   * The ledger refuses a batch of the own chain for its structure, named by its number in the
   * journal. Sealing has been halted with the reason.
   */
  onRefused(refusal: { readonly number: number; readonly reason: ReasonCode }): void;
}

export interface Submitter {
  /** Batches that are durable here and not final. */
  unfinishedCount(): number;
  /** Makes no further call. What is not final is submitted at the next start. */
  stop(): void;
}

/**
 * Brings the journal's batches to the ledger, beginning with those that an earlier process left.
 * Bodies are read from the journal when they are sent, so that a ledger that is away costs no memory.
 */
export function startSubmitter(options: SubmitterOptions): Submitter {
  return new SubmissionDriver(options);
}

class SubmissionDriver implements Submitter {
  readonly #options: SubmitterOptions;
  readonly #state: ReturnType<typeof createSubmissionState>;
  readonly #stopListening: readonly (() => void)[];
  #cancelTimer: (() => void) | undefined;
  /** Batches that were sealed behind one that was submitted just now are gathered. */
  #cancelGathering: (() => void) | undefined;
  #sealedCount: number;
  #term: bigint;

  constructor(options: SubmitterOptions) {
    this.#options = options;
    const { journal, replica } = options;
    const { reader } = journal;
    this.#term = options.term();
    this.#sealedCount = reader.batchCount();
    this.#state = createSubmissionState({
      sealedCount: reader.batchCount(),
      finalCount: reader.finalCount(),
    });
    this.#stopListening = [
      journal.onSealed((batch) => this.#gather(batch.number + 1)),
      replica.onIncluded(() => this.#lookAtTerm()),
      replica.onFinal((checkpoint) => {
        this.#lookAtTerm();
        this.#findFinal(checkpoint);
      }),
    ];
    const final = replica.final();
    if (final !== undefined) this.#findFinal(final);
    this.#dispatch({ kind: "sealed", count: reader.batchCount() });
  }

  unfinishedCount(): number {
    return this.#sealedCount - this.#state.finalCount;
  }

  stop(): void {
    for (const stop of this.#stopListening) stop();
    this.#cancelTimer?.();
    this.#cancelGathering?.();
    this.#dispatch({ kind: "stop" });
  }

  /** The first batch after a pause is submitted at once, those that are sealed soon after it together. */
  #gather(sealedCount: number): void {
    this.#sealedCount = sealedCount;
    if (this.#cancelGathering !== undefined) return;
    this.#dispatch({ kind: "sealed", count: sealedCount });
    this.#cancelGathering = this.#options.scheduler.after(submitGatherMs, () => {
      this.#cancelGathering = undefined;
      if (this.#sealedCount > this.#state.sealedCount) this.#gather(this.#sealedCount);
    });
  }

  /** A new term goes on from an earlier size: what was included above it has to come again. */
  #lookAtTerm(): void {
    const term = this.#options.term();
    if (term === this.#term) return;
    this.#term = term;
    this.#dispatch({ kind: "term-changed" });
  }

  #dispatch(event: SubmissionEvent): void {
    for (const effect of stepSubmission(this.#state, event)) this.#perform(effect);
  }

  #perform(effect: SubmissionEffect): void {
    const { journal, scheduler } = this.#options;
    switch (effect.kind) {
      case "submit":
        void this.#submit(effect.number);
        return;
      case "mark":
        journal.mark(effect.mark);
        return;
      case "timer":
        this.#cancelTimer?.();
        this.#cancelTimer = scheduler.after(effect.afterMs, () =>
          this.#dispatch({ kind: "timer" }),
        );
        return;
      case "refused":
        journal.halt(effect.reason);
        this.#options.onRefused({ number: effect.number, reason: effect.reason });
    }
  }

  // An error that is not the engine's own is a defect: it ends the process as an unhandled rejection.
  async #submit(number: number): Promise<void> {
    this.#dispatch(await this.#ask(number));
  }

  async #ask(number: number): Promise<SubmissionEvent> {
    const term = this.#term;
    const { leaf, records } = this.#batch(number);
    try {
      const result = await this.#options.engine.submit({ leaf, records });
      return result.kind === "included"
        ? { kind: "included", number, index: result.index, term }
        : { kind: "rejected", number, reason: result.reason };
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
      return { kind: "unavailable", number };
    }
  }

  #batch(number: number): JournalBatch {
    const batch = this.#options.journal.reader.batch(number);
    assertInvariant(batch !== undefined, `batch ${number} is not in the journal`);
    return batch;
  }

  #findFinal(checkpoint: FinalCheckpoint): void {
    const { journal, replica } = this.#options;
    while (this.#state.phase !== "stopped") {
      const number = this.#state.finalCount;
      const leafHash = journal.reader.leafHash(number);
      const index = leafHash === undefined ? undefined : replica.indexOfLeaf(leafHash);
      if (index === undefined || index >= checkpoint.size) return;
      const size = replica.frozenNote(index)?.size ?? checkpoint.size;
      this.#dispatch({ kind: "final", number, index, term: this.#term, size });
    }
  }
}
