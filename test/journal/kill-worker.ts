/** The product's seal worker on a journal that stands still, or fails, at the second batch. */
import { writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { assertInvariant, CausewayError } from "../../src/base/errors.ts";
import { type OpenJournal, runSealWorker } from "../../src/ledger/journal/seal-work.ts";
import type { SealWorkerData } from "../../src/ledger/journal/seal-message.ts";
import { openSqliteJournal } from "../../src/ledger/journal/sqlite-journal.ts";

const { point } = workerData as { point: string };

function stand(): never {
  writeSync(1, `standing ${point}\n`);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  throw new Error("nobody wakes it");
}

const openStandingJournal: OpenJournal = (path, options) => {
  const journal = openSqliteJournal(path, options);
  const failed = (): never => {
    throw new CausewayError("STORAGE_FAILED", "the disk refused the write");
  };
  return {
    tip: () => journal.tip(),
    awaitedEpoch: () => journal.awaitedEpoch(),
    beginBoot: (boot, startedAtMs) => journal.beginBoot(boot, startedAtMs),
    save: (deferred) => journal.save(deferred),
    close: () => journal.close(),
    append: (row, states, deferred) => {
      if (row.number === 1 && point === "before-commit") stand();
      if (row.number === 1 && point === "commit-fails") failed();
      if (row.number === 1 && point === "worker-dies") process.exit(1);
      journal.append(row, states, deferred);
      if (row.number === 1 && point === "commit-unknown") failed();
    },
  };
};

assertInvariant(parentPort !== null, "the worker runs in a thread of its own");
runSealWorker(parentPort, workerData as SealWorkerData, openStandingJournal);
