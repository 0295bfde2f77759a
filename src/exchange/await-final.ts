/** Waiting until a record of this gateway is final. */
import type { Scheduler } from "../base/clock.ts";
import type { Replica } from "../ledger/ports.ts";

/** Resolves with `true` once the leaf is final, with `false` when it takes too long or the signal says so. */
export function awaitFinal(options: {
  readonly leafHash: Uint8Array;
  readonly replica: Replica;
  readonly scheduler: Scheduler;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}): Promise<boolean> {
  const { leafHash, replica, scheduler, signal, timeoutMs } = options;
  const isFinal = (): boolean => {
    const index = replica.indexOfLeaf(leafHash);
    return index !== undefined && index < (replica.final()?.size ?? 0n);
  };
  if (isFinal() || signal.aborted) return Promise.resolve(isFinal());
  return new Promise((resolve) => {
    const finish = (result: boolean): void => {
      stop();
      cancelTimer();
      signal.removeEventListener("abort", aborted);
      resolve(result);
    };
    const aborted = (): void => finish(false);
    const stop = replica.onFinal(() => {
      if (isFinal()) finish(true);
    });
    const cancelTimer = scheduler.after(timeoutMs, () => finish(false));
    signal.addEventListener("abort", aborted, { once: true });
  });
}
