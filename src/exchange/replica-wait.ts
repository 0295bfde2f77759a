/** One exchange that waits for its own replica to reach what a peer has shown, and for no longer than a seal takes to be final. */
import { defaultBounds } from "../credential/statements.ts";
import type { ExchangePorts } from "./ports.ts";

export class ReplicaWait {
  readonly #ports: Pick<ExchangePorts, "replica" | "scheduler">;
  #finish: (() => void) | undefined;

  constructor(ports: Pick<ExchangePorts, "replica" | "scheduler">) {
    this.#ports = ports;
  }

  /** Resolves after the next final checkpoint, or when nobody waits any more. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#ports.replica.onFinal(() => this.end());
      this.#finish = () => {
        stop();
        this.#finish = undefined;
        resolve();
      };
    });
  }

  /** What is sealed is final within the inclusion bound: `late` is called after it, unless the result is called before. */
  bound(late: () => void): () => void {
    const { replica, scheduler } = this.#ports;
    const bounds = replica.view().network?.bounds ?? defaultBounds;
    return scheduler.after(bounds.inclusion_bound_s * 1000, late);
  }

  end(): void {
    this.#finish?.();
  }
}
