/** What the log says of a data service that goes away and comes back. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { type sendUnaryData, Server, ServerCredentials } from "@grpc/grpc-js";
import { pino } from "pino";
import { openUpstreams } from "../../gateway/open-upstream.ts";
import { systemScheduler } from "../../gateway/runtime.ts";
import type { UpstreamConnector } from "../../src/exchange/transport/ports.ts";
import { eventually } from "../support/admin-client.ts";
import { freePort } from "../support/free-port.ts";
import { metadata, rawMethod } from "../transport/support.ts";

const service = "hangzhou/civil-affairs/divisions";
const path = "/city.v1.Registry/Get";
const limits = { path, headers: metadata(), timeoutMs: 5000 };

function serve(port: number): Promise<Server> {
  const server = new Server();
  const answer = (_: unknown, done: sendUnaryData<Buffer>): void => done(null, Buffer.alloc(1));
  server.addService({ method: rawMethod(path) }, { method: answer });
  return new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve(server) : reject(error),
    );
  });
}

async function callUnary(connector: UpstreamConnector): Promise<string> {
  const { signal } = new AbortController();
  const call = { ...limits, message: new Uint8Array(1), answerBytesMax: 1000, signal };
  try {
    return `status ${(await connector.callUnary(call)).status.code}`;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

function callStream(connector: UpstreamConnector): Promise<string> {
  const { signal } = new AbortController();
  return new Promise((resolve) => {
    const stream = connector.open(
      { ...limits, messageBytesMax: 1000, signal },
      {
        onHeaders: () => undefined,
        onMessage: () => undefined,
        onEnd: ({ code }) => resolve(`status ${code}`),
        onFailed: ({ code }) => resolve(code),
      },
    );
    void stream.write(new Uint8Array(1));
    stream.halfClose();
  });
}

describe("a data service that is away", () => {
  let server: Server | undefined;
  after(() => server?.forceShutdown());

  for (const [kind, call] of [
    ["unary", callUnary],
    ["streaming", callStream],
  ] as const) {
    it(`is in the log once with why, and once when it is back, of ${kind} calls`, async () => {
      const port = await freePort();
      const logged: Record<string, unknown>[] = [];
      const logger = pino(
        { level: "info" },
        { write: (line: string) => void logged.push(JSON.parse(line) as Record<string, unknown>) },
      );
      const told = (): unknown[][] =>
        logged.map(({ level, event, service: of, cause }) => [level, event, of, cause]);
      const upstreams = await openUpstreams(
        { upstreams: { [service]: { grpc: `127.0.0.1:${port}` } } },
        { scheduler: systemScheduler, replica: {} as never, logger },
      );
      const connector = upstreams.get(service);
      assert.ok(connector !== undefined);
      const refused = await Promise.all([1, 2, 3].map(() => call(connector)));
      assert.deepEqual(new Set(refused), new Set(["UPSTREAM_UNAVAILABLE"]));
      const away = [40, "upstream away", service, "ECONNREFUSED"];
      assert.deepEqual(told(), [away]);

      server = await serve(port);
      await eventually("it answers", async () => (await call(connector)) === "status 0");
      assert.equal(await call(connector), "status 0");
      const back = [30, "upstream back", service, undefined];
      assert.deepEqual(told(), [away, back]);

      server.forceShutdown();
      // What was under way on the connection ends as its reset says, which is an answer.
      await eventually("it is away", async () => (await call(connector)).startsWith("UPSTREAM"));
      assert.deepEqual(told(), [away, back, [40, "upstream away", service, told()[2]?.[3]]]);
      await upstreams.close();
    });
  }
});
