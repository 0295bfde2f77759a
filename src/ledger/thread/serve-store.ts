import { parentPort, workerData } from "node:worker_threads";
import { assertInvariant } from "../../base/errors.ts";
import type { FromStore, StoreCall, StoreMethods } from "./store-message.ts";
import { guardThread, type ThreadPort } from "./thread.ts";

/** Opens the store of this thread, and calls its methods as a `StoreThread` says, until it is closed or fails. */
export function serveStore<Data, Store extends StoreMethods<Store>>(
  open: (data: Data) => Store,
): void {
  assertInvariant(parentPort !== null, "a store is served by a thread of its own");
  const port: ThreadPort<StoreCall, FromStore> = parentPort;
  guardThread(port, () => {
    const store = open(workerData as Data);
    port.on("message", (call) => guardThread(port, () => perform(call, store, port)));
    port.postMessage({ kind: "ready" });
  });
}

function perform<Store extends StoreMethods<Store>>(
  { method, args, request }: StoreCall,
  store: Store,
  port: ThreadPort<StoreCall, FromStore>,
): void {
  const work = (store as Record<string, unknown>)[method];
  assertInvariant(typeof work === "function", `the store has a method ${method}`);
  const value: unknown = Reflect.apply(work, store, args);
  if (request !== undefined) port.postMessage({ kind: "answer", request, value });
  if (method === "close") port.close();
}
