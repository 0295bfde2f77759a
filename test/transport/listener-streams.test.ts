import assert from "node:assert/strict";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from "node:net";
import { addAbortSignal } from "node:stream";
import { afterEach, describe, it } from "node:test";
import { type Client, Metadata as GrpcMetadata, status } from "@grpc/grpc-js";
import {
  answerWriteBytesMax,
  callMessageBytesBound,
  http2SessionWindowBytes,
  http2StreamWindowBytes,
} from "../../src/base/limits.ts";
import { CausewayError } from "../../src/base/errors.ts";
import {
  type Http2Listener,
  type Http2ListenerOptions,
  listenHttp2,
} from "../../src/exchange/transport/http2-listener.ts";
import { frameMessage } from "../../src/exchange/transport/framing.ts";
import type { IncomingCall } from "../../src/exchange/transport/ports.ts";
import { statusOf } from "../../src/exchange/status.ts";
import { numbered, numberOf, settledValue, statusOfStock, stockStream } from "./stream-support.ts";
import { metadata, plainClient, scheduler, statusFrame, within } from "./support.ts";

const path = "/city.v1.Registry/Follow";
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

type Handler = (call: IncomingCall) => void | Promise<void>;

async function listen(
  handler: Handler,
  options: Partial<Http2ListenerOptions> = {},
): Promise<Http2Listener> {
  const onCall = (call: IncomingCall): void => {
    Promise.resolve(handler(call)).catch((error: unknown) => {
      if (!(error instanceof CausewayError)) throw error;
      call.end(statusOf(error.code));
    });
  };
  const listener = await listenHttp2({ host: "127.0.0.1", port: 0, scheduler, onCall, ...options });
  cleanups.push(() => listener.close(0));
  return listener;
}

function client(port: number): Client {
  const made = plainClient(port, { "grpc.max_receive_message_length": -1 });
  cleanups.push(() => made.close());
  return made;
}

function session(port: number): ClientHttp2Session {
  const made = connect(`http://127.0.0.1:${port}`);
  made.on("error", () => {});
  cleanups.push(() => made.destroy());
  return made;
}

function rawStream(port: number): ClientHttp2Stream {
  const stream = session(port).request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {});
  return stream;
}

async function echo(call: IncomingCall): Promise<void> {
  for (let m = await call.read(); m !== undefined; m = await call.read()) await call.sendMessage(m);
  call.end(statusFrame(0));
}

/** Resolves with the error that reading ends with. */
async function readToFailure(call: IncomingCall): Promise<string> {
  try {
    while ((await call.read()) !== undefined);
    return "half-closed";
  } catch (error) {
    return (error as CausewayError).code;
  }
}

