/** Upstreams that speak HTTP and JSON, or are a database, as the configuration describes them. */
import { z } from "zod";
import { isMethodPath } from "../../src/base/ids.ts";
import {
  address,
  described,
  filePath,
  flag,
  integer,
  oneOf,
  secretFile,
  token,
} from "../config-atoms.ts";
import { mayPass } from "./http-metadata.ts";
import type { SqlMethod } from "./sql-plan.ts";

export interface ConnectorTlsConfig {
  readonly ca_file?: string | undefined;
  readonly server_name?: string | undefined;
  readonly certificate_file?: string | undefined;
  readonly key_file?: string | undefined;
}

export interface HttpUpstreamConfig {
  /** URL below which the service's paths are. */
  readonly http: string;
  readonly names: "json" | "proto";
  readonly authorization_file?: string | undefined;
  readonly request_fields: readonly string[];
  readonly answer_fields: readonly string[];
  readonly connections_max: number;
  readonly tls?: ConnectorTlsConfig | undefined;
}

export interface SqliteConfig {
  /** The database's file. */
  readonly sqlite: string;
  readonly processes_max: number;
}

export interface PostgresqlConfig {
  /** `host:port`. */
  readonly postgresql: string;
  readonly user: string;
  readonly database: string;
  readonly password_file?: string | undefined;
  readonly connections_max: number;
  readonly tls?: ConnectorTlsConfig | undefined;
}

/** A database that is only read. */
export type DatabaseConfig = SqliteConfig | PostgresqlConfig;

/** A database that answers the methods of a service. */
export type SqlUpstreamConfig = DatabaseConfig & {
  readonly methods: Readonly<Record<string, SqlMethod>>;
};

const baseUrl: z.ZodType<string> = described(
  z
    .string()
    .refine(isBaseUrl, "it is an http:// or https:// URL without credentials, query and fragment"),
  { type: "http or https URL" },
);

function isBaseUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && username + password + search + hash === "";
}

const fieldName: z.ZodType<string> = described(
  z
    .string()
    .refine(mayPass, "it is a header field in lower case, and none of one hop or of credentials"),
  { type: "header field" },
);

/** TLS to what this gateway calls. */
export const connectorTls: z.ZodType<ConnectorTlsConfig> = described(
  z.strictObject({
    ca_file: described(filePath, {
      text: "Authorities for its certificate, PEM; those of the system without it.",
      reload: true,
    }).optional(),
    server_name: described(token, {
      text: "Name that its certificate is checked for; the host of the address without it.",
      reload: true,
    }).optional(),
    certificate_file: described(filePath, {
      text: "Certificate that the gateway shows, with its chain, PEM. It goes with `key_file`.",
      reload: true,
    }).optional(),
    key_file: described(secretFile, { text: "Its private key, PEM.", reload: true }).optional(),
  }),
  { type: "section", text: "The upstream is called over TLS.", reload: true },
);

const connectionsMax = (text: string): z.ZodDefault<z.ZodNumber> =>
  described(integer(1, 1024), { text, reload: true }).default(64);

/** A service that speaks HTTP and JSON, by the annotations of its published methods. */
export const httpUpstream: z.ZodType<HttpUpstreamConfig> = z.strictObject({
  http: described(baseUrl, {
    text: "Where the service answers; the paths of its `google.api.http` annotations come behind it.",
    reload: true,
  }),
  names: described(oneOf(["json", "proto"]), {
    text: "Names of fields in what it is sent: `json` is lowerCamelCase, `proto` as in the `.proto` file. Both are read.",
    reload: true,
  }).default("json"),
  authorization_file: described(secretFile, {
    text: "Value of the `authorization` field of every request, such as `Bearer …`.",
    reload: true,
  }).optional(),
  request_fields: described(z.array(fieldName), {
    type: "list of header fields",
    text: "Metadata of callers that passes, beside the facts of the call and trace context.",
    reload: true,
  }).default([]),
  answer_fields: described(z.array(fieldName), {
    type: "list of header fields",
    text: "Fields of its answers that pass, beside `etag`, `last-modified`, `retry-after`, `content-language` and `x-request-id`.",
    reload: true,
  }).default([]),
  connections_max: connectionsMax("Connections to it at one time."),
  tls: connectorTls.optional(),
}) as unknown as z.ZodType<HttpUpstreamConfig>;

const methods = described(
  z.record(
    described(z.string().refine(isMethodPath, "a method is /package.Service/Method"), {
      type: "method path",
    }),
    z.strictObject({
      query: described(
        z
          .string()
          .min(1)
          .max(64 * 1024),
        {
          type: "SQL",
          text: "One SELECT; `:name` or `:name.inner` is a field of the request, each column one of the answer.",
          reload: true,
        },
      ),
      rows: described(oneOf(["one", "many"]), {
        text: "One row at most, or many: into `field`, or as the messages of a stream.",
        reload: true,
      }).default("one"),
      field: described(token, {
        text: "Field of the answer that the rows go to.",
        reload: true,
      }).optional(),
      not_found: described(flag, {
        text: "Whether no row is answered with `NOT_FOUND`, or else with the empty message or stream. `true` without it where `rows` is `one`, `false` where it is `many`.",
        reload: true,
      }).optional(),
      rows_max: described(integer(1, 10_000_000), {
        text: "Rows of one answer; more are refused.",
        reload: true,
      }).default(1000),
    }),
  ),
  { type: "map by method path", text: "The query of each method.", reload: true },
);

const sqlite = {
  sqlite: described(filePath, {
    type: "database",
    text: "File of a SQLite database, which is only read.",
    reload: true,
  }),
  processes_max: described(integer(1, 64), {
    text: "Queries that run at one time, each in a process of its own.",
    reload: true,
  }).default(4),
};

const postgresql = {
  postgresql: described(address, { text: "A PostgreSQL server.", reload: true }),
  user: described(token, { text: "Role that reads; give it no more.", reload: true }),
  database: described(token, { text: "Its database.", reload: true }),
  password_file: described(secretFile, { text: "Its password.", reload: true }).optional(),
  connections_max: connectionsMax("Connections to it at one time; one more cancels."),
  tls: connectorTls.optional(),
};

/** A SQLite database. */
export const sqliteUpstream: z.ZodType<SqliteConfig & SqlUpstreamConfig> = z.strictObject({
  ...sqlite,
  methods,
}) as unknown as z.ZodType<SqliteConfig & SqlUpstreamConfig>;

/** A PostgreSQL database. */
export const postgresqlUpstream: z.ZodType<PostgresqlConfig & SqlUpstreamConfig> = z.strictObject({
  ...postgresql,
  methods,
}) as unknown as z.ZodType<PostgresqlConfig & SqlUpstreamConfig>;

/** A database by itself. */
export const databaseSchema: z.ZodType<DatabaseConfig> = z.union([
  z.strictObject(sqlite) as unknown as z.ZodType<SqliteConfig>,
  z.strictObject(postgresql) as unknown as z.ZodType<PostgresqlConfig>,
]);
