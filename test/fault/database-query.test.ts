import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { findPostgres, type Postgres, startPostgres } from "../connectors/postgres.ts";
import { eventually } from "../support/admin-client.ts";
import { Running } from "./processes.ts";

const found = findPostgres();
const main = fileURLToPath(new URL("database-query-main.js", import.meta.url));

describe("a query on PostgreSQL", "missing" in found ? { skip: found.missing } : {}, () => {
  let server: Postgres;
  let watcher: pg.Client;

  before(async () => {
    assert.ok("bin" in found);
    server = await startPostgres(found.bin);
    const { port, password } = server;
    watcher = new pg.Client({
      host: "127.0.0.1",
      port,
      user: "owner",
      password,
      database: "postgres",
    });
    await watcher.connect();
  });

  after(async () => {
    await watcher?.end();
    await server?.close();
  });

  async function underWay(): Promise<number> {
    const { rows } = await watcher.query<{ count: string }>(
      "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'causeway' AND state = 'active'",
    );
    return Number(rows[0]?.count);
  }

  it("ends in the server soon after the process that asked is killed", async () => {
    const asking = new Running([main, String(server.port), server.password]);
    await eventually("the query is under way", async () => (await underWay()) === 1);
    await asking.end("SIGKILL");
    await eventually("the server has ended it", async () => (await underWay()) === 0, 10_000);
  });
});
