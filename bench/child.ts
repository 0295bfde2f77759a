/** Processes of a benchmark: started with one set of Node flags, asked for their usage, stopped. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { pathToFileURL } from "node:url";

export interface Usage {
  /** CPU seconds of all threads of the process so far, user and system. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

/** A process of its own. It answers one question at a time. */
export interface Child {
  /** Where it listens; 0 when it does not. */
  readonly port: number;
  usage(): Promise<Usage>;
  /** What the module's own `answer` says to a message. */
  ask(message: unknown): Promise<unknown>;
  stop(): Promise<void>;
}

/** Starts a module that ends in `serveParent`; resolves when it listens. */
export async function startChild(
  file: URL,
  args: readonly string[],
  nodeFlags: readonly string[],
): Promise<Child> {
  const process_ = fork(file, args, {
    execArgv: [...nodeFlags],
    // The standard output is the report's alone.
    stdio: ["ignore", 2, 2, "ipc"],
  });
  const { port } = (await reply(process_)) as { port: number };
  const ask = (message: unknown): Promise<unknown> => {
    const answer = reply(process_);
    process_.send(message as string);
    return answer;
  };
  return {
    port,
    ask,
    usage: async () => (await ask("usage")) as Usage,
    stop: async () => {
      if (process_.connected) process_.disconnect();
      if (process_.exitCode === null && process_.signalCode === null) await once(process_, "exit");
    },
  };
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

/** In the started process: announces the port, answers its parent, ends with it. */
export function serveParent(port: number, answer?: (message: unknown) => Promise<unknown>): void {
  process.send?.({ port });
  process.on("message", (message: unknown) => {
    if (message === "usage") process.send?.(ownUsage());
    else void answer?.(message).then((result) => process.send?.(result));
  });
  process.on("disconnect", () => process.exit(0));
}

function ownUsage(): Usage {
  const { user, system } = process.cpuUsage();
  return { cpuSeconds: (user + system) / 1e6, residentBytes: process.memoryUsage.rss() };
}

/** Whether the module with this URL is the program that was started. */
export function isMain(url: string): boolean {
  return process.argv[1] !== undefined && pathToFileURL(process.argv[1]).href === url;
}
