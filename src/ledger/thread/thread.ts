/** A thread of this process: its two ends, and what they say to each other when it fails. */
import { Worker } from "node:worker_threads";
import { CausewayError } from "../../base/errors.ts";
import type { ReasonCode } from "../../base/reasons.ts";

/** The end of the thread that started it. */
export interface Thread<To, From> {
  post(message: To): void;
  /** `onEnd` is called when the thread is gone, with why if it failed. */
  listen(onMessage: (message: From) => void, onEnd: (cause: unknown) => void): void;
}

/** The thread's own end. */
export interface ThreadPort<To, From> {
  postMessage(message: From): void;
  on(event: "message", listener: (message: To) => void): unknown;
  close(): void;
}

/** The last message of a thread that failed. */
export interface ThreadFailure {
  readonly kind: "failed";
  readonly code: ReasonCode;
  readonly message: string;
}

/** Starts a compiled script with what it finds as `workerData`. */
export function startThread<To, From>(script: URL, data: unknown): Thread<To, From> {
  const worker = new Worker(script, { workerData: data });
  return {
    post: (message) => worker.postMessage(message),
    listen: (onMessage, onEnd) => {
      let cause: unknown;
      worker.on("message", onMessage);
      worker.on("error", (error) => {
        cause = error;
      });
      worker.on("exit", () => onEnd(cause));
    },
  };
}

/** Does the work of a thread. What it throws is said to the other end, and nothing is answered after it. */
export function guardThread<To, From>(
  port: ThreadPort<To, From | ThreadFailure>,
  work: () => void,
): void {
  try {
    work();
  } catch (error) {
    port.postMessage(failure(error));
    port.close();
  }
}

/** What crosses of an error: its cause cannot. */
function failure(error: unknown): ThreadFailure {
  if (error instanceof CausewayError) {
    return { kind: "failed", code: error.code, message: error.message };
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { kind: "failed", code: "INTERNAL", message };
}
