/** Looks at what upstreams and databases of a configuration rest on, without calling another machine. */
import { CausewayError } from "../../src/base/errors.ts";
import { parseAttributeQuery } from "../attributes/attribute-query.ts";
import type { Problem } from "../config-problems.ts";
import type { GatewayConfig } from "../config-types.ts";
import type { KeyPath } from "../config-yaml.ts";
import { readClientTls } from "./client-tls.ts";
import type { SqlDatabase } from "./sql-database.ts";
import { parseSqlQuery, type SqlDialect } from "./sql-query.ts";
import { createSqliteDatabase } from "./sqlite.ts";

type SourcesConfig = Pick<GatewayConfig, "upstreams" | "databases" | "attributes">;

/** A query with the key that it stands at. */
interface Query {
  readonly path: KeyPath;
  readonly source: string;
  readonly parse: (source: string, dialect: SqlDialect) => { readonly text: string };
}

interface Source {
  readonly path: KeyPath;
  readonly config: GatewayConfig["upstreams"][string] | GatewayConfig["databases"][string];
  readonly queries: readonly Query[];
}

/**
 * What is wrong with certificates and keys, with queries, and with SQLite databases: those are opened to be
 * read, and take each query without running it. PostgreSQL and services are not asked.
 */
export async function checkSources(config: SourcesConfig): Promise<readonly Problem[]> {
  const problems: Problem[] = [];
  for (const source of sourcesOf(config)) problems.push(...(await checkSource(source)));
  return problems;
}

function sourcesOf({ upstreams, databases, attributes }: SourcesConfig): readonly Source[] {
  const services = Object.entries(upstreams).map(([service, config]): Source => {
    const path = ["upstreams", service];
    const methods = "methods" in config ? Object.entries(config.methods) : [];
    const queries = methods.map(([method, { query: source }]): Query => {
      return { path: [...path, "methods", method, "query"], source, parse: parseSqlQuery };
    });
    return { path, config, queries };
  });
  const lookups = Object.entries(attributes).flatMap(([service, { queries }]) =>
    queries.map(({ database, query: source }, i) => {
      const path = ["attributes", service, "queries", i, "query"];
      return { database, path, source, parse: parseAttributeQuery };
    }),
  );
  const named = Object.entries(databases).map(
    ([name, config]): Source => ({
      path: ["databases", name],
      config,
      queries: lookups.filter(({ database }) => database === name),
    }),
  );
  return [...services, ...named];
}

async function checkSource({ path, config, queries }: Source): Promise<readonly Problem[]> {
  const problems: Problem[] = [];
  const look = async (at: KeyPath, work: () => unknown): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
      problems.push({ path: at, text: error.message });
    }
  };
  const tls = "tls" in config ? config.tls : undefined;
  if (tls !== undefined) await look([...path, "tls"], () => readClientTls(tls));
  if ("postgresql" in config) {
    for (const { path: at, source, parse } of queries) {
      await look(at, () => parse(source, "postgresql"));
    }
  }
  if ("sqlite" in config) {
    const database = createSqliteDatabase({ file: config.sqlite, processesMax: 1 });
    try {
      await look([...path, "sqlite"], () => openable(database));
      if (problems.length > 0) return problems;
      for (const { path: at, source, parse } of queries) {
        await look(at, () => database.describe(parse(source, "sqlite").text, 0));
      }
    } finally {
      await database.close();
    }
  }
  return problems;
}

/** Reads what every database has: a file that is none is not told from one by opening it. */
async function openable(database: SqlDatabase): Promise<void> {
  try {
    await database.describe("SELECT name FROM sqlite_schema", 0);
  } catch (error) {
    if (!(error instanceof CausewayError)) throw error;
    const { cause } = error;
    const why = cause instanceof Error ? cause.message : error.message;
    throw new CausewayError("CONFIG_INVALID", `the database cannot be read: ${why}`, {
      cause: error,
    });
  }
}
