import assert from "node:assert/strict";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { afterEach, describe, it } from "node:test";
import { Metadata as GrpcMetadata, type ServerDuplexStream } from "@grpc/grpc-js";
import { parseUtf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import {
  callMessageBytesBound,
  http2StreamWindowBytes,
  http2WriteBytesMax,
} from "../../src/base/limits.ts";
import { frameMessage } from "../../src/exchange/transport/framing.ts";
import type { UpstreamConnector } from "../../src/exchange/transport/ports.ts";
import { createGrpcUpstream } from "../../src/exchange/transport/upstream-grpc.ts";
import { numbered, numberOf, openCall, settledValue } from "./stream-support.ts";
import { metadata, pairs, rawMethod, scheduler, startGrpcServer, within } from "./support.ts";

type Duplex = ServerDuplexStream<Buffer, Buffer>;

const path = "/city.v1.Registry/Follow";
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function connector(port: number): UpstreamConnector {
  const made = createGrpcUpstream({ host: "127.0.0.1", port, scheduler });
  cleanups.push(() => made.close());
  return made;
}

async function stockServer(handler: (call: Duplex) => void): Promise<number> {
  const { port, server } = await startGrpcServer(
    rawMethod(path, { request: true, response: true }),
    (call: Duplex) => {
      call.on("error", () => {});
      handler(call);
    },
  );
  cleanups.push(() => server.forceShutdown());
  return port;
}

async function stock(handler: (call: Duplex) => void): Promise<UpstreamConnector> {
  return connector(await stockServer(handler));
}

// Writes whatever is read, and ends when the caller does.
function echo(call: Duplex): void {
  call.on("data", (message: Buffer) => {
    if (call.write(message)) return;
    call.pause();
    call.once("drain", () => call.resume());
  });
  call.on("end", () => call.end());
}

describe("a stream of the upstream connector against a stock grpc-js server", () => {
  it("is a unary call when one message goes each way", async () => {
    const upstream = await stock(echo);
    for (const length of [0, 1, 3 * 1024 * 1024]) {
      const { heard, stream } = openCall(upstream, path);
      const message = Buffer.alloc(length, 7);
      void stream.write(message);
      stream.halfClose();
      assert.equal((await heard.status()).code, 0);
      assert.deepEqual(heard.calls, ["headers", "message", "end"]);
      assert.ok(Buffer.compare(heard.messages[0] as Uint8Array, message) === 0);
    }
  });

  it("is limited by what the call allows, up to the bound of a configuration", async () => {
    const upstream = await stock((call) => {
      call.on("data", () => call.write(Buffer.alloc(20 * 1024 * 1024, 3)));
      call.on("end", () => call.end());
    });
    const answer = await upstream.callUnary({
      path,
      headers: metadata(),
      message: new Uint8Array(1),
      timeoutMs: undefined,
      answerBytesMax: callMessageBytesBound,
      signal: new AbortController().signal,
    });
    assert.equal(answer.messages[0]?.length, 20 * 1024 * 1024);
    const { heard, stream } = openCall(upstream, path, { messageBytesMax: 20 * 1024 * 1024 - 1 });
    void stream.write(new Uint8Array(1));
    assert.equal((await heard.error()).code, "MESSAGE_TOO_LARGE");
  });

  it("is a client stream: many messages, one answer", async () => {
    let count = 0;
    const upstream = await stock((call) => {
      call.on("data", () => count++);
      call.on("end", () => {
        call.write(numbered(count));
        call.end();
      });
    });
    const { heard, stream } = openCall(upstream, path);
    for (let i = 0; i < 500; i++) await stream.write(numbered(i, 1 + (i % 3000)));
    stream.halfClose();
    await heard.status();
    assert.deepEqual(heard.messages.map(numberOf), [500]);
  });

  it("is a server stream of ten thousand small messages in their order", async () => {
    const upstream = await stock((call) => {
      for (let i = 0; i < 10_000; i++) call.write(numbered(i));
      call.end();
    });
    const { heard, stream } = openCall(upstream, path);
    stream.halfClose();
    assert.equal((await heard.status()).code, 0);
    assert.deepEqual(
      heard.messages.map(numberOf),
      Array.from({ length: 10_000 }, (_, i) => i),
    );
  });

  it("plays ping-pong", async () => {
    const { heard, stream } = openCall(await stock(echo), path);
    for (let i = 0; i < 200; i++) {
      await stream.write(numbered(i, i * 10));
      await heard.untilMessages(i + 1);
    }
    stream.halfClose();
    await heard.status();
    assert.deepEqual(
      heard.messages.map((message) => message.length),
      Array.from({ length: 200 }, (_, i) => Math.max(i * 10, 4)),
    );
  });

  it("hears headers before anything is written, and messages of a server that speaks first", async () => {
    const upstream = await stock((call) => {
      const headers = new GrpcMetadata();
      headers.add("x-early-bin", Buffer.from([1]));
      headers.add("x-early-bin", Buffer.from([2, 3]));
      call.sendMetadata(headers);
      call.once("data", () => call.end());
      setImmediate(() => call.write(numbered(1)));
    });
    const { heard, stream } = openCall(upstream, path);
    await heard.until(() => heard.headers !== undefined);
    assert.deepEqual(
      pairs(heard.headers).filter(([key]) => key === "x-early-bin"),
      [
        ["x-early-bin", "01"],
        ["x-early-bin", "0203"],
      ],
    );
    await heard.untilMessages(1);
    void stream.write(numbered(2));
    await heard.status();
    assert.deepEqual(heard.calls, ["headers", "message", "end"]);
  });

  it("carries metadata with its doubles, and a status with Unicode, white space and details", async () => {
    let seen: GrpcMetadata | undefined;
    const message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n";
    const details = Uint8Array.of(8, 9, 18, 0);
    const upstream = await stock((call) => {
      seen = call.metadata;
      call.write(numbered(1));
      const trailers = new GrpcMetadata();
      trailers.set("grpc-status-details-bin", Buffer.from(details));
      trailers.add("x-end", "2");
      trailers.add("x-end", "1");
      call.emit("error", { code: 9, details: message, metadata: trailers });
    });
    const headers = metadata([
      ["x-many", "b"],
      ["x-many", "a"],
      ["x-some-bin", Uint8Array.of(0)],
      ["x-some-bin", Uint8Array.of(255, 1)],
    ]);
    const { heard } = openCall(upstream, path, { headers });
    const status = await heard.status();
    assert.equal(status.code, 9);
    assert.equal(parseUtf8(status.message), message);
    assert.deepEqual(status.details, details);
    assert.deepEqual(pairs(status.trailers), [
      ["x-end", "2"],
      ["x-end", "1"],
    ]);
    assert.deepEqual(heard.calls, ["headers", "message", "end"]);
    assert.deepEqual(seen?.get("x-many"), ["b, a"]);
    assert.deepEqual(seen.get("x-some-bin"), [Buffer.of(0), Buffer.of(255, 1)]);
  });

  it("hears no headers of an upstream that ends without them", async () => {
    const { heard } = openCall(await stock(echo), "/city.v1.Registry/Unknown");
    assert.equal((await heard.status()).code, 12);
    assert.deepEqual(heard.calls, ["end"]);
  });

  it("goes on sending after the upstream's messages, and hears on after its own half-close", async () => {
    const upstream = await stock((call) => {
      let count = 0;
      call.on("data", () => count++);
      call.on("end", () => {
        call.write(numbered(count));
        setImmediate(() => {
          call.write(numbered(count + 1));
          call.end();
        });
      });
      call.write(numbered(0));
    });
    const { heard, stream } = openCall(upstream, path);
    await heard.untilMessages(1);
    await stream.write(numbered(1));
    await stream.write(numbered(2));
    stream.halfClose();
    await heard.status();
    assert.deepEqual(heard.messages.map(numberOf), [0, 2, 3]);
  });

  it("ends when the upstream ends first, and what is written then goes nowhere", async () => {
    const upstream = await stock((call) => call.end());
    const { heard, stream } = openCall(upstream, path);
    assert.equal((await heard.status()).code, 0);
    await within(1000, "a write", stream.write(Buffer.alloc(1_000_000)));
    stream.halfClose();
    stream.take(false);
    stream.take(true);
    assert.deepEqual(heard.calls, ["end"]);
  });
});

describe("back-pressure of the upstream connector", () => {
  const messageBytes = 16 * 1024;

  it("holds up an upstream whose messages are not taken, and loses none of them", async () => {
    let written = 0;
    const count = 400;
    const upstream = await stock((call) => {
      void (async () => {
        for (let i = 0; i < count; i++) {
          if (!call.write(numbered(i, messageBytes))) {
            await new Promise((resolve) => call.once("drain", resolve));
          }
          written++;
        }
        call.end();
      })();
    });
    const { heard, stream } = openCall(upstream, path);
    await heard.untilMessages(3);
    stream.take(false);
    const held = await settledValue(() => written);
    const taken = heard.messages.length;
    // What is between them: the window, and what grpc-js and the sockets keep.
    assert.ok(
      (held - taken) * messageBytes < http2StreamWindowBytes + 512 * 1024,
      `${held - taken}`,
    );
    assert.equal(await settledValue(() => heard.messages.length), taken);
    stream.take(true);
    await heard.status();
    assert.deepEqual(
      heard.messages.map(numberOf),
      Array.from({ length: count }, (_, i) => i),
    );
  });

  it("holds up a writer whose upstream does not read, until it does", async () => {
    let resume = (): void => {};
    const upstream = await stock((call) => {
      let got = 0;
      call.on("data", () => got++);
      call.pause();
      resume = () => call.resume();
      call.on("end", () => {
        call.write(numbered(got));
        call.end();
      });
    });
    const { heard, stream } = openCall(upstream, path);
    let accepted = 0;
    const count = 400;
    const writing = (async () => {
      for (let i = 0; i < count; i++) {
        await stream.write(numbered(i, messageBytes));
        accepted++;
      }
      stream.halfClose();
    })();
    const held = await settledValue(() => accepted);
    const bytesMax = http2StreamWindowBytes + http2WriteBytesMax + 4 * messageBytes;
    assert.ok(held * messageBytes <= bytesMax, `${held} messages were accepted`);
    resume();
    await writing;
    await heard.status();
    assert.deepEqual(heard.messages.map(numberOf), [count]);
  });

  it("gives messages one at a time to who takes one at a time", async () => {
    const upstream = await stock((call) => {
      for (let i = 0; i < 100; i++) call.write(numbered(i));
      call.end();
    });
    const { heard, stream } = openCall(upstream, path);
    heard.onMessage = function (message) {
      stream.take(false);
      this.messages.push(message);
      setImmediate(() => stream.take(true));
    };
    await heard.status();
    assert.equal(heard.messages.length, 100);
  });

  it("tells the end to who takes nothing, once nothing is left to be taken", async () => {
    const upstream = await stock((call) => {
      call.once("data", () => call.end());
      call.write(numbered(1));
    });
    const { heard, stream } = openCall(upstream, path);
    await heard.untilMessages(1);
    stream.take(false);
    void stream.write(numbered(2));
    assert.equal((await within(1000, "the end", heard.status())).code, 0);
  });

  it("keeps messages that were not taken when the upstream ends, and the status behind them", async () => {
    const upstream = await stock((call) => {
      call.once("data", () => {
        for (let i = 0; i < 50; i++) call.write(numbered(i, 1000));
        call.end();
      });
      call.sendMetadata(new GrpcMetadata());
    });
    const { heard, stream } = openCall(upstream, path);
    await heard.until(() => heard.headers !== undefined);
    stream.take(false);
    void stream.write(numbered(0));
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(heard.calls, ["headers"]);
    stream.take(true);
    await heard.status();
    assert.equal(heard.messages.length, 50);
  });
});

describe("the end of a stream of the upstream connector", () => {
  it("calls nothing before open has returned, even when everything is wrong", async () => {
    const upstream = await stock(echo);
    const opened = openCall(upstream, path, { signal: AbortSignal.abort() });
    assert.deepEqual(opened.heard.calls, []);
    assert.equal((await opened.heard.error()).code, "CANCELLED");
    const headers = metadata([["X-Upper", "not to be sent"]]);
    await openCall(upstream, path).heard.until(() => true);
    const malformed = openCall(upstream, path, { headers });
    assert.deepEqual(malformed.heard.calls, []);
    assert.equal((await malformed.heard.error()).code, "PROTOCOL_ERROR");
  });

  it("is a cancellation at the upstream, whatever the phase", async () => {
    let arrived = 0;
    let cancelled = 0;
    const upstream = await stock((call) => {
      arrived++;
      call.on("cancelled", () => cancelled++);
      echo(call);
    });
    // The connection is made first: a call that was cancelled before it never leaves.
    const first = openCall(upstream, path);
    first.stream.halfClose();
    await first.heard.status();
    arrived = 0;

    const phases: ((opened: ReturnType<typeof openCall>) => Promise<unknown>)[] = [
      async () => {
        const before = arrived;
        while (arrived === before) await new Promise((resolve) => setTimeout(resolve, 1));
      },
      async ({ heard, stream }) => {
        void stream.write(numbered(1));
        await heard.untilMessages(1);
      },
      async ({ heard, stream }) => {
        void stream.write(numbered(1));
        await heard.untilMessages(1);
        stream.take(false);
        for (let i = 0; i < 100; i++) void stream.write(Buffer.alloc(20_000));
        await new Promise((resolve) => setTimeout(resolve, 30));
      },
    ];
    for (const [index, phase] of phases.entries()) {
      const opened = openCall(upstream, path);
      await phase(opened);
      const heardBefore = opened.heard.calls.length;
      opened.abort.abort(new CausewayError("GRANT_REVOKED", "revoked"));
      assert.equal((await opened.heard.error()).code, "GRANT_REVOKED");
      assert.equal(opened.heard.calls.length, heardBefore + 1);
      while (cancelled <= index) await new Promise((resolve) => setTimeout(resolve, 2));
    }
  });

  it("does not look like a complete request when it was broken off", async () => {
    const told: string[] = [];
    const server = createServer();
    server.on("stream", (stream: ServerHttp2Stream) => {
      for (const event of ["error", "aborted", "end"]) stream.on(event, () => told.push(event));
      stream.resume();
      stream.respond({ ":status": 200, "content-type": "application/grpc" });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    for (const length of [10, 1_000_000]) {
      const { heard, stream, abort } = openCall(connector(port), path);
      await heard.until(() => heard.headers !== undefined);
      void stream.write(Buffer.alloc(length));
      abort.abort();
      assert.equal((await heard.error()).code, "CANCELLED");
      while (told.length < 2) await new Promise((resolve) => setTimeout(resolve, 2));
      assert.deepEqual(told.splice(0), ["aborted", "end"]);
    }
  });

  it("is DEADLINE on a sleeping upstream, which is told", async () => {
    let deadlineMs = 0;
    const cancelled = new Promise<void>((resolve) => {
      void stock((call) => {
        deadlineMs = Number(call.getDeadline()) - Date.now();
        call.on("cancelled", resolve);
      }).then((upstream) => {
        const { heard } = openCall(upstream, path, { timeoutMs: 80 });
        return heard.error().then((error) => assert.equal(error.code, "DEADLINE"));
      });
    });
    await within(2000, "cancellation", cancelled);
    assert.ok(deadlineMs > 0 && deadlineMs <= 80, `${deadlineMs}`);
  });

  it("is MESSAGE_TOO_LARGE after the messages before, and the upstream is told", async () => {
    const cancelled = new Promise<void>((resolve) => {
      void stock((call) => {
        call.on("cancelled", resolve);
        for (const length of [10, 1000, 1001, 10]) call.write(numbered(length, length));
      }).then(async (upstream) => {
        const { heard } = openCall(upstream, path, { messageBytesMax: 1000 });
        assert.equal((await heard.error()).code, "MESSAGE_TOO_LARGE");
        assert.deepEqual(heard.messages.map(numberOf), [10, 1000]);
      });
    });
    await within(2000, "cancellation", cancelled);
  });

  it("is UPSTREAM_UNAVAILABLE, sent, when the connection is killed in mid-stream", async () => {
    const port = await stockServer(echo);
    const sockets: Socket[] = [];
    const proxy = createTcpServer((inward) => {
      const outward = connect(port, "127.0.0.1");
      sockets.push(inward, outward);
      for (const socket of [inward, outward]) socket.on("error", () => {});
      inward.pipe(outward).pipe(inward);
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => proxy.close());
    const upstream = connector((proxy.address() as AddressInfo).port);
    const { heard, stream } = openCall(upstream, path);
    await stream.write(numbered(1));
    await heard.untilMessages(1);
    for (const socket of sockets) socket.resetAndDestroy();
    const error = await heard.error();
    assert.equal(error.code, "UPSTREAM_UNAVAILABLE");
    assert.deepEqual(error.fields, { sent: "yes" });
    await within(1000, "a write", stream.write(Buffer.alloc(1_000_000)));
  });

  it("is UPSTREAM_UNAVAILABLE, not sent, with nobody there", async () => {
    const server = createTcpServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const { heard, stream } = openCall(connector(port), path);
    const writing = stream.write(numbered(1));
    stream.halfClose();
    const error = await heard.error();
    assert.equal(error.code, "UPSTREAM_UNAVAILABLE");
    assert.deepEqual(error.fields, { sent: "no" });
    await within(1000, "the write", writing);
  });
});

describe("a stream of the upstream connector against a server that misbehaves", () => {
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

  const answers: readonly [string, number, (stream: ServerHttp2Stream) => void][] = [
    ["no status", 13, (stream) => stream.respond(grpc, { endStream: true })],
    [
      "a message and no status",
      13,
      (stream) => {
        stream.respond(grpc);
        stream.end(frameMessage(new Uint8Array(1)));
      },
    ],
    [
      "HTML with HTTP 200",
      2,
      (stream) => {
        stream.respond({ ":status": 200, "content-type": "text/html" });
        stream.write("<html>that never ends");
      },
    ],
    [
      "HTTP 503",
      14,
      (stream) => {
        stream.respond({ ":status": 503 });
        stream.write("wait");
      },
    ],
    ["RST_STREAM REFUSED_STREAM", 14, (stream) => stream.close(7)],
    [
      "RST_STREAM ENHANCE_YOUR_CALM behind headers",
      8,
      (stream) => {
        stream.respond(grpc);
        setImmediate(() => stream.close(11));
      },
    ],
    [
      "a status alone",
      5,
      (stream) => stream.respond({ ...grpc, "grpc-status": "5" }, { endStream: true }),
    ],
    [
      "a status in headers that do not end the stream",
      5,
      (stream) => {
        stream.respond({ ...grpc, "grpc-status": "5" });
        stream.end();
      },
    ],
  ];
  for (const [what, code, answer] of answers) {
    it(`gives ${what} the status ${code}`, async () => {
      const { heard } = openCall(await odd(answer), path);
      assert.equal((await within(2000, "the end", heard.status())).code, code);
    });
  }

  it("is PROTOCOL_ERROR for a message that is cut off before an OK", async () => {
    const upstream = await odd((stream) => {
      stream.respond(grpc, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(frameMessage(new Uint8Array(9)).subarray(0, 8));
    });
    const { heard } = openCall(upstream, path);
    assert.equal((await heard.error()).code, "PROTOCOL_ERROR");
  });

  it("keeps what came before a reset, also while it is not taken", async () => {
    const upstream = await odd((stream) => {
      stream.respond(grpc);
      for (let i = 0; i < 20; i++) stream.write(frameMessage(numbered(i, 1000)));
      setTimeout(() => stream.close(11), 30);
    });
    const { heard, stream } = openCall(upstream, path);
    await heard.untilMessages(1);
    stream.take(false);
    const taken = heard.messages.length;
    await new Promise((resolve) => setTimeout(resolve, 80));
    if (taken < 20) assert.equal(heard.outcome, undefined);
    stream.take(true);
    assert.equal((await within(1000, "the status", heard.status())).code, 8);
    assert.deepEqual(
      heard.messages.map(numberOf),
      Array.from({ length: 20 }, (_, i) => i),
    );
  });

  it("keeps an answer whose stream is reset behind its status, before anything was taken", async () => {
    const upstream = await odd((stream) => {
      stream.respond(grpc, { waitForTrailers: true });
      stream.on("wantTrailers", () => {
        stream.sendTrailers({ "grpc-status": "0" });
        setImmediate(() => stream.close(8));
      });
      for (let i = 0; i < 60; i++) stream.write(frameMessage(numbered(i, 3000)));
      stream.end();
    });
    const { heard, stream } = openCall(upstream, path);
    stream.take(false);
    await new Promise((resolve) => setTimeout(resolve, 80));
    stream.take(true);
    assert.equal((await within(1000, "the status", heard.status())).code, 0);
    assert.equal(heard.messages.length, 60);
  });
});
