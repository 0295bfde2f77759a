/** The gateway's log: one JSON line for each event, on standard output. */
import { type DestinationStream, type Logger, pino } from "pino";
import type { GatewayConfig } from "./config-types.ts";

/** Levels stand in the lines as the configuration names them. */
export function createLogger(
  { gateway, log }: Pick<GatewayConfig, "gateway" | "log">,
  to?: DestinationStream,
): Logger {
  const formatters = { level: (level: string) => ({ level }) };
  return pino({ level: log, base: { gateway }, formatters }, to);
}
