/** Processes of a benchmark: started with one set of Node flags, asked for their CPU time, stopped. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { pathToFileURL } from "node:url";

/** A server in a process of its own. */
export interface ServerChild {
  readonly port: number;
  /** CPU seconds of the process so far, user and system. */
  cpuSeconds(): Promise<number>;
  /** Resident memory in bytes. */
  residentBytes(): Promise<number>;
  stop(): Promise<void>;
}

interface Usage {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

/** Starts a server module of this folder; resolves when it listens. */
export async function startServer(
  file: URL,
  args: readonly string[],
  nodeFlags: readonly string[],
): Promise<ServerChild> {
  const child = fork(file, args, { execArgv: [...nodeFlags] });
  const { port } = (await reply(child)) as { port: number };
  const usage = async (): Promise<Usage> => {
    const answer = reply(child);
    child.send("usage");
    return (await answer) as Usage;
  };
  return {
    port,
    cpuSeconds: async () => (await usage()).cpuSeconds,
    residentBytes: async () => (await usage()).residentBytes,
    stop: async () => {
      child.disconnect();
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}

/** Runs a module of this folder to its one result. */
export async function runTask(
  file: URL,
  args: readonly string[],
  nodeFlags: readonly string[],
): Promise<unknown> {
  const child = fork(file, args, { execArgv: [...nodeFlags] });
  const result = await reply(child);
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return result;
}

function reply(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      child.off("message", received).off("exit", ended).off("error", reject);
    };
    const received = (message: unknown): void => {
      settle();
      resolve(message);
    };
    const ended = (code: number | null): void => {
      settle();
      reject(new Error(`a process of the benchmark ended with code ${code}`));
    };
    child.on("message", received).on("exit", ended).on("error", reject);
  });
}

/** In the started process: announces the port, answers for its usage, ends with its parent. */
export function serveParent(port: number): void {
  process.send?.({ port });
  process.on("message", () => {
    const { user, system } = process.cpuUsage();
    const usage: Usage = {
      cpuSeconds: (user + system) / 1e6,
      residentBytes: process.memoryUsage.rss(),
    };
    process.send?.(usage);
  });
  process.on("disconnect", () => process.exit(0));
}

/** Whether the module with this URL is the program that was started. */
export function isMain(url: string): boolean {
  return process.argv[1] !== undefined && pathToFileURL(process.argv[1]).href === url;
}
