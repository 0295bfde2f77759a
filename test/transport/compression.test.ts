import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { connect, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, describe, it } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import { frameMessage } from "../../src/exchange/transport/framing.ts";
import { listenHttp2 } from "../../src/exchange/transport/http2-listener.ts";
import type { IncomingCall, UpstreamConnector } from "../../src/exchange/transport/ports.ts";
import { createGrpcUpstream } from "../../src/exchange/transport/upstream-grpc.ts";
import { openCall, statusOfStock, stockStream } from "./stream-support.ts";
import {
  grpcUnary,
  metadata,
  plainClient,
  rawMethod,
  scheduler,
  startGrpcServer,
  statusFrame,
  within,
} from "./support.ts";

const path = "/city.v1.Registry/Follow";
const gzipOfGrpcJs = { "grpc.default_compression_algorithm": 2 };
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function listen(onCall: (call: IncomingCall) => unknown): Promise<number> {
  const listener = await listenHttp2({ host: "127.0.0.1", port: 0, scheduler, onCall });
  cleanups.push(() => listener.close(0));
  return listener.port;
}

async function echo(call: IncomingCall): Promise<void> {
  for (let m = await call.read(); m !== undefined; m = await call.read()) void call.sendMessage(m);
  call.end(statusFrame(0));
}

interface RawAnswer {
  readonly headers: Record<string, unknown>;
  readonly status: string;
  /** Flag and bytes as they were on the wire. */
  readonly frames: readonly (readonly [number, Buffer])[];
}

function rawCall(port: number, headers: Record<string, string>, body: Buffer): Promise<RawAnswer> {
  const session = connect(`http://127.0.0.1:${port}`);
  cleanups.push(() => session.destroy());
  const stream = session.request({
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let answered: Record<string, unknown> = {};
    let status = "";
    stream.on("response", (fields) => {
      answered = fields;
      status = String(fields["grpc-status"]);
    });
    stream.on("trailers", (fields) => (status = String(fields["grpc-status"])));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("close", () =>
      resolve({ headers: answered, status, frames: cut(Buffer.concat(chunks)) }),
    );
    stream.end(body);
  });
}

function cut(bytes: Buffer): [number, Buffer][] {
  const frames: [number, Buffer][] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    frames.push([bytes[at] as number, bytes.subarray(at + 5, end)]);
    at = end;
  }
  return frames;
}

const text = (length: number): Buffer => Buffer.alloc(length, "the same words again ");
const zipped = (message: Buffer): Buffer => frameMessage(gzipSync(message), true);
const lengths = [0, 10, 500, 16 * 1024, 17 * 1024, 200_000, 3 * 1024 * 1024, 1000];

describe("compression on the agency listener", () => {
  it("answers in gzip who sends gzip and accepts it, message by message, in order", async () => {
    const port = await listen(echo);
    const headers = { "grpc-encoding": "gzip", "grpc-accept-encoding": "identity, gzip" };
    const body = Buffer.concat(lengths.map((length) => zipped(text(length))));
    const { headers: answered, frames, status } = await rawCall(port, headers, body);
    assert.equal(status, "0");
    assert.equal(answered["grpc-encoding"], "gzip");
    assert.equal(answered["grpc-accept-encoding"], "identity,gzip");
    assert.deepEqual(
      frames.map(([flag]) => flag),
      [0, 0, 1, 1, 1, 1, 1, 1],
    );
    for (const [index, [flag, bytes]] of frames.entries()) {
      const message = flag === 1 ? gunzipSync(bytes) : bytes;
      assert.ok(message.equals(text(lengths[index] as number)), `message ${index}`);
    }
  });

  it("answers plain who does not send gzip, or does not accept it", async () => {
    const port = await listen(echo);
    for (const [headers, body] of [
      [{ "grpc-accept-encoding": "gzip" }, frameMessage(text(500))],
      [{ "grpc-encoding": "identity", "grpc-accept-encoding": "gzip" }, frameMessage(text(500))],
      [{ "grpc-encoding": "gzip" }, zipped(text(500))],
      [{ "grpc-encoding": "gzip", "grpc-accept-encoding": "identity,deflate" }, zipped(text(500))],
    ] as const) {
      const { headers: answered, frames } = await rawCall(port, headers, body);
      assert.equal(answered["grpc-encoding"], undefined);
      assert.equal(answered["grpc-accept-encoding"], "identity,gzip");
      assert.deepEqual(frames, [[0, text(500)]]);
    }
  });

  it("sends as it is what gzip does not make shorter", async () => {
    const port = await listen(echo);
    const headers = { "grpc-encoding": "gzip", "grpc-accept-encoding": "gzip" };
    for (const hashes of [10, 2000]) {
      const digest = (_: unknown, i: number): Buffer => hash("sha256", String(i), "buffer");
      const random = Buffer.concat(Array.from({ length: hashes }, digest));
      const { frames } = await rawCall(port, headers, zipped(random));
      assert.deepEqual(frames, [[0, random]]);
    }
  });

  it("reads plain messages among compressed ones", async () => {
    const port = await listen(echo);
    const body = Buffer.concat([frameMessage(text(3)), zipped(text(300)), frameMessage(text(4))]);
    const { frames } = await rawCall(port, { "grpc-encoding": "gzip" }, body);
    assert.deepEqual(
      frames.map(([, bytes]) => bytes.length),
      [3, 300, 4],
    );
  });

  it("inflates one message at a time: many bombs in few bytes hold one of them in memory", async () => {
    let read = 0;
    let release = (): void => {};
    const port = await listen(async (call) => {
      await call.read();
      read++;
      await new Promise<void>((resolve) => (release = resolve));
      while ((await call.read()) !== undefined) read++;
      call.end(statusFrame(0));
    });
    const bomb = zipped(Buffer.alloc(4 * 1024 * 1024));
    const before = process.memoryUsage().arrayBuffers;
    const body = Buffer.concat(Array.from({ length: 40 }, () => bomb));
    const answer = rawCall(port, { "grpc-encoding": "gzip" }, body);
    while (read === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 100));
    const heldBytes = process.memoryUsage().arrayBuffers - before;
    assert.ok(heldBytes < 24 * 1024 * 1024, `${heldBytes} bytes`);
    release();
    assert.equal((await answer).status, "0");
    assert.equal(read, 40);
  });

  it("says which encodings it reads when it refuses another", async () => {
    const port = await listen((call) => {
      call.read().catch(() => call.end(statusFrame(12)));
    });
    const body = frameMessage(text(30), true);
    const { headers, status } = await rawCall(port, { "grpc-encoding": "snappy" }, body);
    assert.equal(status, "12");
    assert.equal(headers["grpc-accept-encoding"], "identity,gzip");
  });

  it("speaks gzip with a stock grpc-js client, unary and streaming", async () => {
    const port = await listen(echo);
    const client = plainClient(port, gzipOfGrpcJs);
    cleanups.push(() => client.close());
    const { response } = await grpcUnary(client, path, text(100_000));
    assert.ok(response?.equals(text(100_000)));
    const call = stockStream(client, path);
    const sizes: number[] = [];
    call.on("data", (message: Buffer) => sizes.push(message.length));
    for (const length of lengths) call.write(text(length));
    call.end();
    assert.equal((await statusOfStock(call)).code, 0);
    assert.deepEqual(sizes, lengths);
  });
});