describe("streams of a stock grpc-js client on the agency listener", () => {
  it("take many messages and give one", async () => {
    const { port } = await listen(async (call) => {
      let sum = 0;
      for (let m = await call.read(); m !== undefined; m = await call.read()) sum += numberOf(m);
      call.answer(metadata(), [numbered(sum)], statusFrame(0));
    });
    const call = stockStream(client(port), path);
    const answers: Buffer[] = [];
    call.on("data", (message: Buffer) => answers.push(message));
    for (let i = 0; i < 1000; i++) call.write(numbered(i));
    call.end();
    assert.equal((await statusOfStock(call)).code, 0);
    assert.deepEqual(answers.map(numberOf), [499_500]);
  });

  it("take one message and give ten thousand in their order", async () => {
    const { port } = await listen(async (call) => {
      await call.read();
      for (let i = 0; i < 10_000; i++) await call.sendMessage(numbered(i));
      call.end(statusFrame(0));
    });
    const call = stockStream(client(port), path);
    let next = 0;
    call.on("data", (message: Buffer) => assert.equal(numberOf(message), next++));
    call.end(numbered(0));
    assert.equal((await statusOfStock(call)).code, 0);
    assert.equal(next, 10_000);
  });

  it("take and give ten thousand small messages both ways", async () => {
    const { port } = await listen(echo);
    const call = stockStream(client(port), path);
    let next = 0;
    call.on("data", (message: Buffer) => assert.equal(numberOf(message), next++));
    for (let i = 0; i < 10_000; i++) call.write(numbered(i));
    call.end();
    assert.equal((await statusOfStock(call)).code, 0);
    assert.equal(next, 10_000);
  });

  it("may say nothing at all, and be read long after that", async () => {
    const { port } = await listen(async (call) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.equal(await call.read(), undefined);
      assert.equal(await call.read(), undefined);
      call.end(statusFrame(0));
    });
    const call = stockStream(client(port), path);
    call.resume();
    call.end();
    assert.equal((await within(2000, "the status", statusOfStock(call))).code, 0);
  });

  it("carry empty messages and large ones", async () => {
    const { port } = await listen(echo);
    const call = stockStream(client(port), path);
    const sizes: number[] = [];
    call.on("data", (message: Buffer) => sizes.push(message.length));
    const sent = [0, 3 * 1024 * 1024, 0, 0, 100_000, 4 * 1024 * 1024];
    for (const size of sent) call.write(Buffer.alloc(size));
    call.end();
    assert.equal((await statusOfStock(call)).code, 0);
    assert.deepEqual(sizes, sent);
  });

  it("hear headers, messages and a status before they have said anything", async () => {
    const { port } = await listen(async (call) => {
      call.sendHeaders(
        metadata([
          ["x-first", "1"],
          ["x-first-bin", Uint8Array.of(1, 2)],
        ]),
      );
      await call.sendMessage(numbered(1));
      await call.sendMessage(numbered(2));
      call.end(statusFrame(0, "", { trailers: metadata([["x-last", "3"]]) }));
    });
    const call = stockStream(client(port), path);
    const heard: unknown[] = [];
    call.on("metadata", (headers: GrpcMetadata) => heard.push(...headers.get("x-first-bin")));
    call.on("data", (message: Buffer) => heard.push(numberOf(message)));
    const ended = await statusOfStock(call);
    assert.deepEqual(heard, [Buffer.of(1, 2), 1, 2]);
    assert.deepEqual(ended.metadata.get("x-last"), ["3"]);
  });

  it("get headers alone while the first message takes its time", async () => {
    const { port } = await listen(async (call) => {
      call.sendHeaders(metadata([["x-first", "1"]]));
      await call.read();
      call.end(statusFrame(0));
    });
    const call = stockStream(client(port), path);
    call.resume();
    await new Promise((resolve) => call.once("metadata", resolve));
    call.end(numbered(1));
    assert.equal((await statusOfStock(call)).code, 0);
  });

  it("are heard on after the answer is complete only by its status", async () => {
    const { port } = await listen((call) => call.end(statusFrame(9, "enough")));
    const call = stockStream(client(port), path);
    call.resume();
    for (let i = 0; i < 50; i++) call.write(Buffer.alloc(20_000));
    const ended = await statusOfStock(call);
    assert.deepEqual([ended.code, ended.details], [9, "enough"]);
  });

  it("are answered RESOURCE_EXHAUSTED for a message above the limit, behind those before it", async () => {
    const read: number[] = [];
    const { port } = await listen(
      async (call) => {
        for (let m = await call.read(); m !== undefined; m = await call.read()) read.push(m.length);
        call.end(statusFrame(0));
      },
      { messageBytesMax: 1000 },
    );
    const call = stockStream(client(port), path);
    call.resume();
    for (const size of [1000, 5, 1001, 6]) call.write(Buffer.alloc(size));
    assert.equal((await statusOfStock(call)).code, status.RESOURCE_EXHAUSTED);
    assert.deepEqual(read, [1000, 5]);
  });

  it("may carry the largest messages that a configuration can allow", async () => {
    const { port } = await listen(echo, { messageBytesMax: callMessageBytesBound });
    const call = stockStream(client(port), path);
    let length = 0;
    call.on("data", (message: Buffer) => (length = message.length));
    call.end(Buffer.alloc(20 * 1024 * 1024));
    assert.equal((await statusOfStock(call)).code, 0);
    assert.equal(length, 20 * 1024 * 1024);
    for (const messageBytesMax of [0, -1, Number.NaN, callMessageBytesBound + 1]) {
      await assert.rejects(listen(echo, { messageBytesMax }), RangeError);
    }
  });
});

