/** Looks every second whether the other thread has taken another input, and ends the process when it has not. */
import { writeSync } from "node:fs";
import { workerData } from "node:worker_threads";
import type { WatchdogData } from "./watchdog.ts";

const { shared, answerMs } = workerData as WatchdogData;
const counters = new Int32Array(shared, 0, 2);
const memory = new Uint8Array(shared, 8);
let seen = 0;
let since = performance.now();

setInterval(() => {
  const inputs = Atomics.load(counters, 0);
  if (inputs !== seen || inputs === 0) {
    seen = inputs;
    since = performance.now();
    return;
  }
  if (performance.now() - since < answerMs) return;
  const input = Buffer.from(memory.slice(0, Atomics.load(counters, 1)));
  const name = input.toString("utf8", 0, input.indexOf(10));
  const bytes = input.subarray(input.indexOf(10) + 1).toString("base64");
  writeSync(2, `no answer for ${answerMs} ms from ${name} to the input ${bytes}\n`);
  process.kill(process.pid, "SIGKILL");
}, 1000);
