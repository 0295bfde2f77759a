/**
 * Whether the own clock can be believed (DESIGN section 10): it is off when it lies more than the skew
 * behind the newest final checkpoint, or more than 60 s from the median of the connected peers' clocks.
 * The age of a checkpoint alone never is a reason.
 */
import type { Clock } from "../src/base/clock.ts";

const peerOffsetMaxMs = 60_000;

export class ClockWatch {
  readonly #clock: Clock;
  readonly #skewMs: number;
  /** Peers' clocks minus the own one, as of their Hello. */
  readonly #offsets = new Map<string, number>();
  #newestFinalMs = 0;

  constructor(clock: Clock, skewMs: number) {
    this.#clock = clock;
    this.#skewMs = skewMs;
  }

  hello(peer: string, clockMs: number): void {
    this.#offsets.set(peer, clockMs - this.#clock.nowMs());
  }

  forget(peer: string): void {
    this.#offsets.delete(peer);
  }

  final(timeMs: number): void {
    this.#newestFinalMs = Math.max(this.#newestFinalMs, timeMs);
  }

  isOff(): boolean {
    if (this.#clock.nowMs() < this.#newestFinalMs - this.#skewMs) return true;
    if (this.#offsets.size === 0) return false;
    const sorted = [...this.#offsets.values()].sort((a, b) => a - b);
    const median = sorted[Math.floor((sorted.length - 1) / 2)] as number;
    return Math.abs(median) > peerOffsetMaxMs;
  }
}
