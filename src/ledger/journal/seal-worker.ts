/** The thread that seals: signing and fsync stay off the main thread. */
import { parentPort, workerData } from "node:worker_threads";
import { assertInvariant } from "../../base/errors.ts";
import type { SealWorkerData } from "./seal-message.ts";
import { runSealWorker } from "./seal-work.ts";

assertInvariant(parentPort !== null, "the seal worker runs in a thread of its own");
runSealWorker(parentPort, workerData as SealWorkerData);
