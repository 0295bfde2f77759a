import type { Logger } from "pino";
import type { Scheduler } from "../src/base/clock.ts";
import type { UpstreamConnector } from "../src/exchange/transport/ports.ts";
import { createGrpcUpstream } from "../src/exchange/transport/upstream-grpc.ts";
import type { GatewayConfig, UpstreamConfig } from "./config-types.ts";
import { readClientTls } from "./connectors/client-tls.ts";
import {
  type ConnectorPorts,
  createHttpConnector,
  createSqlConnector,
  validateQueries,
} from "./connectors/create-upstream.ts";
import { parseHostPort } from "./tls.ts";
import { toldUpstream } from "./told-upstream.ts";
import { type CheckUpstreams, type OpenUpstream, Upstreams } from "./upstreams.ts";

/** Opens the connector that an entry of the configuration describes for a service. Throws FILE_UNREADABLE, CONFIG_INVALID. */
export function openUpstream(
  service: string,
  config: UpstreamConfig,
  ports: ConnectorPorts,
): UpstreamConnector {
  if ("http" in config) return createHttpConnector(service, config, ports);
  if (!("grpc" in config)) return createSqlConnector(service, config, ports);
  const { scheduler } = ports;
  const { host, port } = parseHostPort(config.grpc);
  const { tls, compression } = config;
  return createGrpcUpstream({
    host,
    port,
    scheduler,
    ...(compression === undefined ? {} : { compression }),
    ...(tls === undefined ? {} : { tls: readClientTls(tls) }),
  });
}

/**
 * The connectors of a configuration, their queries shown to their databases. Rejects with
 * FILE_UNREADABLE, and CONFIG_INVALID for a query that does not fit what is published.
 */
export async function openUpstreams(
  config: Pick<GatewayConfig, "upstreams">,
  ports: {
    readonly scheduler: Scheduler;
    readonly replica: ConnectorPorts["replica"];
    readonly logger: Logger;
    readonly wrapUpstream?: ((upstream: UpstreamConnector) => UpstreamConnector) | undefined;
  },
): Promise<Upstreams> {
  const { scheduler, replica, logger, wrapUpstream } = ports;
  const onQueryFault: ConnectorPorts["onQueryFault"] = (service, fault) =>
    logger.error({ event: "query failed", service, ...fault }, "a query failed");
  const open: OpenUpstream = (service, entry) => {
    const upstream = toldUpstream(
      openUpstream(service, entry, { scheduler, replica, onQueryFault }),
      {
        away: (what, cause) =>
          logger.warn({ event: "upstream away", service, what, cause }, "an upstream is away"),
        back: () => logger.info({ event: "upstream back", service }, "an upstream answers again"),
      },
    );
    return wrapUpstream?.(upstream) ?? upstream;
  };
  const check: CheckUpstreams = (upstreams) =>
    validateQueries(upstreams, (service, err) =>
      logger.warn({ event: "database away", service, err }, "a database cannot be asked yet"),
    );
  const upstreams = new Upstreams(config, open, check);
  try {
    await check(upstreams.entries());
    return upstreams;
  } catch (error) {
    await upstreams.close();
    throw error;
  }
}
