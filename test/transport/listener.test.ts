import assert from "node:assert/strict";
import { connect, type ClientHttp2Session, constants } from "node:http2";
import { connect as connectTcp } from "node:net";
import { Duplex } from "node:stream";
import { afterEach, describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import { type Client, Metadata as GrpcMetadata, status } from "@grpc/grpc-js";
import * as fc from "fast-check";
import { CausewayError } from "../../src/base/errors.ts";
import {
  type Http2Listener,
  type Http2ListenerOptions,
  listenHttp2,
} from "../../src/exchange/transport/http2-listener.ts";
import { frameMessage, MessageReader } from "../../src/exchange/transport/framing.ts";
import type { IncomingCall } from "../../src/exchange/transport/ports.ts";
import { readUnary } from "../../src/exchange/transport/read-unary.ts";
import { statusOf } from "../../src/exchange/status.ts";
import {
  createIdentity,
  type Identity,
  grpcUnary,
  metadata,
  pairs,
  peerTls,
  plainClient,
  tlsClient,
  scheduler,
  statusFrame,
  within,
} from "./support.ts";

const path = "/city.v1.Registry/Get";
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function listen(
  onCall: (call: IncomingCall) => void,
  options: Partial<Http2ListenerOptions> = {},
): Promise<Http2Listener> {
  const listener = await listenHttp2({ host: "127.0.0.1", port: 0, scheduler, onCall, ...options });
  cleanups.push(() => listener.close(0));
  return listener;
}

function client(port: number, options: object = {}): Client {
  const made = plainClient(port, options);
  cleanups.push(() => made.close());
  return made;
}

function session(port: number): ClientHttp2Session {
  const made = connect(`http://127.0.0.1:${port}`);
  made.on("error", () => {});
  cleanups.push(() => made.destroy());
  return made;
}

// Answers every call with its own message; what goes wrong is its status.
function echo(call: IncomingCall): void {
  readUnary(call).then(
    (message) => call.answer(metadata(), [message], statusFrame(0)),
    (error: CausewayError) => call.end(statusOf(error.code)),
  );
}

describe("the agency listener, called by a stock grpc-js client", () => {
  it("carries empty, small and large messages unchanged", async () => {
    const { port } = await listen(echo);
    const caller = client(port);
    for (const length of [0, 1, 500, 16 * 1024, 70_000, 3 * 1024 * 1024]) {
      const message = Buffer.alloc(length, length % 251);
      const { error, response } = await grpcUnary(caller, path, message);
      assert.equal(error, null);
      assert.ok(response?.equals(message), `${length} bytes`);
    }
  });

  it("gives any method path to the handler", async () => {
    const paths: string[] = [];
    const { port } = await listen((call) => {
      paths.push(call.path);
      call.end(statusOf("METHOD_UNKNOWN"));
    });
    const caller = client(port);
    for (const unknown of ["/a.B/C", "/nothing", "/x/y/z"]) {
      const { error } = await grpcUnary(caller, unknown, Buffer.alloc(3));
      assert.equal(error?.code, status.UNIMPLEMENTED);
    }
    assert.deepEqual(paths, ["/a.B/C", "/nothing", "/x/y/z"]);
  });

  it("carries metadata both ways, with its order per key, text and -bin", async () => {
    let seen: [string, string][] = [];
    const { port } = await listen((call) => {
      seen = pairs(call.headers);
      const back = metadata([
        ["x-twice", "1"],
        ["x-twice", "2"],
        ["x-bin", Uint8Array.of(0, 255, 1)],
      ]);
      const trailers = metadata([["x-end-bin", Uint8Array.of(7)]]);
      void readUnary(call).then((m) => call.answer(back, [m], statusFrame(0, "", { trailers })));
    });
    const sent = new GrpcMetadata();
    for (const value of ["b", "a", "c"]) sent.add("x-order", value);
    for (const value of [[1, 2], [], [3]]) sent.add("x-order-bin", Buffer.from(value));
    const { headers, trailers } = await grpcUnary(client(port), path, Buffer.alloc(1), {
      metadata: sent,
    });
    const own = seen.filter(([key]) => key.startsWith("x-"));
    assert.deepEqual(
      own.filter(([key]) => key === "x-order").map(([, value]) => value),
      ["b", "a", "c"],
    );
    assert.deepEqual(
      own.filter(([key]) => key === "x-order-bin").map(([, value]) => value),
      ["0102", "", "03"],
    );
    assert.deepEqual(
      seen.filter(([key]) => !key.startsWith("x-")).map(([key]) => key),
      ["user-agent"],
    );
    // Two entries on the wire: this client shows them joined.
    assert.deepEqual(headers?.get("x-twice"), ["1, 2"]);
    assert.deepEqual(headers?.get("x-bin"), [Buffer.from([0, 255, 1])]);
    const keys = Object.keys(headers?.getMap() ?? {}).sort();
    assert.deepEqual(keys, ["content-type", "x-bin", "x-twice"]);
    assert.deepEqual(trailers?.get("x-end-bin"), [Buffer.from([7])]);
  });

  it("carries a status message of Unicode and white space, and its details", async () => {
    const message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n 100% ";
    const details = Uint8Array.of(8, 2, 18, 1, 65);
    const { port } = await listen((call) => call.end(statusFrame(2, message, { details })));
    const { error } = await grpcUnary(client(port), path, Buffer.alloc(0));
    assert.equal(error?.code, 2);
    assert.equal(error.details, message);
    assert.deepEqual(error.metadata.get("grpc-status-details-bin"), [Buffer.from(details)]);
  });

  it("streams both ways under back-pressure", async () => {
    const { port } = await listen((call) => {
      void (async () => {
        call.sendHeaders(metadata([["x-early", "yes"]]));
        for (let m = await call.read(); m !== undefined; m = await call.read()) {
          await call.sendMessage(m);
        }
        call.end(statusFrame(0));
      })();
    });
    const raw = (bytes: Buffer): Buffer => bytes;
    const call = client(port).makeBidiStreamRequest(path, raw, raw, new GrpcMetadata());
    const count = 400;
    const message = Buffer.alloc(10_000);
    const writing = (async () => {
      for (let i = 0; i < count; i++) {
        message.writeUInt32BE(i);
        if (!call.write(Buffer.from(message))) await new Promise((r) => call.once("drain", r));
      }
      call.end();
    })();
    let next = 0;
    for await (const received of call) {
      assert.equal((received as Buffer).readUInt32BE(), next++);
      assert.equal((received as Buffer).length, 10_000);
    }
    await writing;
    assert.equal(next, count);
  });

  it("holds no more of a paused stream than its window", async () => {
    let release = (): void => {};
    const { port } = await listen((call) => {
      release = () => call.end(statusFrame(0));
    });
    const stream = session(port).request(grpcHeaders());
    stream.on("error", () => {});
    let written = 0;
    const chunk = frameMessage(Buffer.alloc(64 * 1024 - 5));
    for (let i = 0; i < 64; i++) stream.write(chunk, () => (written += chunk.length));
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.ok(written <= 320 * 1024, `${written} bytes were taken`);
    release();
  });

  it("gives the deadline to the handler in milliseconds", async () => {
    let timeoutMs: number | undefined;
    const { port } = await listen((call) => {
      timeoutMs = call.timeoutMs;
      echo(call);
    });
    const caller = client(port);
    await grpcUnary(caller, path, Buffer.alloc(1), { deadlineMs: 5000 });
    assert.ok(timeoutMs !== undefined && timeoutMs > 4000 && timeoutMs <= 5000);
    await grpcUnary(caller, path, Buffer.alloc(1));
    assert.equal(timeoutMs, undefined);
  });

  it("tells the handler once when the caller cancels, and reads end with CANCELLED", async () => {
    let cancelled = 0;
    const { port } = await listen((call) => {
      call.onCancelled(() => cancelled++);
      call.read().then(
        () => call.read().catch(() => {}),
        () => {},
      );
      arrived.resolve(call);
    });
    const arrived = withResolvers<IncomingCall>();
    let cancel = (): void => {};
    const result = grpcUnary(client(port), path, Buffer.alloc(1), { onCall: (c) => (cancel = c) });
    const call = await arrived.promise;
    cancel();
    assert.equal((await result).error?.code, status.CANCELLED);
    await within(
      1000,
      "cancellation",
      until(() => cancelled === 1),
    );
    call.answer(metadata(), [Buffer.alloc(1)], statusFrame(0));
    call.end(statusFrame(0));
    await call.sendMessage(Buffer.alloc(1));
    assert.equal(cancelled, 1);
  });

  it("tells the handler when the caller's connection dies mid-call", async () => {
    const reads: Promise<unknown>[] = [];
    let cancelled = 0;
    const { port } = await listen((call) => {
      call.onCancelled(() => cancelled++);
      reads.push(call.read());
    });
    const socket = connectTcp(port, "127.0.0.1");
    const caller = connect(`http://127.0.0.1:${port}`, { createConnection: () => socket });
    caller.on("error", () => {});
    const stream = caller.request(grpcHeaders());
    stream.on("error", () => {});
    stream.write(Buffer.from([0, 0, 0, 0, 9, 1]));
    await within(
      1000,
      "the call",
      until(() => reads.length === 1),
    );
    const rejected = assert.rejects(reads[0] as Promise<unknown>, { code: "CANCELLED" });
    socket.resetAndDestroy();
    await rejected;
    await within(
      1000,
      "cancellation",
      until(() => cancelled === 1),
    );
  });

  it("does not call a caller that got its status cancelled", async () => {
    let cancelled = 0;
    const { port } = await listen((call) => {
      call.onCancelled(() => cancelled++);
      echo(call);
    });
    const caller = client(port);
    for (let i = 0; i < 50; i++) await grpcUnary(caller, path, Buffer.alloc(i));
    caller.close();
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(cancelled, 0);
  });

  it("reads gzip within the limit and refuses a bomb", async () => {
    const { port } = await listen(echo, { messageBytesMax: 10_000 });
    const caller = session(port);
    const send = (body: Buffer): Promise<RawAnswer> => {
      const compressed = gzipSync(body);
      const framed = frameMessage(compressed);
      framed[0] = 1;
      return rawCall(caller, grpcHeaders({ "grpc-encoding": "gzip" }), framed);
    };
    const small = Buffer.from("compressed ".repeat(80));
    const answer = await send(small);
    assert.equal(answer.status, "0");
    assert.ok(Buffer.from(answer.messages[0] as Uint8Array).equals(small));
    assert.equal((await send(Buffer.alloc(5_000_000))).status, String(status.RESOURCE_EXHAUSTED));
  });

  it("refuses other compression, oversized messages and broken frames with their own status", async () => {
    const codes: string[] = [];
    const { port } = await listen(
      (call) => {
        readUnary(call).catch((error: CausewayError) => {
          codes.push(error.code);
          call.end(statusOf(error.code));
        });
      },
      { messageBytesMax: 1000 },
    );
    const caller = session(port);
    const framed = frameMessage(Buffer.alloc(10));
    const flagged = Buffer.from(framed);
    flagged[0] = 1;
    const odd = Buffer.from(framed);
    odd[0] = 2;
    const statuses = [
      await rawCall(caller, grpcHeaders({ "grpc-encoding": "zstd" }), flagged),
      await rawCall(caller, grpcHeaders(), flagged),
      await rawCall(caller, grpcHeaders(), odd),
      await rawCall(caller, grpcHeaders(), framed.subarray(0, 9)),
      await rawCall(caller, grpcHeaders(), Buffer.alloc(0)),
      await rawCall(caller, grpcHeaders(), Buffer.concat([framed, framed])),
      await rawCall(caller, grpcHeaders(), frameMessage(Buffer.alloc(1001))),
    ].map((answer) => Number(answer.status));
    assert.deepEqual(codes, [
      "COMPRESSION_UNSUPPORTED",
      "PROTOCOL_ERROR",
      "PROTOCOL_ERROR",
      "PROTOCOL_ERROR",
      "PROTOCOL_ERROR",
      "CALL_TYPE_UNSUPPORTED",
      "MESSAGE_TOO_LARGE",
    ]);
    assert.deepEqual(statuses, [12, 13, 13, 13, 13, 12, 8]);
  });

  it("stops a caller that still sends after the status", async () => {
    const { port } = await listen((call) => call.end(statusOf("GRANT_MISSING")));
    const stream = session(port).request(grpcHeaders());
    const timer = setInterval(() => stream.write(Buffer.alloc(1000)), 5);
    let code: string | undefined;
    stream.on("response", (headers) => (code = headers["grpc-status"] as string));
    stream.on("error", () => {});
    stream.resume();
    await within(2000, "the reset", new Promise((resolve) => stream.once("close", resolve)));
    clearInterval(timer);
    assert.equal(code, "7");
    assert.equal(stream.rstCode, constants.NGHTTP2_NO_ERROR);
  });

  it("answers what is not gRPC with HTTP 405 and 415, and no handler sees it", async () => {
    let calls = 0;
    const { port } = await listen(() => calls++);
    const caller = session(port);
    const get = await rawCall(caller, { ":method": "GET", ":path": "/" }, undefined);
    const json = await rawCall(
      caller,
      grpcHeaders({ "content-type": "application/json" }),
      Buffer.from("{}"),
    );
    const web = await rawCall(
      caller,
      grpcHeaders({ "content-type": "application/grpc-web" }),
      Buffer.alloc(5),
    );
    assert.deepEqual([get.http, json.http, web.http, calls], [405, 415, 415, 0]);
  });

  it("answers too much metadata, a malformed timeout and a malformed -bin entry itself", async () => {
    const reasons: string[] = [];
    const { port } = await listen(echo, { onProtocolError: (reason) => reasons.push(reason) });
    const caller = session(port);
    const large = Object.fromEntries(
      Array.from({ length: 200 }, (_, i) => [`x-${i}`, "v".repeat(20)]),
    );
    const statuses = [
      (await rawCall(caller, grpcHeaders(large), frameMessage(Buffer.alloc(1)))).status,
      (await rawCall(caller, grpcHeaders({ "grpc-timeout": "5 s" }), Buffer.alloc(0))).status,
      (await rawCall(caller, grpcHeaders({ "x-bin": "!" }), Buffer.alloc(0))).status,
    ];
    assert.deepEqual(statuses, ["8", "13", "13"]);
    assert.deepEqual(reasons, ["METADATA_TOO_LARGE", "PROTOCOL_ERROR", "PROTOCOL_ERROR"]);
  });

  it("ends a call whose answer cannot be sent with the reason, not with a crash", async () => {
    const answers = [
      metadata([["x-large", "v".repeat(9000)]]),
      metadata([["x-break", "a\r\nb"]]),
      metadata([["Bad Key", "v"]]),
    ];
    const { port } = await listen((call) => {
      call.answer(answers.shift() as never, [Buffer.alloc(1)], statusFrame(0));
    });
    const caller = client(port);
    const codes: (number | undefined)[] = [];
    for (let i = 0; i < 3; i++) {
      codes.push((await grpcUnary(caller, path, Buffer.alloc(1))).error?.code);
    }
    assert.deepEqual(codes, [8, 13, 13]);
  });

  it("lets open calls end when it closes, and takes no new ones", async () => {
    const open = withResolvers<IncomingCall>();
    const listener = await listen((call) => open.resolve(call));
    const caller = client(listener.port);
    const first = grpcUnary(caller, path, Buffer.alloc(1));
    const call = await open.promise;
    const closing = listener.close(5000);
    await new Promise((resolve) => setTimeout(resolve, 50));
    call.answer(metadata(), [Buffer.from("late")], statusFrame(0));
    const { error, response } = await first;
    assert.equal(error, null);
    assert.equal(response?.toString(), "late");
    await within(2000, "closing", closing);
    assert.equal((await grpcUnary(caller, path, Buffer.alloc(1))).error?.code, status.UNAVAILABLE);
  });

  it("cuts off what does not end within the grace", async () => {
    let cancelled = 0;
    const open = withResolvers<void>();
    const listener = await listen((call) => {
      call.onCancelled(() => cancelled++);
      open.resolve();
    });
    const first = grpcUnary(client(listener.port), path, Buffer.alloc(1));
    await open.promise;
    await within(2000, "closing", listener.close(50));
    assert.equal((await first).error?.code, status.UNAVAILABLE);
    assert.equal(cancelled, 1);
  });
});

describe("the agency listener over mutual TLS", () => {
  it("knows the caller's certificate, lets nobody else in, and ends whom it trusts no more", async () => {
    const own = createIdentity("gateway");
    const known = createIdentity("known");
    const stranger = createIdentity("stranger");
    let certificate: Uint8Array | undefined;
    const listener = await listen(
      (call) => {
        certificate = call.peerCertificate;
        echo(call);
      },
      { tls: peerTls(own, known) },
    );
    const dial = (as: Identity): Client => {
      const made = tlsClient(listener.port, as, own);
      cleanups.push(() => made.close());
      return made;
    };
    const caller = dial(known);
    assert.equal((await grpcUnary(caller, path, Buffer.alloc(1))).error, null);
    assert.deepEqual(certificate, known.der);
    const refused = await grpcUnary(dial(stranger), path, Buffer.alloc(1));
    assert.equal(refused.error?.code, status.UNAVAILABLE);
    listener.updateTls(peerTls(own, stranger));
    assert.equal((await grpcUnary(dial(stranger), path, Buffer.alloc(1))).error, null);
    assert.equal((await grpcUnary(caller, path, Buffer.alloc(1))).error?.code, status.UNAVAILABLE);
  });
});

describe("garbage on the agency listener", () => {
  it("neither crashes nor hangs it: mutated frames on the bare connection", async () => {
    const { port } = await listen(echo);
    const good = await recordConversation(port);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 20 }),
        fc.nat(good.length),
        async (changes, cut) => {
          const bytes = Buffer.from(good);
          for (const [at, value] of changes) bytes[at] = value;
          await throwAway(port, bytes.subarray(0, cut));
        },
      ),
      { numRuns: 60 },
    );
    const { error, response } = await grpcUnary(client(port), path, Buffer.from("still here"));
    assert.equal(error, null);
    assert.equal(response?.toString(), "still here");
  });

  it("neither crashes nor hangs it: random message bytes on a good stream", async () => {
    const { port } = await listen(echo, { messageBytesMax: 1000 });
    const caller = session(port);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (bytes) => {
        const answer = await within(
          2000,
          "the answer",
          rawCall(caller, grpcHeaders({ "grpc-encoding": "gzip" }), Buffer.from(bytes)),
        );
        assert.match(answer.status ?? "", /^(?:0|8|12|13)$/);
      }),
      { numRuns: 150 },
    );
  });
});