describe("compression of the upstream connector", () => {
  async function stock(compression: "gzip" | "none"): Promise<UpstreamConnector> {
    const { port, server } = await startGrpcServer(
      rawMethod(path, { request: true, response: true }),
      (call: ServerDuplexStream<Buffer, Buffer>) => {
        call.on("data", (message: Buffer) => call.write(message));
        call.on("end", () => call.end());
      },
    );
    cleanups.push(() => server.forceShutdown());
    const upstream = createGrpcUpstream({ host: "127.0.0.1", port, scheduler, compression });
    cleanups.push(() => upstream.close());
    return upstream;
  }

  for (const compression of ["gzip", "none"] as const) {
    it(`speaks with a stock grpc-js server with the option ${compression}`, async () => {
      const upstream = await stock(compression);
      const { heard, stream } = openCall(upstream, path);
      for (const length of lengths) void stream.write(text(length));
      stream.halfClose();
      assert.equal((await within(5000, "the stream", heard.status())).code, 0);
      assert.deepEqual(
        heard.messages.map((message) => message.length),
        lengths,
      );
      for (const length of lengths) {
        const answer = await upstream.callUnary({
          path,
          headers: metadata(),
          message: text(length),
          timeoutMs: undefined,
          answerBytesMax: 4 * 1024 * 1024,
          signal: new AbortController().signal,
        });
        assert.equal(answer.status.code, 0);
        assert.ok(Buffer.compare(answer.messages[0] as Uint8Array, text(length)) === 0);
      }
    });
  }

  it("says what it reads and how it sends, and reads gzip", async () => {
    const requests: Record<string, unknown>[] = [];
    const flags: number[] = [];
    const server = createServer();
    server.on("stream", (stream: ServerHttp2Stream, headers) => {
      requests.push(headers);
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        flags.push(...cut(Buffer.concat(chunks)).map(([flag]) => flag));
        const grpc = {
          ":status": 200,
          "content-type": "application/grpc",
          "grpc-encoding": "gzip",
        };
        stream.respond(grpc, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
        for (const length of lengths) stream.write(zipped(text(length)));
        stream.end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    for (const compression of ["gzip", "none"] as const) {
      const upstream = createGrpcUpstream({ host: "127.0.0.1", port, scheduler, compression });
      cleanups.push(() => upstream.close());
      const { heard, stream } = openCall(upstream, path);
      void stream.write(text(1000));
      stream.halfClose();
      assert.equal((await heard.status()).code, 0);
      assert.deepEqual(
        heard.messages.map((message) => message.length),
        lengths,
      );
    }
    const said = requests.map((fields) => [
      fields["grpc-encoding"],
      fields["grpc-accept-encoding"],
    ]);
    assert.deepEqual(said, [
      ["gzip", "identity,gzip"],
      [undefined, "identity,gzip"],
    ]);
    assert.deepEqual(flags, [1, 0]);
  });

  it("refuses a bomb of the upstream, small or large", async () => {
    for (const length of [60_000, 50_000_000]) {
      const server = createServer();
      server.on("stream", (stream: ServerHttp2Stream) => {
        stream.on("error", () => {});
        const grpc = {
          ":status": 200,
          "content-type": "application/grpc",
          "grpc-encoding": "gzip",
        };
        stream.respond(grpc);
        stream.write(zipped(Buffer.alloc(length)));
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      cleanups.push(() => server.close());
      const { port } = server.address() as AddressInfo;
      const upstream = createGrpcUpstream({ host: "127.0.0.1", port, scheduler });
      cleanups.push(() => upstream.close());
      const { heard } = openCall(upstream, path, { messageBytesMax: 59_999 });
      assert.equal((await within(3000, "the refusal", heard.error())).code, "MESSAGE_TOO_LARGE");
    }
  });
});
