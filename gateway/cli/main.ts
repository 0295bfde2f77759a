#!/usr/bin/env node
/** The program `causeway`. */
import { setFlagsFromString } from "node:v8";

// Without it Cedar's WebAssembly crashes the deoptimizer of Node 20: set before anything loads it.
setFlagsFromString("--no-turbo-inline-js-wasm-calls");
const { createProcessIo, endWithReader } = await import("./io.ts");
const { runCommand } = await import("./program.ts");
endWithReader();
process.exitCode = await runCommand(process.argv.slice(2), createProcessIo());
