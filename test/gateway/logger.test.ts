import assert from "node:assert/strict";
import test from "node:test";
import { createLogger } from "../../gateway/logger.ts";

test("a line of the log names its level as the configuration does, and the gateway", () => {
  const lines: string[] = [];
  const config = { gateway: "hangzhou/civil-affairs/gw1", log: "info" } as const;
  const logger = createLogger(config, { write: (line) => void lines.push(line) });
  logger.debug({ event: "exchange ended" }, "exchange ended");
  logger.warn({ event: "witness failed" }, "witness failed");
  assert.equal(lines.length, 1);
  const { level, gateway, event, time } = JSON.parse(String(lines[0])) as Record<string, unknown>;
  assert.deepEqual([level, gateway, event], ["warn", config.gateway, "witness failed"]);
  assert.equal(typeof time, "number");
});
