/** Opens the connector that the configuration describes for a service, of whatever kind. */
import { readFileSync } from "node:fs";
import type { Scheduler } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { parseHex } from "../../src/base/bytes.ts";
import type { UpstreamConnector } from "../../src/exchange/transport/ports.ts";
import type { Replica } from "../../src/ledger/ports.ts";
import { readSecretFile } from "../config-secrets.ts";
import { followDescriptors, type ServiceDescriptors } from "../transcoding/service-descriptors.ts";
import { parseHostPort } from "../tls.ts";
import type {
  ConnectorTlsConfig,
  DatabaseConfig,
  HttpUpstreamConfig,
  SqlUpstreamConfig,
} from "./config.ts";
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
    ...(tls === undefined ? {} : { tls: readTls(tls) }),
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
    ...(tls === undefined ? {} : { tls: readTls(tls) }),
  });
}

interface ReadTls {
  readonly ca?: string;
  readonly serverName?: string;
  readonly certificate?: string;
  readonly key?: string;
}

function readTls(tls: ConnectorTlsConfig): ReadTls {
  const { ca_file, server_name, certificate_file, key_file } = tls;
  return {
    ...(ca_file === undefined ? {} : { ca: readPem(ca_file) }),
    ...(server_name === undefined ? {} : { serverName: server_name }),
    ...(certificate_file === undefined ? {} : { certificate: readPem(certificate_file) }),
    ...(key_file === undefined ? {} : { key: readSecretFile(key_file) }),
  };
}

function readPem(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new CausewayError("FILE_UNREADABLE", `${file} cannot be read`, { cause });
  }
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
