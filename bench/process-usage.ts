/** What processes use that are not ours to ask, as Linux tells of them. */
import { existsSync, readFileSync } from "node:fs";
import type { Usage } from "./child.ts";

/** Of /proc/PID/stat: the same on every Linux, whatever the kernel's own clock. */
const ticksPerSecond = 100;

/** Whether this system tells. */
export function tellsUsage(): boolean {
  return existsSync("/proc/self/stat");
}

/** CPU and memory of all of them together. */
export function usageOf(pids: readonly number[]): Usage {
  const each = pids.map(usageOfOne);
  return {
    cpuSeconds: each.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    residentBytes: each.reduce((sum, { residentBytes }) => sum + residentBytes, 0),
  };
}

/** The processes that a process has started and that run. */
export function childrenOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
  return text === "" ? [] : text.split(" ").map(Number);
}

function usageOfOne(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name is the second field, in brackets, and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [userTicks, systemTicks] = [fields[11], fields[12]].map(Number);
  const resident = /^VmRSS:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return {
    cpuSeconds: ((userTicks ?? Number.NaN) + (systemTicks ?? Number.NaN)) / ticksPerSecond,
    residentBytes: Number(resident?.[1]) * 1024,
  };
}
