/** A second thread that ends the process when one input is not answered: nothing else can stop a loop. */
import { Worker } from "node:worker_threads";

/** Longest time for one input, in milliseconds: a thousand times what the slowest needs. */
const answerMs = 30_000;
const inputBytesMax = 512 * 1024;

/** Memory that both threads see: `[inputs, bytes of the input, …the input]`. */
export interface WatchdogData {
  readonly shared: SharedArrayBuffer;
  readonly answerMs: number;
}

export interface Watchdog {
  /** Called before each input; the thread prints it when it is the last. */
  before(target: string, input: Uint8Array): void;
  close(): Promise<void>;
}

export function startWatchdog(): Watchdog {
  const shared = new SharedArrayBuffer(8 + inputBytesMax);
  const counters = new Int32Array(shared, 0, 2);
  const memory = new Uint8Array(shared, 8);
  const worker = new Worker(new URL("./watchdog-thread.js", import.meta.url), {
    workerData: { shared, answerMs } satisfies WatchdogData,
  });
  worker.unref();
  return {
    before(target, input): void {
      const name = Buffer.from(`${target}\n`);
      memory.set(name);
      memory.set(input.subarray(0, inputBytesMax - name.length), name.length);
      Atomics.store(counters, 1, Math.min(name.length + input.length, inputBytesMax));
      Atomics.add(counters, 0, 1);
    },
    async close(): Promise<void> {
      await worker.terminate();
    },
  };
}
