import type { ExitCode } from "../gateway/cli/exit-codes.ts";
import type { Io } from "../gateway/cli/io.ts";
import { runCommand } from "../gateway/cli/program.ts";
import { systemClock, systemRandom, systemScheduler } from "../gateway/runtime.ts";

/** What a command wrote, and its exit code. */
export interface Captured {
  readonly code: ExitCode;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `causeway` with these arguments in this process; nothing of the environment counts unless `io` gives it. */
export async function runCaptured(
  argv: readonly string[],
  io: Partial<Io> = {},
): Promise<Captured> {
  let [stdout, stderr] = ["", ""];
  const code = await runCommand(argv, {
    write: (text) => {
      stdout += text;
    },
    warn: (text) => {
      stderr += text;
    },
    clock: systemClock,
    scheduler: systemScheduler,
    random: systemRandom,
    environment: {},
    ...io,
  });
  return { code, stdout, stderr };
}
