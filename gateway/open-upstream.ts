import { readFileSync } from "node:fs";
import type { Scheduler } from "../src/base/clock.ts";
import { CausewayError } from "../src/base/errors.ts";
import type { UpstreamConnector } from "../src/exchange/transport/ports.ts";
import { createGrpcUpstream } from "../src/exchange/transport/upstream-grpc.ts";
import type { UpstreamConfig } from "./config-types.ts";
import { parseHostPort } from "./tls.ts";

/** Opens the connector that an entry of the configuration describes. Throws FILE_UNREADABLE. */
export function openUpstream(config: UpstreamConfig, scheduler: Scheduler): UpstreamConnector {
  const { host, port } = parseHostPort(config.grpc);
  const { tls, compression } = config;
  return createGrpcUpstream({
    host,
    port,
    scheduler,
    ...(compression === undefined ? {} : { compression }),
    ...(tls === undefined ? {} : { tls: trustOf(tls) }),
  });
}

function trustOf({ ca_file, server_name }: NonNullable<UpstreamConfig["tls"]>): {
  readonly ca: readonly string[];
  readonly servername?: string;
} {
  try {
    const ca = [readFileSync(ca_file, "utf8")];
    return server_name === undefined ? { ca } : { ca, servername: server_name };
  } catch (cause) {
    throw new CausewayError("FILE_UNREADABLE", `${ca_file} cannot be read`, { cause });
  }
}
