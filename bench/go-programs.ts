/** The programs in Go that the product is measured with or beside, from bench/go. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { Child } from "./child.ts";
import { usageOf } from "./process-usage.ts";

export type GoProgram = "grpc-client" | "grpc-upstream" | "tessera-append";

const pathOf = (program: GoProgram): string => resolve(".cache/optional/bench", program);

/** Whether the program was built. */
export function isBuilt(program: GoProgram): boolean {
  return existsSync(pathOf(program));
}

/** Builds what is older than its source; why a program is missing afterwards, or `undefined`. */
export function buildGoPrograms(...programs: readonly GoProgram[]): string | undefined {
  if (spawnSync("go", ["version"]).status !== 0) return "no go";
  spawnSync(process.execPath, ["scripts/optional.mjs", "bench"], { stdio: ["ignore", 2, 2] });
  const absent = programs.filter((program) => !isBuilt(program));
  if (absent.length === 0) return undefined;
  return `${absent.join(", ")} could not be built: node scripts/optional.mjs bench`;
}

/** Starts a program that takes questions and gives answers as lines of JSON; resolves when it listens. */
export async function startGoProgram(
  program: GoProgram,
  args: readonly string[] = [],
): Promise<Child> {
  const file = pathOf(program);
  const process_ = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  await once(process_, "spawn");
  // It ended: the next line that is waited for says so.
  process_.stdin.on("error", () => undefined);
  const lines = createInterface({ input: process_.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<unknown> => {
    const line = await lines.next();
    if (line.done === true) throw new Error(`${basename(file)} ended`);
    return JSON.parse(line.value);
  };
  const { port } = (await next()) as { port: number };
  return {
    port,
    ask: (question) => {
      process_.stdin.write(`${JSON.stringify(question)}\n`);
      return next();
    },
    usage: async () => usageOf([process_.pid as number]),
    stop: async () => {
      process_.stdin.end();
      if (process_.exitCode === null && process_.signalCode === null) await once(process_, "exit");
    },
  };
}
