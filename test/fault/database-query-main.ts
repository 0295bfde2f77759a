/** A query that never ends, as a connector runs it for a call without a deadline: `database-query-main PORT PASSWORD`. */
import { createPostgresqlDatabase } from "../../gateway/connectors/postgresql.ts";

const [, , port, password] = process.argv;
if (port !== undefined && password !== undefined) {
  const database = createPostgresqlDatabase({
    host: "127.0.0.1",
    port: Number(port),
    user: "owner",
    password,
    database: "postgres",
    connectionsMax: 1,
  });
  const cursor = await database.read({
    text: "SELECT pg_sleep(3600)",
    parameters: [],
    timeoutMs: undefined,
    signal: new AbortController().signal,
  });
  await cursor.next();
}