describe("back-pressure of the agency listener", () => {
  const messageBytes = 16 * 1024;

  it("holds up a caller that is not read, and loses nothing", async () => {
    let resume = (): void => {};
    const read: number[] = [];
    const { port } = await listen(async (call) => {
      read.push(numberOf((await call.read()) as Uint8Array));
      await new Promise<void>((resolve) => (resume = resolve));
      for (let m = await call.read(); m !== undefined; m = await call.read()) {
        read.push(numberOf(m));
      }
      call.end(statusFrame(0));
    });
    const stream = rawStream(port);
    stream.resume();
    let written = 0;
    const count = 200;
    for (let i = 0; i < count; i++) {
      stream.write(frameMessage(numbered(i, messageBytes)), () => written++);
    }
    stream.end();
    await within(
      2000,
      "the first message",
      until(() => read.length === 1),
    );
    const held = await settledValue(() => written);
    const bytesMax = http2StreamWindowBytes + 4 * messageBytes;
    assert.ok(held * messageBytes <= bytesMax, `${held} messages left the caller`);
    assert.deepEqual(read, [0]);
    resume();
    await within(5000, "the end", new Promise((resolve) => stream.once("close", resolve)));
    assert.deepEqual(
      read,
      Array.from({ length: count }, (_, i) => i),
    );
  });

  it("is held up by a caller that does not read", async () => {
    let accepted = 0;
    const count = 200;
    const { port } = await listen(async (call) => {
      for (let i = 0; i < count; i++) {
        await call.sendMessage(numbered(i, messageBytes));
        accepted++;
      }
      call.end(statusFrame(0));
    });
    const stream = rawStream(port);
    let bytes = 0;
    await new Promise((resolve) => stream.once("response", resolve));
    const held = await settledValue(() => accepted);
    // This client's own window, and what the listener keeps.
    const bytesMax = 65_535 + answerWriteBytesMax + 4 * messageBytes;
    assert.ok(held * messageBytes <= bytesMax, `${held} messages were accepted`);
    stream.on("data", (chunk: Buffer) => (bytes += chunk.length));
    stream.end();
    await within(5000, "the end", new Promise((resolve) => stream.once("close", resolve)));
    assert.equal(bytes, count * (messageBytes + 5));
  });

  it("says of each message that it has left, and of none that was given up", async () => {
    const count = 200;
    let written = 0;
    let sent = 0;
    const { port } = await listen(async (call) => {
      let isGone = false;
      call.onCancelled(() => (isGone = true));
      for (let i = 0; i < count && !isGone; i++) {
        await call.sendMessage(numbered(i, messageBytes), () => written++);
        sent++;
      }
      if (!isGone) call.end(statusFrame(0));
    });
    const read = rawStream(port);
    read.resume();
    read.end();
    await within(5000, "the end", new Promise((resolve) => read.once("close", resolve)));
    assert.equal(written, count);
    written = 0;
    sent = 0;
    const unread = rawStream(port);
    await new Promise((resolve) => unread.once("response", resolve));
    await settledValue(() => sent);
    const left = written;
    assert.ok(left < sent);
    unread.close(constants.NGHTTP2_CANCEL);
    await settledValue(() => sent);
    assert.equal(written, left);
  });

  it("holds streams up and not their neighbours, even when their windows fill the connection's", async () => {
    const { port } = await listen((call) => (call.path === path ? undefined : echo(call)));
    const caller = client(port);
    const windows = Math.ceil(http2SessionWindowBytes / http2StreamWindowBytes) + 4;
    const held = Array.from({ length: windows }, () => stockStream(caller, path));
    for (const stream of held) stream.write(Buffer.alloc(http2StreamWindowBytes + messageBytes));
    const other = stockStream(caller, "/city.v1.Registry/Other");
    let bytes = 0;
    other.on("data", (message: Buffer) => (bytes += message.length));
    for (let i = 0; i < 100; i++) other.write(Buffer.alloc(messageBytes));
    other.end();
    assert.equal((await within(5000, "the neighbour", statusOfStock(other))).code, 0);
    assert.equal(bytes, 100 * messageBytes);
    for (const stream of held) stream.cancel();
  });
});

