/** The service with every call type as a program of its own: `stream-upstream-main PORT`. Prints `running`. */
import { writeSync } from "node:fs";
import { startStreamUpstream } from "../support/stream-service.ts";

const [, , port] = process.argv;
await startStreamUpstream(Number(port));
writeSync(1, "running\n");
