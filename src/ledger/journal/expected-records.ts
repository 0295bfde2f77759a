import type { Clock } from "../../base/clock.ts";
import { sealExpectMs } from "../../base/limits.ts";

/**
 * Records that will be queued soon: answers that upstreams are about to give. A batch waits a moment
 * for them, because what it costs to seal, send, check and follow is the batch more than its records.
 */
export class ExpectedRecords {
  readonly #clock: Pick<Clock, "monotonicMs">;
  /** When each began to be expected, the oldest first. */
  readonly #since = new Map<symbol, number>();
  #onNone: () => void = () => undefined;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
  }

  /** Returns how to say that the record is queued, or that none will come. */
  expect(): () => void {
    const name = Symbol("expected");
    this.#since.set(name, this.#clock.monotonicMs());
    return () => {
      if (this.#since.delete(name) && this.#since.size === 0) this.#onNone();
    };
  }

  /** How many are worth waiting for: what takes longer than a moment comes at any time. */
  count(): number {
    const lapsed = this.#clock.monotonicMs() - sealExpectMs;
    for (const [name, since] of this.#since) {
      if (since > lapsed) break;
      this.#since.delete(name);
    }
    return this.#since.size;
  }

  /** Called in the turn in which nothing is expected any more. */
  whenNone(listener: () => void): void {
    this.#onNone = listener;
  }
}
