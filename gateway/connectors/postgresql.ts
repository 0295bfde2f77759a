/** A PostgreSQL database: each query in a read-only transaction of its own, behind a cursor, ended with its call. */
import pg from "pg";
import { type ClientTls, clientTlsOptions } from "../../src/exchange/transport/client-tls.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { connectMs, sqlBatchRowsMax, timerMsMax } from "../../src/base/limits.ts";
import type {
  SqlBatch,
  SqlCursor,
  SqlDatabase,
  SqlRead,
  SqlRow,
  SqlValue,
} from "./sql-database.ts";
import { untilAborted } from "./until-aborted.ts";

export interface PostgresqlOptions {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly password?: string | undefined;
  /** PEM. Without it the connection is not encrypted. */
  readonly tls?: ClientTls | undefined;
  readonly connectionsMax: number;
}

const idleMs = 30_000;
/** How often the server looks, in the middle of a query, whether its client is there. */
const clientCheckMs = 2_000;

export function createPostgresqlDatabase(options: PostgresqlOptions): SqlDatabase {
  const pool = createPool(options, options.connectionsMax);
  // A call to cancel must not wait for the calls that are to be cancelled.
  const cancelling = createPool(options, 1, connectMs);
  const connections: Connections = { pool, cancelling };
  return {
    dialect: "postgresql",
    describe: (text, parameterCount) => describe(connections, text, parameterCount),
    read: (read) => openCursor(connections, read),
    elementsOf: (text) => (text.startsWith("{") ? arrayOfTexts(text) : undefined),
    close: async () => {
      await Promise.all([pool.end(), cancelling.end()]);
    },
  };
}

interface Connections {
  readonly pool: pg.Pool;
  readonly cancelling: pg.Pool;
}

function createPool(options: PostgresqlOptions, max: number, queryMs?: number): pg.Pool {
  const { host, port, user, database, password, tls } = options;
  const pool = new pg.Pool({
    host,
    port,
    user,
    database,
    max,
    // An empty text would make the library look in its environment and in files.
    password: () => password ?? "",
    ssl: tls !== undefined && { ...clientTlsOptions(tls), servername: tls.serverName ?? host },
    connectionTimeoutMillis: connectMs,
    ...(queryMs === undefined ? {} : { query_timeout: queryMs }),
    idleTimeoutMillis: idleMs,
    allowExitOnIdle: true,
    application_name: "causeway",
    onConnect: watchClient,
  });
  // A connection that breaks is made again with the next query; what it was asked rejects by itself.
  pool.on("error", () => undefined);
  pool.on("connect", (client) => client.on("error", () => undefined));
  return pool;
}

/**
 * Has the server end a query whose gateway is gone, also one without a deadline: since PostgreSQL 14, where its
 * system can tell. The pool waits for what this returns, which its types do not say.
 */
function watchClient(client: pg.ClientBase): unknown {
  const set = `SELECT set_config(name, '${clientCheckMs}', false) FROM pg_settings
    WHERE name = 'client_connection_check_interval'`;
  return client.query(set).catch(() => undefined);
}

/** Values as the server writes them: what they become is decided by their column, not by a library. */
const texts: pg.CustomTypesConfig = { getTypeParser: () => (value: unknown) => value };

const session = [
  "SET LOCAL datestyle = 'ISO, YMD'",
  "SET LOCAL timezone = 'UTC'",
  "SET LOCAL intervalstyle = 'iso_8601'",
  "SET LOCAL bytea_output = 'hex'",
  "SET LOCAL extra_float_digits = 1",
].join("; ");

async function connect({ pool }: Connections): Promise<pg.PoolClient> {
  try {
    return await pool.connect();
  } catch (cause) {
    throw away(cause, "no");
  }
}

/** Waits no longer than `signal` lets it: a connection that comes later goes back unused. */
async function connectUntil(signal: AbortSignal, connections: Connections): Promise<pg.PoolClient> {
  signal.throwIfAborted();
  const connecting = connect(connections);
  try {
    return await untilAborted(connecting, signal);
  } catch (error) {
    void connecting.then(
      (client) => client.release(),
      () => undefined,
    );
    throw error;
  }
}

async function begin(client: pg.PoolClient, timeoutMs: number | undefined): Promise<void> {
  const timeout = timeoutMs === undefined ? 0 : Math.max(1, Math.min(timeoutMs, timerMsMax));
  await client.query(
    `BEGIN TRANSACTION READ ONLY; SET LOCAL statement_timeout = ${Math.ceil(timeout)}; ${session}`,
  );
}

// A cursor is declared for one statement that reads, and for nothing else.
const declare = (text: string): string => `DECLARE causeway NO SCROLL CURSOR FOR ${text}`;

async function describe(
  connections: Connections,
  text: string,
  parameterCount: number,
): Promise<readonly string[]> {
  const client = await connect(connections);
  let broken = true;
  try {
    await begin(client, connectMs);
    await client.query(declare(text), Array<null>(parameterCount).fill(null));
    const { fields } = await client.query("FETCH FORWARD 0 FROM causeway");
    await client.query("ROLLBACK");
    broken = false;
    return fields.map(({ name }) => name);
  } catch (cause) {
    const state = stateOf(cause);
    if (state === undefined || isAway(state)) throw away(cause, "no");
    throw new CausewayError("CONFIG_INVALID", (cause as Error).message, { cause });
  } finally {
    client.release(broken);
  }
}