describe("cancellation on the agency listener", () => {
  const phases: readonly [string, Handler][] = [
    ["before anything is read", () => {}],
    ["while a read waits", async (call) => void (await call.read().then(() => call.read()))],
    [
      "while more has come than is read",
      async (call) => {
        await call.read();
      },
    ],
    [
      "behind headers",
      async (call) => {
        await call.read();
        call.sendHeaders(metadata());
      },
    ],
    [
      "while the answer is held up",
      async (call) => {
        for (let i = 0; i < 100; i++) await call.sendMessage(Buffer.alloc(20_000));
        call.end(statusFrame(0));
      },
    ],
    [
      "while the status waits behind messages that are held up",
      (call) => {
        const messages = Array.from({ length: 100 }, () => Buffer.alloc(20_000));
        call.answer(metadata(), messages, statusFrame(0));
      },
    ],
  ];
  for (const halfClosed of [false, true]) {
    for (const [phase, handler] of phases) {
      const when = `${phase}, ${halfClosed ? "after" : "without"} the caller's half-close`;
      it(`is told once ${when}`, async () => {
        let told = 0;
        let arrived: IncomingCall | undefined;
        const { port } = await listen((call) => {
          arrived = call;
          call.onCancelled(() => told++);
          return handler(call);
        });
        const stream = rawStream(port);
        for (let i = 0; i < 10; i++) stream.write(frameMessage(numbered(i, 10_000)));
        if (halfClosed) stream.end();
        await within(
          2000,
          "the call",
          until(() => arrived !== undefined),
        );
        await new Promise((resolve) => setTimeout(resolve, 30));
        assert.equal(told, 0);
        stream.close(constants.NGHTTP2_CANCEL);
        await within(
          1000,
          "the cancellation",
          until(() => told === 1),
        );
        await within(1000, "a message", (arrived as IncomingCall).sendMessage(Buffer.alloc(1)));
        (arrived as IncomingCall).end(statusFrame(0));
        const late = new Promise<void>((resolve) => (arrived as IncomingCall).onCancelled(resolve));
        await within(1000, "a late listener", late);
        assert.equal(told, 1);
      });
    }
  }

  it("ends reading with CANCELLED, behind what was received", async () => {
    const outcome = new Promise<string>((resolve) => {
      void listen(async (call) => resolve(await readToFailure(call))).then(({ port }) => {
        const stream = rawStream(port);
        stream.write(frameMessage(numbered(1)));
        // `close` would half-close first.
        setTimeout(() => addAbortSignal(AbortSignal.abort(), stream), 30);
      });
    });
    assert.equal(await within(2000, "the reads", outcome), "CANCELLED");
  });

  it("comes from a connection that is killed in mid-stream", async () => {
    let told = 0;
    const reads: Promise<string>[] = [];
    const { port } = await listen(async (call) => {
      call.onCancelled(() => told++);
      reads.push(readToFailure(call));
      await call.sendMessage(numbered(1));
    });
    const sockets: Socket[] = [];
    const proxy = createServer((inward) => {
      const outward = connectTcp(port, "127.0.0.1");
      sockets.push(inward, outward);
      for (const socket of [inward, outward]) socket.on("error", () => {});
      inward.pipe(outward).pipe(inward);
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => proxy.close());
    const caller = client((proxy.address() as AddressInfo).port);
    const calls = Array.from({ length: 5 }, () => stockStream(caller, path));
    await Promise.all(calls.map((call) => new Promise((resolve) => call.once("data", resolve))));
    const ended = Promise.all(calls.map(statusOfStock));
    for (const socket of sockets) socket.resetAndDestroy();
    assert.deepEqual(
      (await ended).map(({ code }) => code),
      calls.map(() => status.UNAVAILABLE),
    );
    await within(
      1000,
      "the cancellations",
      until(() => told === 5),
    );
    assert.deepEqual(
      await Promise.all(reads),
      calls.map(() => "CANCELLED"),
    );
  });

  it("comes from a stock client whose deadline has passed", async () => {
    let told = 0;
    const { port } = await listen((call) => call.onCancelled(() => told++));
    const call = stockStream(client(port), path, { deadlineMs: 60 });
    call.resume();
    assert.equal((await statusOfStock(call)).code, status.DEADLINE_EXCEEDED);
    await within(
      1000,
      "the cancellation",
      until(() => told === 1),
    );
  });

  it("is not told to a call whose status has left, however its caller ends", async () => {
    let told = 0;
    const { port } = await listen((call) => {
      call.onCancelled(() => told++);
      call.answer(metadata(), [numbered(1)], statusFrame(0));
    });
    for (let i = 0; i < 30; i++) {
      const stream = rawStream(port);
      stream.resume();
      await new Promise((resolve) => stream.once("trailers", resolve));
      stream.close(constants.NGHTTP2_CANCEL);
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(told, 0);
  });
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
