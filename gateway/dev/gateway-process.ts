/** A gateway of a place to try, as a process of its own that ends with the one that started it, however that ends. */
import { setFlagsFromString } from "node:v8";

// Without it Cedar's WebAssembly crashes the deoptimizer of Node 20: set before anything loads it.
setFlagsFromString("--no-turbo-inline-js-wasm-calls");
// The channel closes also when the other process is killed.
process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
const { createProcessIo } = await import("../cli/io.ts");
const { runCommand } = await import("../cli/program.ts");
process.channel?.unref();
// Variables that set keys of a configuration are meant for a gateway of the developer's own.
const io = { ...createProcessIo(), environment: {} };
process.exitCode = await runCommand(["gateway", "run", "--config", ...process.argv.slice(2)], io);
