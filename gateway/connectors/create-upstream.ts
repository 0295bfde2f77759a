/** Opens the connector that the configuration describes for a service, of whatever kind. */
import type { Scheduler } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { parseHex } from "../../src/base/bytes.ts";
import type { UpstreamConnector } from "../../src/exchange/transport/ports.ts";
import type { Replica } from "../../src/ledger/ports.ts";
import { readSecretFile } from "../config-secrets.ts";
import { followDescriptors, type ServiceDescriptors } from "../transcoding/service-descriptors.ts";
import { parseHostPort } from "../tls.ts";
import { readClientTls } from "./client-tls.ts";
import type { DatabaseConfig, HttpUpstreamConfig, SqlUpstreamConfig } from "./config.ts";
import { createHttpJsonUpstream } from "./http-upstream.ts";
import { createPostgresqlDatabase } from "./postgresql.ts";
import type { SqlDatabase } from "./sql-database.ts";
import { createSqlUpstream, type SqlFault, type SqlUpstream } from "./sql-upstream.ts";
import { createSqliteDatabase } from "./sqlite.ts";

export interface ConnectorPorts {
  readonly scheduler: Scheduler;
  readonly replica: Pick<Replica, "view" | "blob">;
  readonly onQueryFault: (service: string, fault: SqlFault) => void;
}

/** The types that a service is published with, as this replica knows them now. */
export function publishedDescriptors(
  replica: Pick<Replica, "view" | "blob">,
  service: string,
): () => ServiceDescriptors | undefined {
  return followDescriptors(() => {
    const digest = replica.view().service(service)?.body.descriptor;
    const bytes = digest === undefined ? undefined : parseHex(digest);
    if (digest === undefined || bytes === undefined) return undefined;
    return { key: digest, bytes: () => replica.blob(bytes) };
  });
}

/** Throws FILE_UNREADABLE. */
export function createHttpConnector(
  service: string,
  config: HttpUpstreamConfig,
  { replica, scheduler }: ConnectorPorts,
): UpstreamConnector {
  const { authorization_file, tls } = config;
  return createHttpJsonUpstream({
    baseUrl: config.http,
    names: config.names,
    requestFields: config.request_fields,
    answerFields: config.answer_fields,
    connectionsMax: config.connections_max,
    descriptors: publishedDescriptors(replica, service),
    scheduler,
    ...(authorization_file === undefined
      ? {}
      : { authorization: readSecretFile(authorization_file) }),
    ...(tls === undefined ? {} : { tls: readClientTls(tls) }),
  });
}

/** Throws FILE_UNREADABLE. */
export function createSqlConnector(
  service: string,
  config: SqlUpstreamConfig,
  { replica, scheduler, onQueryFault }: ConnectorPorts,
): SqlUpstream {
  return createSqlUpstream({
    database: openDatabase(config),
    methods: config.methods,
    descriptors: publishedDescriptors(replica, service),
    scheduler,
    onFault: (fault) => onQueryFault(service, fault),
  });
}

/** Connects with the first query. Throws FILE_UNREADABLE. */
export function openDatabase(config: DatabaseConfig): SqlDatabase {
  if ("sqlite" in config) {
    return createSqliteDatabase({ file: config.sqlite, processesMax: config.processes_max });
  }
  const { user, database, password_file, tls } = config;
  return createPostgresqlDatabase({
    ...parseHostPort(config.postgresql),
    user,
    database,
    connectionsMax: config.connections_max,
    ...(password_file === undefined ? {} : { password: readSecretFile(password_file) }),
    ...(tls === undefined ? {} : { tls: readClientTls(tls) }),
  });
}

/**
 * Shows every query to its database before calls are taken. Rejects with CONFIG_INVALID, which names
 * service, method and what is wrong; a database that cannot be asked is `onAway`, and asked again with
 * the first call.
 */
export async function validateQueries(
  upstreams: Iterable<readonly [service: string, upstream: UpstreamConnector]>,
  onAway: (service: string, error: CausewayError) => void,
): Promise<void> {
  for (const [service, upstream] of upstreams) {
    if (!("validate" in upstream)) continue;
    try {
      await (upstream as SqlUpstream).validate();
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
      if (error.code !== "CONFIG_INVALID") onAway(service, error);
      else throw new CausewayError(error.code, `${service}: ${error.message}`, { cause: error });
    }
  }
}
