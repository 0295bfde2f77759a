import type { Clock, Scheduler } from "../base/clock.ts";
import { segmentGatherMs } from "../base/limits.ts";

/**
 * When what an upstream gave is cut into a segment. All that comes in one turn of the event loop belongs to
 * one; of a stream that flows, which had several messages in its last segment, more is gathered until the
 * segment is full or a while has passed: each segment costs a record on either side. A message that comes
 * alone, such as one that its sender answers, is never kept waiting.
 */
export class SegmentPace {
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #defer: (work: () => void) => void;
  readonly #cut: () => void;
  #isTurnPlanned = false;
  #cancelGathering: (() => void) | undefined;
  #flows = false;
  #takenAtMs = 0;

  constructor(options: {
    readonly clock: Clock;
    readonly scheduler: Scheduler;
    defer(work: () => void): void;
    /** What waits is to be taken, if anything does. */
    cut(): void;
  }) {
    this.#clock = options.clock;
    this.#scheduler = options.scheduler;
    this.#defer = (work) => options.defer(work);
    this.#cut = () => options.cut();
  }

  /** Something came of the upstream. */
  came(isFull: boolean): void {
    if (this.#isTurnPlanned) return;
    const waitMs = isFull || !this.#flows ? 0 : this.#leftMs();
    if (waitMs > 0) {
      this.#cancelGathering ??= this.#scheduler.after(waitMs, () => this.flush());
      return;
    }
    this.#isTurnPlanned = true;
    this.#defer(() => {
      this.#isTurnPlanned = false;
      this.flush();
    });
  }

  /** A segment of so many messages was taken. */
  taken(messages: number): void {
    this.end();
    this.#flows = messages > 1;
    this.#takenAtMs = this.#clock.monotonicMs();
  }

  /** What waits is gathered no longer. */
  flush(): void {
    this.end();
    this.#cut();
  }

  end(): void {
    this.#cancelGathering?.();
    this.#cancelGathering = undefined;
  }

  #leftMs(): number {
    return this.#takenAtMs + segmentGatherMs - this.#clock.monotonicMs();
  }
}
