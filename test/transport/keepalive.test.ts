import assert from "node:assert/strict";
import { connect, createServer, type ServerHttp2Session } from "node:http2";
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer } from "node:net";
import { afterEach, describe, it } from "node:test";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { Scheduler } from "../../src/base/clock.ts";
import { upstreamPingMs, upstreamPingsMax, upstreamPingTimeoutMs } from "../../src/base/limits.ts";
import { listenHttp2 } from "../../src/exchange/transport/http2-listener.ts";
import type { UpstreamConnector } from "../../src/exchange/transport/ports.ts";
import { createGrpcUpstream } from "../../src/exchange/transport/upstream-grpc.ts";
import { numbered, openCall, statusOfStock, stockStream } from "./stream-support.ts";
import {
  plainClient,
  rawMethod,
  scheduler,
  startGrpcServer,
  statusFrame,
  within,
} from "./support.ts";

const path = "/city.v1.Registry/Follow";
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Timers that run a hundred times as fast: what waits for half a minute waits 300 ms. */
const speed = 100;
const fast: Scheduler = { after: (delayMs, run) => scheduler.after(delayMs / speed, run) };

function connector(port: number): UpstreamConnector {
  const made = createGrpcUpstream({ host: "127.0.0.1", port, scheduler: fast });
  cleanups.push(() => made.close());
  return made;
}

/** A server that counts pings and answers no call, unless `speak` is called. */
async function silentServer(): Promise<{ port: number; pings: () => number; speak: () => void }> {
  let pings = 0;
  let speak = (): void => {};
  const server = createServer();
  server.on("session", (session: ServerHttp2Session) => {
    session.on("ping", () => pings++);
    session.on("error", () => {});
  });
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    speak = () => stream.write(Buffer.alloc(5));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => server.close());
  return { port: (server.address() as AddressInfo).port, pings: () => pings, speak: () => speak() };
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

describe("keep-alive of an upstream connection", () => {
  it("pings a silent upstream while a call is open, and soon rarely", async () => {
    const { port, pings, speak } = await silentServer();
    const { heard } = openCall(connector(port), path);
    await within(
      2000,
      "the headers",
      heard.until(() => heard.headers !== undefined),
    );
    assert.equal(pings(), 0);
    while (pings() < upstreamPingsMax) await sleep(5);
    await sleep((2 * upstreamPingMs) / speed);
    assert.equal(pings(), upstreamPingsMax);
    speak();
    await heard.untilMessages(1);
    while (pings() < 2 * upstreamPingsMax) await sleep(5);
    assert.equal(heard.outcome, undefined);
  });

  it("does not ping while no call is open", async () => {
    const { port, pings } = await silentServer();
    const { heard, abort } = openCall(connector(port), path);
    await within(
      2000,
      "the headers",
      heard.until(() => heard.headers !== undefined),
    );
    abort.abort();
    await heard.error();
    const before = pings();
    await sleep((2 * upstreamPingMs + upstreamPingTimeoutMs) / speed);
    assert.equal(pings(), before);
  });

  it("finds a connection that swallows everything, and tells its calls that they are lost", async () => {
    const { port, server } = await startGrpcServer(
      rawMethod(path, { request: true, response: true }),
      (call: ServerDuplexStream<Buffer, Buffer>) => call.on("data", (m: Buffer) => call.write(m)),
    );
    cleanups.push(() => server.forceShutdown());
    let swallow = false;
    const proxy = createTcpServer((inward) => {
      const outward = connectTcp(port, "127.0.0.1");
      for (const socket of [inward, outward]) socket.on("error", () => {});
      inward.on("data", (chunk) => swallow || outward.write(chunk));
      outward.on("data", (chunk) => swallow || inward.write(chunk));
      inward.on("close", () => outward.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => proxy.close());
    const { heard, stream } = openCall(connector((proxy.address() as AddressInfo).port), path);
    await stream.write(numbered(1));
    await heard.untilMessages(1);
    swallow = true;
    const error = await within(5000, "the loss", heard.error());
    assert.equal(error.code, "UPSTREAM_UNAVAILABLE");
    assert.deepEqual(error.fields, { sent: "yes" });
  });
});

describe("keep-alive of callers on the agency listener", () => {
  it("answers more pings than any client sends, and the call goes on", async () => {
    let answer = (): void => {};
    const listener = await listenHttp2({
      host: "127.0.0.1",
      port: 0,
      scheduler,
      onCall: (call) => {
        answer = () => call.end(statusFrame(0));
      },
    });
    cleanups.push(() => listener.close(0));
    const session = connect(`http://127.0.0.1:${listener.port}`);
    cleanups.push(() => session.destroy());
    let goaways = 0;
    session.on("goaway", () => goaways++);
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
    });
    for (let i = 0; i < 300; i++) {
      await new Promise<void>((resolve, reject) => {
        session.ping((error) => (error === null ? resolve() : reject(error)));
      });
    }
    answer();
    stream.resume();
    const trailers = await new Promise<unknown>((resolve) => stream.once("response", resolve));
    assert.equal((trailers as Record<string, unknown>)["grpc-status"], "0");
    assert.equal(goaways, 0);
  });

  it("bears a stock client that pings all the time", async () => {
    let answer = (): void => {};
    const listener = await listenHttp2({
      host: "127.0.0.1",
      port: 0,
      scheduler,
      onCall: (call) => {
        answer = () => call.end(statusFrame(0));
      },
    });
    cleanups.push(() => listener.close(0));
    const client = plainClient(listener.port, {
      "grpc.keepalive_time_ms": 5,
      "grpc.keepalive_timeout_ms": 1000,
      "grpc.keepalive_permit_without_calls": 1,
    });
    cleanups.push(() => client.close());
    const call = stockStream(client, path);
    call.resume();
    await sleep(200);
    answer();
    assert.equal((await statusOfStock(call)).code, 0);
  });
});
