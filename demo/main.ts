#!/usr/bin/env node
/** `npm run demo`: the whole path of Causeway between two cities, on real data, checked at every step. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setFlagsFromString } from "node:v8";
import { Stage } from "./stage.ts";
import { failed } from "./terminal.ts";

// Without it Cedar's WebAssembly crashes the deoptimizer of Node 20: set before anything loads it.
setFlagsFromString("--no-turbo-inline-js-wasm-calls");
const { play } = await import("./play.ts");

const usage = `npm run demo [-- --keep]

  --keep   leave the two gateways running until Ctrl-C, and say how to call them by hand
`;

const signalCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** The project's folder, above the compiled program. */
function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "demo", "data", "divisions.tsv"))) {
    const above = dirname(folder);
    if (above === folder) throw new Error("the demonstration's data are not beside the program");
    folder = above;
  }
  return folder;
}

async function run(keep: boolean): Promise<number> {
  const stage = openStage();
  if (stage === undefined) return 1;
  let interrupted: keyof typeof signalCodes | undefined;
  for (const signal of Object.keys(signalCodes) as (keyof typeof signalCodes)[]) {
    process.on(signal, () => {
      // The second one does not wait: what is left is removed as the process ends.
      if (interrupted !== undefined) process.exit(signalCodes[signal]);
      interrupted = signal;
      stage.interrupt();
    });
  }
  try {
    const end = await play(stage, { root: findRoot(), keep });
    return end === "kept" || interrupted === undefined ? 0 : signalCodes[interrupted];
  } catch (error) {
    if (interrupted !== undefined) return signalCodes[interrupted];
    failed(error instanceof Error ? error.message : String(error));
    return 1;
  } finally {
    if (interrupted !== undefined)
      process.stderr.write(`\n${interrupted}: stopping and cleaning up.\n`);
    await stage.close();
  }
}

function openStage(): Stage | undefined {
  try {
    return new Stage();
  } catch (error) {
    failed(`no temporary folder can be made: ${(error as Error).message}`);
    return undefined;
  }
}

function readArguments(): { readonly keep: boolean } | undefined {
  try {
    const { values } = parseArgs({
      options: { keep: { type: "boolean" }, help: { type: "boolean" } },
    });
    if (values.help !== true) return { keep: values.keep === true };
    process.stdout.write(usage);
    process.exitCode = 0;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    process.exitCode = 2;
  }
  return undefined;
}

const options = readArguments();
// An exit rather than a code: an interrupted step may hold a socket that nobody closes.
if (options !== undefined) process.exit(await run(options.keep));
