/** The division service as a program of its own: `upstream-main PORT CORRECTIONS`. Prints `running`. */
import { writeSync } from "node:fs";
import { startDivisionUpstream } from "../../demo/upstream.ts";

const [, , port, correctionsFile] = process.argv;
await startDivisionUpstream({ port: Number(port), correctionsFile: String(correctionsFile) });
writeSync(1, "running\n");
