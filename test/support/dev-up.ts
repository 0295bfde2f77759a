/** `causeway dev up` as a developer runs it: a process, its ready line, its end. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { DevReadyRow } from "../../gateway/cli/dev-ready.ts";

export const program: string = fileURLToPath(new URL("../../gateway/cli/main.js", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface DevUp {
  readonly child: ChildProcess;
  readonly ready: DevReadyRow;
  /** Sends a signal, and resolves once the process has ended. */
  stop(signal?: NodeJS.Signals): Promise<Ended>;
}

/** What a program prints in good time, also on a machine that has much else to do. */
const printMs = 60_000;

/** Starts a program; `printed` resolves with standard output as soon as that passes a test. */
export function startProgram(
  command: string,
  argv: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  readonly printed: (holds: (stdout: string, stderr: string) => boolean) => Promise<string>;
} {
  const child = spawn(command, [...argv], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  const listeners = new Set<() => void>();
  const tell = (): void => {
    for (const listener of listeners) listener();
  };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    tell();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
    tell();
  });
  const ended = once(child, "close").then(
    ([code]): Ended => ({ code: code as number | null, stdout, stderr }),
  );
  ended.catch(() => undefined);
  return {
    child,
    ended,
    printed: (holds) =>
      new Promise((resolve, reject) => {
        let timer: NodeJS.Timeout | undefined;
        const check = (): void => {
          if (!holds(stdout, stderr)) return;
          clearTimeout(timer);
          listeners.delete(check);
          resolve(stdout);
        };
        timer = setTimeout(() => {
          listeners.delete(check);
          reject(new Error(`${command} has not printed what was awaited\n${stdout}\n${stderr}`));
        }, printMs);
        listeners.add(check);
        check();
        ended.then(({ code }) => {
          clearTimeout(timer);
          reject(new Error(`${command} ended with ${code}\n${stdout}\n${stderr}`));
        }, reject);
      }),
  };
}

/** Runs `causeway dev up --json`, and resolves once calls can be made. */
export async function startDevUp(
  argv: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>> } = {},
): Promise<DevUp> {
  const words = [program, "dev", "up", "--json", ...argv];
  const { child, ended, printed } = startProgram(process.execPath, words, options);
  const line = await printed((stdout) => stdout.includes("\n"));
  return {
    child,
    ready: JSON.parse(line) as DevReadyRow,
    stop: async (signal = "SIGINT") => {
      child.kill(signal);
      return ended;
    },
  };
}

/** Runs a program to its end, which comes by SIGKILL (exit code `null`) where it takes longer than `endMs`. */
export async function run(
  command: string,
  argv: readonly string[],
  options: Parameters<typeof startProgram>[2] & { readonly endMs?: number } = {},
): Promise<Ended> {
  const { child, ended } = startProgram(command, argv, options);
  const late = setTimeout(() => child.kill("SIGKILL"), options.endMs ?? 15_000);
  return ended.finally(() => clearTimeout(late));
}
