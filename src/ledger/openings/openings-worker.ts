/** The thread that encrypts and stores openings: neither costs the main thread anything. */
import { parentPort, workerData } from "node:worker_threads";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import { unframe } from "../journal/framing.ts";
import type {
  FromOpeningsWorker,
  OpeningsWorkerData,
  ToOpeningsWorker,
} from "./openings-message.ts";
import { type OpeningPart, SqliteOpenings } from "./sqlite-openings.ts";

assertInvariant(parentPort !== null, "the openings worker runs in a thread of its own");
const port = parentPort;

function post(message: FromOpeningsWorker): void {
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

function partsOf(framed: Uint8Array): readonly OpeningPart[] {
  const items = unframe(framed);
  const parts: OpeningPart[] = [];
  for (let i = 0; i + 1 < items.length; i += 2) {
    parts.push({ id: items[i] as Uint8Array, part: items[i + 1] as Uint8Array });
  }
  return parts;
}

function handle(store: SqliteOpenings, message: ToOpeningsWorker): void {
  switch (message.kind) {
    case "put":
      store.put(partsOf(message.parts));
      return;
    case "get":
      post({ kind: "got", request: message.request, parts: store.get(message.id) });
      return;
    case "erase":
      post({ kind: "done", request: message.request, count: store.erase(message.ids) });
      return;
    case "find":
      post({ kind: "found", request: message.request, ids: store.find(message.range) });
      return;
    case "erase-recorded": {
      const erasure = store.eraseRecorded(message.range, message);
      const erasures = erasure === undefined ? [] : [erasure];
      post({ kind: "erased", request: message.request, erasures });
      return;
    }
    case "erasures":
      post({ kind: "erased", request: message.request, erasures: store.erasures(message.after) });
      return;
    case "flush":
      post({ kind: "done", request: message.request, count: 0 });
      return;
    case "close":
      store.close();
      post({ kind: "done", request: message.request, count: 0 });
      port.close();
  }
}

guarded(() => {
  const { path, key } = workerData as OpeningsWorkerData;
  const store = new SqliteOpenings(path, key);
  port.on("message", (message: ToOpeningsWorker) => guarded(() => handle(store, message)));
  post({ kind: "ready" });
});
