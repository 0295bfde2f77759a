/** The calls that a connector has open: one that is to be closed lets them end first. */
import type { Scheduler } from "../../src/base/clock.ts";
import { upstreamCloseMs } from "../../src/base/limits.ts";

export class OpenCalls {
  readonly #scheduler: Scheduler;
  #count = 0;
  #onNone: (() => void) | undefined;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  async run<T>(call: () => Promise<T>): Promise<T> {
    this.#count += 1;
    try {
      return await call();
    } finally {
      this.#count -= 1;
      if (this.#count === 0) this.#onNone?.();
    }
  }

  /** Resolves once no call is open, or after `upstreamCloseMs`. */
  ended(): Promise<void> {
    if (this.#count === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#scheduler.after(upstreamCloseMs, resolve);
      this.#onNone = () => {
        cancel();
        resolve();
      };
    });
  }
}
