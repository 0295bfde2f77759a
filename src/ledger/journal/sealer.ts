import { startThread } from "../thread/thread.ts";
import type { Journal, SealerOptions, SealWorker } from "./journal.ts";
import { SealDriver } from "./seal-driver.ts";
import type { SealWorkerData } from "./seal-message.ts";

export type { Journal, NewBatch, SealerOptions, SealWorker } from "./journal.ts";

/**
 * Opens the journal, with a worker that seals.
 * Rejects with JOURNAL_LOCKED when another process has it open, JOURNAL_MISMATCH when it is of
 * another gateway, network, key or a later epoch, JOURNAL_ROLLED_BACK while it is being written again,
 * STORAGE_FAILED when disk or chain are broken.
 */
export async function openJournal(options: SealerOptions): Promise<Journal> {
  const worker = (options.createWorker ?? createSealWorker)({
    path: options.path,
    gateway: options.gateway,
    network: options.network,
    batchKeySeed: options.batchKeySeed,
    ...(options.otherBatchKeys === undefined ? {} : { otherBatchKeys: options.otherBatchKeys }),
    ...(options.epoch === undefined ? {} : { epoch: options.epoch }),
    boot: options.boot,
    startedAtMs: options.clock.nowMs(),
  });
  const driver = new SealDriver(options, worker);
  return driver.open(await driver.ready);
}

/** The product's seal worker, a thread of this process. */
export function createSealWorker(
  data: SealWorkerData,
  script: URL = new URL("./seal-worker.js", import.meta.url),
): SealWorker {
  return startThread(script, data);
}
