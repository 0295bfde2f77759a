/** One exchange that waits for its own replica to reach what a peer has shown, and for no longer than a seal takes to be final. */
import { defaultBounds } from "../credential/statements.ts";
import type { ExchangePorts } from "./ports.ts";

/** Resolves after the next final checkpoint: with `false` when nobody waits any more. */
export type NextFinal = (neededSize: bigint) => Promise<boolean>;

export interface ReplicaWaitOptions {
  readonly ports: Pick<ExchangePorts, "replica" | "scheduler">;
  /** Whether what waits goes on. */
  isOn(): boolean;
  /** The inclusion bound is over: what was sealed is final by then, and this size of the ledger is not here. */
  late(neededSize: bigint): void;
}

export class ReplicaWait {
  readonly #o: ReplicaWaitOptions;
  #finish: (() => void) | undefined;

  constructor(options: ReplicaWaitOptions) {
    this.#o = options;
  }

  /** Makes a check that may have to wait: the bound begins with its first wait. */
  async during<T>(check: (nextFinal: NextFinal) => Promise<T>): Promise<T> {
    let needed = 0n;
    let cancelBound: (() => void) | undefined;
    try {
      return await check(async (neededSize) => {
        needed = neededSize;
        cancelBound ??= this.#bound(() => this.#late(needed));
        await this.#next();
        return this.#o.isOn();
      });
    } finally {
      cancelBound?.();
    }
  }

  /** Nobody waits any more. */
  end(): void {
    this.#finish?.();
  }

  #late(neededSize: bigint): void {
    if (this.#o.isOn()) this.#o.late(neededSize);
  }

  #next(): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#o.ports.replica.onFinal(() => this.end());
      this.#finish = () => {
        stop();
        this.#finish = undefined;
        resolve();
      };
    });
  }

  #bound(late: () => void): () => void {
    const { replica, scheduler } = this.#o.ports;
    const bounds = replica.view().network?.bounds ?? defaultBounds;
    return scheduler.after(bounds.inclusion_bound_s * 1000, late);
  }
}
