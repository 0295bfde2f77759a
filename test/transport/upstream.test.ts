import assert from "node:assert/strict";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { afterEach, describe, it } from "node:test";
import {
  Metadata as GrpcMetadata,
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
} from "@grpc/grpc-js";
import * as fc from "fast-check";
import { parseUtf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { connectMs } from "../../src/base/limits.ts";
import { frameMessage } from "../../src/exchange/transport/framing.ts";
import type {
  UnaryAnswer,
  UpstreamCall,
  UpstreamConnector,
} from "../../src/exchange/transport/ports.ts";
import { createGrpcUpstream } from "../../src/exchange/transport/upstream-grpc.ts";
import {
  createIdentity,
  metadata,
  pairs,
  rawMethod,
  scheduler,
  startGrpcServer,
  within,
} from "./support.ts";

type Handler = (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => void;

const path = "/city.v1.Registry/Get";
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function connector(port: number, host = "127.0.0.1"): UpstreamConnector {
  const made = createGrpcUpstream({ host, port, scheduler });
  cleanups.push(() => made.close());
  return made;
}

async function stock(handler: Handler): Promise<UpstreamConnector> {
  const { port, server } = await startGrpcServer(rawMethod(path), handler);
  cleanups.push(() => server.forceShutdown());
  return connector(port);
}

function call(
  upstream: UpstreamConnector,
  options: Partial<UpstreamCall> = {},
  withinMs = 4000,
): Promise<UnaryAnswer> {
  const answer = upstream.callUnary({
    path,
    headers: metadata(),
    message: new Uint8Array(3),
    timeoutMs: undefined,
    answerBytesMax: 4 * 1024 * 1024,
    signal: new AbortController().signal,
    ...options,
  });
  return within(withinMs, "the call", answer);
}

describe("the upstream connector against a stock grpc-js server", () => {
  it("carries empty, small and large messages unchanged", async () => {
    const upstream = await stock((incoming, done) => done(null, incoming.request));
    for (const length of [0, 1, 500, 64 * 1024, 3 * 1024 * 1024]) {
      const message = new Uint8Array(length).fill(length % 251);
      const answer = await call(upstream, { message });
      assert.equal(answer.status.code, 0);
      assert.equal(answer.messages.length, 1);
      assert.ok(Buffer.compare(answer.messages[0] as Uint8Array, message) === 0);
    }
  });

  it("carries metadata, deadline and path, and reads headers and trailers", async () => {
    let seen: GrpcMetadata | undefined;
    let deadlineMs = 0;
    const upstream = await stock((incoming, done) => {
      seen = incoming.metadata;
      deadlineMs = Number(incoming.getDeadline()) - Date.now();
      const headers = new GrpcMetadata();
      headers.add("x-head-bin", Buffer.from([1, 2, 3]));
      incoming.sendMetadata(headers);
      const trailers = new GrpcMetadata();
      trailers.add("x-trail", "b");
      trailers.add("x-trail", "a");
      done(null, Buffer.alloc(1), trailers);
    });
    const headers = metadata([
      ["x-text", "v"],
      ["x-many", "2"],
      ["x-many", "1"],
      ["x-some-bin", Uint8Array.of(0, 255)],
      ["user-agent", "the-caller/1"],
      ["connection", "close"],
      ["grpc-timeout", "1n"],
    ]);
    const answer = await call(upstream, { headers, timeoutMs: 5000 });
    assert.deepEqual(seen?.get("x-text"), ["v"]);
    assert.deepEqual(seen.get("x-many"), ["2, 1"]);
    assert.deepEqual(seen.get("x-some-bin"), [Buffer.from([0, 255])]);
    assert.deepEqual(seen.get("user-agent"), ["the-caller/1"]);
    assert.ok(deadlineMs > 3000 && deadlineMs <= 5000, `${deadlineMs}`);
    assert.deepEqual(
      pairs(answer.headers).filter(([key]) => key !== "date"),
      [["x-head-bin", "010203"]],
    );
    assert.deepEqual(pairs(answer.status.trailers), [
      ["x-trail", "b"],
      ["x-trail", "a"],
    ]);
  });

  it("returns an error as an answer: code, Unicode message, details and trailers", async () => {
    const message = "\tnicht gefunden ☺ 😈 100%\n";
    const details = Uint8Array.of(8, 5, 18, 0);
    const upstream = await stock((_incoming, done) => {
      const trailers = new GrpcMetadata();
      trailers.set("grpc-status-details-bin", Buffer.from(details));
      trailers.set("x-why", "absent");
      done({ code: 5, details: message, metadata: trailers });
    });
    const answer = await call(upstream);
    assert.equal(answer.status.code, 5);
    assert.equal(parseUtf8(answer.status.message), message);
    assert.deepEqual(answer.status.details, details);
    assert.deepEqual(answer.messages, []);
    assert.deepEqual(
      pairs(answer.status.trailers).filter(([key]) => key !== "date"),
      [["x-why", "absent"]],
    );
  });

  it("returns UNIMPLEMENTED of an unknown path as an answer", async () => {
    const upstream = await stock((_incoming, done) => done(null, Buffer.alloc(0)));
    assert.equal((await call(upstream, { path: "/a.B/C" })).status.code, 12);
  });

  it("ends at the deadline and tells the upstream", async () => {
    const cancelled = { count: 0 };
    const upstream = await stock((incoming) => incoming.on("cancelled", () => cancelled.count++));
    await assert.rejects(call(upstream, { timeoutMs: 60 }), { code: "DEADLINE" });
    await within(
      1000,
      "cancellation",
      until(() => cancelled.count === 1),
    );
  });

  it("ends when the signal says so, with its reason, also before the call", async () => {
    let arrived = 0;
    let cancelled = 0;
    const upstream = await stock((incoming) => {
      arrived++;
      incoming.on("cancelled", () => cancelled++);
    });
    const abort = new AbortController();
    const first = call(upstream, { signal: abort.signal });
    const rejected = assert.rejects(first, { code: "CANCELLED" });
    await within(
      1000,
      "the call",
      until(() => arrived === 1),
    );
    abort.abort();
    await rejected;
    await within(
      1000,
      "cancellation",
      until(() => cancelled === 1),
    );
    const reason = AbortSignal.abort(new CausewayError("PEER_LOST", "gone"));
    await assert.rejects(call(upstream, { signal: reason }), { code: "PEER_LOST" });
    assert.equal(arrived, 1);
  });

  it("refuses an answer above its limit and tells the upstream, which stays in use", async () => {
    const upstream = await stock((incoming, done) =>
      done(null, Buffer.alloc(incoming.request.length * 1000)),
    );
    const answerBytesMax = 5000;
    await assert.rejects(call(upstream, { message: new Uint8Array(6), answerBytesMax }), {
      code: "MESSAGE_TOO_LARGE",
    });
    const fits = await call(upstream, { message: new Uint8Array(5), answerBytesMax });
    assert.equal(fits.messages[0]?.length, 5000);
  });

  it("carries many calls at once on one connection", async () => {
    const ports = new Set<string>();
    const upstream = await stock((incoming, done) => {
      ports.add(incoming.getPeer());
      setTimeout(() => done(null, incoming.request), incoming.request.readUInt32BE() % 7);
    });
    const answers = await Promise.all(
      Array.from({ length: 300 }, async (_, i) => {
        const message = Buffer.alloc(4);
        message.writeUInt32BE(i);
        const answer = await call(upstream, { message });
        return Buffer.from(answer.messages[0] as Uint8Array).readUInt32BE();
      }),
    );
    assert.deepEqual(
      answers,
      Array.from({ length: 300 }, (_, i) => i),
    );
    assert.equal(ports.size, 1);
  });

  it("says UPSTREAM_UNAVAILABLE with nobody there, at once while it waits, and comes back", async () => {
    const { port, server } = await startGrpcServer(rawMethod(path), ((incoming, done) =>
      done(null, incoming.request)) as Handler);
    const upstream = connector(port);
    assert.equal((await call(upstream)).status.code, 0);
    server.forceShutdown();
    await new Promise((resolve) => setTimeout(resolve, 30));
    const unsent = { code: "UPSTREAM_UNAVAILABLE", fields: { sent: "no" } };
    await assert.rejects(call(upstream), unsent);
    await assert.rejects(call(upstream), unsent);
    const again = new Server();
    again.addService(
      { method: rawMethod(path) },
      {
        method: ((incoming, done) => done(null, incoming.request)) as Handler,
      },
    );
    await new Promise<void>((resolve, reject) => {
      again.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    cleanups.push(() => again.forceShutdown());
    let answer: UnaryAnswer | undefined;
    const retry = async (): Promise<void> => {
      while (answer === undefined) {
        answer = await call(upstream).catch(() => undefined);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    await within(3000, "the new connection", retry());
    assert.equal(answer?.status.code, 0);
  });

  it("says that the call was sent when the connection breaks during it", async () => {
    const { port, server } = await startGrpcServer(rawMethod(path), (() =>
      server.forceShutdown()) as Handler);
    const failure = { code: "UPSTREAM_UNAVAILABLE", fields: { sent: "yes" } };
    await assert.rejects(call(connector(port)), failure);
  });

  it("verifies the upstream's certificate under TLS", async () => {
    const identity = createIdentity("localhost");
    const other = createIdentity("localhost");
    const server = new Server();
    const handler: Handler = (incoming, done) => done(null, incoming.request);
    server.addService({ method: rawMethod(path) }, { method: handler });
    const secure = ServerCredentials.createSsl(null, [
      {
        private_key: Buffer.from(identity.privateKey),
        cert_chain: Buffer.from(identity.certificate),
      },
    ]);
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", secure, (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      );
    });
    cleanups.push(() => server.forceShutdown());
    const dial = (ca: string): UpstreamConnector => {
      const made = createGrpcUpstream({
        host: "127.0.0.1",
        port,
        scheduler,
        tls: { ca, serverName: "localhost" },
      });
      cleanups.push(() => made.close());
      return made;
    };
    assert.equal((await call(dial(identity.certificate))).status.code, 0);
    await assert.rejects(call(dial(other.certificate)), { code: "UPSTREAM_UNAVAILABLE" });
  });
});

describe("the upstream connector against a server that misbehaves", () => {
  async function odd(onStream: (stream: ServerHttp2Stream) => void): Promise<UpstreamConnector> {
    const server: Http2Server = createServer();
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.on("error", () => {});
      onStream(stream);
    });
    server.on("session", (session) => session.on("error", () => {}));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    return connector((server.address() as AddressInfo).port);
  }
  const grpc = { ":status": 200, "content-type": "application/grpc" };

  it("gives what is not gRPC the status that its HTTP status means", async () => {
    const rows: [number, number][] = [
      [400, 13],
      [401, 16],
      [403, 7],
      [404, 12],
      [503, 14],
      [500, 2],
    ];
    for (const [http, code] of rows) {
      const upstream = await odd((stream) => {
        stream.respond({ ":status": http, "content-type": "text/html" });
        stream.end("<html>not gRPC</html>");
      });
      assert.equal((await call(upstream)).status.code, code, `HTTP ${http}`);
    }
  });

  it("gives a reset the status that its code means", async () => {
    for (const [http2Code, code] of [
      [7, 14],
      [8, 1],
      [11, 8],
      [12, 7],
      [2, 13],
    ] as const) {
      const upstream = await odd((stream) => stream.close(http2Code));
      assert.equal((await call(upstream)).status.code, code, `reset ${http2Code}`);
    }
  });

  it("is INTERNAL without a status, or with a number of messages that is not one", async () => {
    const answers: ((stream: ServerHttp2Stream) => void)[] = [
      (stream) => stream.respond(grpc, { endStream: true }),
      (stream) => {
        stream.respond(grpc);
        stream.end(frameMessage(new Uint8Array(1)));
      },
      (stream) => stream.respond({ ...grpc, "grpc-status": "0" }, { endStream: true }),
      (stream) => {
        stream.respond(grpc, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        stream.write(frameMessage(new Uint8Array(1)));
        stream.end(frameMessage(new Uint8Array(1)));
      },
    ];
    for (const answer of answers) {
      const { status, messages } = await call(await odd(answer));
      assert.equal(status.code, 13);
      assert.deepEqual(messages, []);
    }
  });

  it("is UNKNOWN for a code that gRPC does not have", async () => {
    for (const code of ["17", "-1", "x", "00", ""]) {
      const upstream = await odd((stream) =>
        stream.respond({ ...grpc, "grpc-status": code }, { endStream: true }),
      );
      assert.equal((await call(upstream)).status.code, 2, code);
    }
  });

  it("refuses more metadata than a call may have", async () => {
    const upstream = await odd((stream) =>
      stream.respond({ ...grpc, "x-l": "v".repeat(9000), "grpc-status": "0" }, { endStream: true }),
    );
    await assert.rejects(call(upstream), { code: "METADATA_TOO_LARGE" });
  });

  it("neither crashes nor hangs on random bytes in place of a message", async () => {
    let bytes: Uint8Array = new Uint8Array(0);
    const upstream = await odd((stream) => {
      stream.respond({ ...grpc, "grpc-encoding": "gzip" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(bytes);
    });
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (random) => {
        bytes = random;
        const outcome = await call(upstream, { answerBytesMax: 1000 }).then(
          (answer) => String(answer.status.code),
          (error: CausewayError) => error.code,
        );
        assert.match(outcome, /^(?:0|13|PROTOCOL_ERROR|MESSAGE_TOO_LARGE)$/);
      }),
      { numRuns: 150 },
    );
  });

  it("neither crashes nor hangs on random bytes in place of HTTP/2", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (random) => {
        const sockets: Socket[] = [];
        const server = createTcpServer((socket) => {
          sockets.push(socket);
          socket.on("error", () => {});
          socket.end(random);
        });
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
        const upstream = createGrpcUpstream({
          host: "127.0.0.1",
          port: (server.address() as AddressInfo).port,
          scheduler,
        });
        // Node tells nothing of some bytes, such as SETTINGS of a wrong length: the dialling gives up by itself.
        const answer = call(upstream, {}, connectMs + 4000);
        await assert.rejects(answer, { code: "UPSTREAM_UNAVAILABLE" });
        await within(3000, "closing", upstream.close());
        for (const socket of sockets) socket.destroy();
        server.close();
      }),
      { numRuns: 25 },
    );
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