function grpcHeaders(extra: Record<string, string> = {}): Record<string, string> {
  return {
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc",
    te: "trailers",
    ...extra,
  };
}

interface RawAnswer {
  readonly http: number | undefined;
  readonly status: string | undefined;
  readonly messages: Uint8Array[];
}

function rawCall(
  caller: ClientHttp2Session,
  headers: Record<string, string>,
  body: Buffer | undefined,
): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const stream = caller.request(headers, { endStream: body === undefined });
    const reader = new MessageReader({ messageBytesMax: 10_000_000, encoding: undefined });
    const messages: Uint8Array[] = [];
    let http: number | undefined;
    let grpcStatus: string | undefined;
    stream.on("response", (fields) => {
      http = fields[":status"];
      grpcStatus = fields["grpc-status"] as string | undefined;
    });
    stream.on("trailers", (fields) => (grpcStatus = fields["grpc-status"] as string));
    stream.on("data", (chunk: Buffer) => messages.push(...reader.push(chunk)));
    stream.on("error", () => {});
    stream.on("close", () => resolve({ http, status: grpcStatus, messages }));
    if (body !== undefined) stream.end(body);
  });
}

function withResolvers<T>(): { promise: Promise<T>; resolve(value: T): void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((settle) => (resolve = settle));
  return { promise, resolve };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

// What a client writes for two calls, taken on the way to the socket.
async function recordConversation(port: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const socket = connectTcp(port, "127.0.0.1");
  const tap = new Duplex({
    read: () => {},
    write: (chunk: Buffer, _encoding, done) => {
      chunks.push(Buffer.from(chunk));
      socket.write(chunk, done);
    },
  });
  socket.on("data", (chunk) => tap.push(chunk));
  const caller = connect(`http://127.0.0.1:${port}`, { createConnection: () => tap });
  await rawCall(caller, grpcHeaders({ "x-a": "b" }), frameMessage(Buffer.alloc(50)));
  await rawCall(caller, grpcHeaders({ "x-a": "c" }), frameMessage(Buffer.alloc(5)));
  caller.destroy();
  socket.destroy();
  return Buffer.concat(chunks);
}

function throwAway(port: number, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.resume();
    socket.write(bytes);
    setTimeout(() => socket.destroy(), 10);
  });
}