async function openCursor(connections: Connections, read: SqlRead): Promise<SqlCursor> {
  const { signal } = read;
  const client = await connectUntil(signal, connections);
  let ended: Promise<unknown> | undefined;
  let isReleased = false;
  const release = (isBrokenNow: boolean): void => {
    if (!isReleased) client.release(isBrokenNow);
    isReleased = true;
  };
  const abort = (): void => {
    // A server that cannot be told to stop gives no answer to wait for either.
    ended ??= cancel(connections, client).then((isTold) => {
      if (!isTold) release(true);
    });
  };
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  let isBegun = false;
  let isBroken = false;
  let isClosed = false;
  return {
    next: async () => {
      try {
        if (!isBegun) {
          isBegun = true;
          await begin(client, read.timeoutMs);
          await client.query(declare(read.text), read.parameters.map(bound));
        }
        return await fetch(client);
      } catch (error) {
        isBroken = true;
        signal.throwIfAborted();
        return failed(error);
      }
    },
    close: async () => {
      if (isClosed) return;
      isClosed = true;
      signal.removeEventListener("abort", abort);
      await ended;
      // What was told to stop may hear it late: no other query runs on its connection.
      const reusable = !isBroken && ended === undefined && (await rolledBack(client));
      release(!reusable);
    },
  };
}

async function fetch(client: pg.PoolClient): Promise<SqlBatch> {
  const result = await client.query<unknown[]>({
    text: `FETCH FORWARD ${sqlBatchRowsMax} FROM causeway`,
    rowMode: "array",
    types: texts,
  });
  const types = result.fields.map(({ dataTypeID }) => dataTypeID);
  const rows = result.rows.map(
    (row): SqlRow => row.map((value, i) => valueOf(types[i] as number, value as string | null)),
  );
  const columns = result.fields.map(({ name }) => name);
  return { kind: "rows", columns, rows, done: rows.length < sqlBatchRowsMax };
}

function rolledBack(client: pg.PoolClient): Promise<boolean> {
  return client.query("ROLLBACK").then(
    () => true,
    () => false,
  );
}

/** Asks the server to stop what the connection runs; whether it has heard so. */
function cancel({ cancelling }: Connections, client: pg.PoolClient): Promise<boolean> {
  const { processID } = client as unknown as { readonly processID: number };
  return cancelling.query("SELECT pg_cancel_backend($1)", [processID]).then(
    () => true,
    () => false,
  );
}

function stateOf(error: unknown): string | undefined {
  const { code, severity } = error as { readonly code?: unknown; readonly severity?: unknown };
  return typeof code === "string" && typeof severity === "string" ? code : undefined;
}

/** SQLSTATEs that are the server's own condition: connections, resources, shut-down, start-up, passwords. */
function isAway(state: string): boolean {
  return /^(?:08|28|53|57P|58|3D|XX)/.test(state);
}

function failed(error: unknown): SqlBatch {
  const state = stateOf(error);
  if (state === undefined || isAway(state)) throw away(error, "yes");
  return { kind: "failed", grpcCode: codeOf(state), cause: `SQLSTATE ${state}` };
}

function codeOf(state: string): number {
  // statement_timeout; a value that its column's type cannot have; another transaction in the way.
  if (state === "57014") return 4;
  if (state.startsWith("22")) return 3;
  return state.startsWith("40") || state.startsWith("55") ? 10 : 13;
}

function away(cause: unknown, sent: "yes" | "no"): CausewayError {
  return new CausewayError("UPSTREAM_UNAVAILABLE", "the database cannot be read", {
    cause,
    fields: { sent },
  });
}

function bound(value: SqlValue): unknown {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value);
  return Array.isArray(value) ? value.map(bound) : value;
}

/** Object ids of types whose text says less than their type (`pg_type`). */
const kinds: Readonly<Record<number, "bool" | "bytes" | "whole" | "float">> = {
  16: "bool",
  17: "bytes",
  20: "whole",
  21: "whole",
  23: "whole",
  26: "whole",
  700: "float",
  701: "float",
};

/** Element types of the arrays of those. */
const elements: Readonly<Record<number, number>> = {
  1000: 16,
  1001: 17,
  1016: 20,
  1005: 21,
  1007: 23,
  1028: 26,
  1021: 700,
  1022: 701,
};

function valueOf(type: number, text: string | null): SqlValue {
  if (text === null) return null;
  const element = elements[type];
  if (element !== undefined) {
    return arrayOfTexts(text).map((one) => valueOf(element, one as string | null));
  }
  switch (kinds[type]) {
    case "bool":
      return text === "t";
    case "bytes":
      return new Uint8Array(Buffer.from(text.slice(2), "hex"));
    case "whole":
      return BigInt(text);
    case "float":
      return Number(text);
    default:
      return text;
  }
}

const textArrayType = 1009 as Parameters<typeof pg.types.getTypeParser>[0];
const parseTextArray = pg.types.getTypeParser(textArrayType, "text") as (
  text: string,
) => readonly SqlValue[];

function arrayOfTexts(text: string): readonly SqlValue[] {
  return parseTextArray(text);
}
