/** The thread that stores held records: the main thread never waits for the disk. */
import { parentPort, workerData } from "node:worker_threads";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import type { FromHeldWorker, HeldWorkerData, ToHeldWorker } from "./held-message.ts";
import { SqliteHeld } from "./sqlite-held.ts";

assertInvariant(parentPort !== null, "the worker of held records runs in a thread of its own");
const port = parentPort;

function post(message: FromHeldWorker): void {
  port.postMessage(message);
}

function guarded(work: () => void): void {
  try {
    work();
  } catch (error) {
    const code = error instanceof CausewayError ? error.code : "INTERNAL";
    post({ kind: "failed", code, message: error instanceof Error ? error.message : String(error) });
    port.close();
  }
}

function handle(store: SqliteHeld, message: ToHeldWorker): void {
  switch (message.kind) {
    case "put":
      return store.put(message.records);
    case "remove":
      return store.remove(message.leafHashes);
    case "get":
      return post({ kind: "got", request: message.request, records: store.get(message.leafHash) });
    case "leaves":
      return post({ kind: "listed", request: message.request, leaves: store.leaves() });
    case "close":
      store.close();
      post({ kind: "closed", request: message.request });
      port.close();
  }
}

guarded(() => {
  const { path, recordsMax } = workerData as HeldWorkerData;
  const store = new SqliteHeld(path, recordsMax);
  port.on("message", (message: ToHeldWorker) => guarded(() => handle(store, message)));
  post({ kind: "ready" });
});
