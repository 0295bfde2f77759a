/** One timer for all that is open on a side: it rings when the time of something that an attempt rests on is over. */
import type { Clock, Scheduler } from "../base/clock.ts";
import { timerMsMax } from "../base/limits.ts";

export class ExpiryWatch {
  readonly #ports: { readonly clock: Clock; readonly scheduler: Scheduler };
  readonly #over: () => void;
  #next: { readonly atMs: number; cancel(): void } | undefined;
  #isClosed = false;

  /** @param over looks at everything that is open, and adds again what goes on. */
  constructor(ports: { readonly clock: Clock; readonly scheduler: Scheduler }, over: () => void) {
    this.#ports = ports;
    this.#over = over;
  }

  /** Something ends at this Unix time in seconds. */
  add(endsAtS: number | undefined): void {
    if (endsAtS === undefined || this.#isClosed) return;
    const atMs = endsAtS * 1000;
    if (this.#next !== undefined && this.#next.atMs <= atMs) return;
    this.#next?.cancel();
    this.#arm(atMs);
  }

  /** Rings no more. */
  close(): void {
    this.#isClosed = true;
    this.#next?.cancel();
    this.#next = undefined;
  }

  /** A timer runs on another clock than the one that is asked, and for some weeks at most: it may ring early. */
  #arm(atMs: number): void {
    const { clock, scheduler } = this.#ports;
    const delayMs = Math.min(Math.max(1, Math.ceil(atMs - clock.nowMs())), timerMsMax);
    const cancel = scheduler.after(delayMs, () => {
      this.#next = undefined;
      if (clock.nowMs() < atMs) this.#arm(atMs);
      else this.#over();
    });
    this.#next = { atMs, cancel };
  }
}
