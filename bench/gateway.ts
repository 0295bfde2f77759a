/**
 * A gateway of the product as a process of the benchmark.
 *
 * `node gateway.js --config FILE`
 */
import { parseArgs } from "node:util";
import { createGateway } from "../gateway/app.ts";
import { readConfig } from "../gateway/config.ts";
import { parseHostPort } from "../gateway/tls.ts";
import { serveParent } from "./child.ts";

const { values } = parseArgs({ options: { config: { type: "string" } } });
if (values.config === undefined) throw new TypeError("--config FILE is missing");
const config = readConfig(values.config);
const gateway = await createGateway(config);
await gateway.start();
serveParent(parseHostPort(config.listeners.agency).port);
