/** What a command is given of the process around it. */
import type { Clock, RandomBytes, Scheduler } from "../../src/base/clock.ts";
import { type Environment, readEnvironment } from "../env.ts";
import { systemClock, systemRandom, systemScheduler } from "../runtime.ts";
import { terminalPrompt } from "./prompt.ts";

export interface Io {
  /** Standard output: what the command was asked for. */
  write(text: string): void;
  /** Standard error: progress, warnings and errors. */
  warn(text: string): void;
  /** Whether standard error is a terminal: long work shows its progress there. */
  readonly isErrorTerminal?: boolean;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: RandomBytes;
  readonly environment: Environment;
  /** Asks the person at the terminal without showing the answer; absent when nobody is there. */
  readonly ask?: (question: string) => Promise<string>;
  /** Cost of a guess at the passphrase of a new key folder; that of the `age` program unless given. */
  readonly scryptLogN?: number;
}

/** The process's own streams, clock and environment. */
export function createProcessIo(): Io {
  const ask = terminalPrompt();
  return {
    write: (text) => void process.stdout.write(text),
    warn: (text) => void process.stderr.write(text),
    isErrorTerminal: process.stderr.isTTY === true,
    clock: systemClock,
    scheduler: systemScheduler,
    random: systemRandom,
    environment: readEnvironment(),
    ...(ask === undefined ? {} : { ask }),
  };
}

/** As a shell names the end by SIGPIPE. */
const brokenPipe = 141;

/**
 * Ends the process once nobody reads its standard output any more, as under `| head`, and goes on without anybody
 * to read its standard error.
 */
export function endWithReader(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(brokenPipe);
  });
  process.stderr.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}
