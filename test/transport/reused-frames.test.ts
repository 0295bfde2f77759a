import assert from "node:assert/strict";
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from "node:http2";
import { after, afterEach, before, describe, it, mock } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Server } from "@grpc/grpc-js";
import * as fc from "fast-check";
import { emptyBytes } from "../../src/base/bytes.ts";
import { acknowledgementFrame, cancelFrame } from "../../src/exchange/frames.ts";
import { handOver } from "../../src/exchange/hand-over.ts";
import type { Carriage, CarriageListener, FrameBody } from "../../src/exchange/ports.ts";
import {
  createStreamClient,
  type StreamClient,
} from "../../src/exchange/transport/exchange-stream-client.ts";
import { createStreamServer } from "../../src/exchange/transport/exchange-stream-server.ts";
import { FrameBuffers } from "../../src/exchange/transport/frame-buffers.ts";
import { frameMessage, MessageReader } from "../../src/exchange/transport/framing.ts";
import { grpcServerOptions } from "../../src/exchange/transport/grpc-options.ts";
import { listenHttp2 } from "../../src/exchange/transport/http2-listener.ts";
import { listenForPeers } from "../../src/exchange/transport/link-listener.ts";
import type { IncomingCall } from "../../src/exchange/transport/ports.ts";
import { secureContextOptions } from "../../src/exchange/transport/tls-options.ts";
import { MetadataSchema, StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import {
  type AnswerFrame,
  AnswerFrameSchema,
  ProofSchema,
  RequestFrameSchema,
} from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { linkEnd } from "../support/link-end.ts";
import { createIdentity, peerTls, scheduler, statusFrame, within } from "./support.ts";

const provider = createIdentity("shenzhen/tax/gw1");
const consumer = createIdentity("hangzhou/market/gw1");
const agency = createIdentity("hangzhou/market/system");
const callPath = "/city.v1.Registry/Follow";
const messageBytesMax = 4 * 1024 * 1024;
const pauseBytes = 128 * 1024;
/** Segments under way and not acknowledged. */
const windowSegments = 4;

// What the messages are cut from. Half of it is text that gzip makes shorter, and half is not.
const content = new Uint8Array(2 * messageBytesMax);
for (let at = 0, state = 1; at < content.length; at += 4) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  const isText = (at >>> 15) % 2 === 0;
  for (let i = 0; i < 4; i++) {
    content[at + i] = isText ? 97 + (((state >>> 24) + i) % 5) : (state >>> (8 * i)) & 255;
  }
}

interface Shape {
  /** Bytes of the messages of each segment. */
  readonly segments: readonly (readonly number[])[];
  readonly gzip: boolean;
  /** Milliseconds in which the consumer's gateway checks and seals a segment. */
  readonly sealMs: number;
  /** Milliseconds that the caller takes no bytes after each `pauseBytes`. */
  readonly pauseMs: number;
  /** Bytes after which the caller goes away, and how. */
  readonly leavesAfter: number | undefined;
  readonly leaves: "reset" | "connection" | "peer";
}

/** The bytes of a message by its number, unlike those of its neighbours. */
function messageOf(number: number, size: number): Uint8Array {
  const from = (number * 40_961) % (content.length - size);
  return content.subarray(from, from + size);
}

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** The provider's end of a stream: sends what the shape of this number says, a window at a time. */
class Sender implements CarriageListener {
  readonly #carriage: Carriage;
  readonly #shapes: readonly Shape[];
  #allowed = windowSegments;
  #isOver = false;
  #wake: (() => void) | undefined;

  constructor(carriage: Carriage, shapes: readonly Shape[]) {
    this.#carriage = carriage;
    this.#shapes = shapes;
  }

  onFrame(body: FrameBody): void {
    if (body.case === "request") void this.#run(body.value.message[0] as number);
    else if (body.case === "acknowledgement") this.#allowed += 1;
    else this.#isOver = true;
    this.#wake?.();
  }

  onLost(): void {
    this.#isOver = true;
    this.#wake?.();
  }

  async #run(index: number): Promise<void> {
    const { segments } = this.#shapes[index] as Shape;
    let number = 100 * index;
    for (const [i, sizes] of segments.entries()) {
      while (this.#allowed === 0 && !this.#isOver) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      await this.#carriage.ready();
      if (this.#isOver) return;
      this.#allowed -= 1;
      const messages = sizes.map((size) => messageOf(number++, size));
      const isLast = i === segments.length - 1;
      this.#carriage.send({ case: "answer", value: segmentOf(messages, i === 0, isLast) });
    }
  }
}

function segmentOf(messages: Uint8Array[], isFirst: boolean, isLast: boolean): AnswerFrame {
  const status = isLast ? toBinary(StatusFrameSchema, statusFrame(0)) : emptyBytes;
  const headers = isFirst ? toBinary(MetadataSchema, create(MetadataSchema)) : emptyBytes;
  const proof = create(ProofSchema, { record: new Uint8Array(700).fill(1) });
  return create(AnswerFrameSchema, { headers, messages, status, proof });
}

/** The consumer's end, between a stream and its caller: hands over one segment after the other. */
class Receiver implements CarriageListener {
  readonly #incoming: IncomingCall;
  readonly #carriage: Carriage;
  readonly #shape: Shape;
  readonly #waiting: AnswerFrame[] = [];
  #isHanding = false;
  #taken = 0;
  #isOver = false;
  /** Frames that were handed over, when the call was over. */
  handedOver = 0;

  constructor(incoming: IncomingCall, streams: StreamClient, shape: Shape) {
    this.#incoming = incoming;
    this.#shape = shape;
    this.#carriage = streams.open(this);
    incoming.onCancelled(() => {
      this.#carriage.send(cancelFrame());
      this.#end();
    });
  }

  start(index: number): void {
    const message = Uint8Array.of(index);
    this.#carriage.send({ case: "request", value: create(RequestFrameSchema, { message }) });
  }

  onFrame(body: FrameBody): void {
    if (body.case === "answer") this.#waiting.push(body.value);
    if (!this.#isHanding) void this.#handAll();
  }

  onLost(): void {
    this.#incoming.end(statusFrame(14));
    this.#end();
  }

  #end(): void {
    this.#isOver = true;
    this.#waiting.length = 0;
    this.#carriage.close();
  }

  async #handAll(): Promise<void> {
    const { sealMs, segments } = this.#shape;
    this.#isHanding = true;
    for (let answer = this.#waiting.shift(); answer !== undefined; answer = this.#waiting.shift()) {
      await new Promise((resolve) => setTimeout(resolve, sealMs));
      if (this.#isOver) return;
      this.#taken += 1;
      this.#carriage.send(acknowledgementFrame(create(ProofSchema)));
      await this.#handOver(answer, this.#taken === segments.length);
    }
    this.#isHanding = false;
    // The last segment's buffer is of use to others too, while the stream stands.
    if (this.#taken === segments.length) setTimeout(() => this.#end(), 5);
  }

  async #handOver(answer: AnswerFrame, isLast: boolean): Promise<void> {
    await handOver(this.#incoming, answer, {
      isFirst: this.#taken === 1,
      isWhole: false,
      trailers: isLast ? () => create(MetadataSchema) : undefined,
      taken: () => (this.handedOver += 1),
      left: () => this.#carriage.taken?.(answer),
    });
  }
}

interface Gateways {
  /** Of the next calls. */
  shapes: readonly Shape[];
  readonly receivers: Map<number, Receiver>;
  readonly port: number;
  /** Ends the connection between the gateways. */
  cut(): void;
}

async function startGateways(): Promise<Gateways> {
  const receivers = new Map<number, Receiver>();
  const link = linkEnd("hangzhou/market/gw1");
  const server = createStreamServer({
    scheduler,
    linkOf: () => link,
    serve: (_link, carriage) => new Sender(carriage, gateways.shapes),
    busy: () => undefined,
    onRefused: (error) => assert.equal(error.code, "PEER_LOST"),
  });
  const grpc = new Server(grpcServerOptions);
  const peers = await listenForPeers({
    host: "127.0.0.1",
    port: 0,
    tls: peerTls(provider, consumer),
    grpc,
    scheduler,
    onStreams: (socket) => server.accept(socket),
  });
  const newStreams = (): StreamClient =>
    createStreamClient({
      link: linkEnd("shenzhen/tax/gw1"),
      address: `127.0.0.1:${peers.port}`,
      tls: peerTls(consumer, provider),
      scheduler,
      defer: (run) => void setImmediate(run),
      onRefused: () => undefined,
    });
  let streams = newStreams();
  const callers = await listenHttp2({
    host: "127.0.0.1",
    port: 0,
    tls: peerTls(consumer, agency),
    scheduler,
    onCall: (call) => void serveCall(call),
  });
  const serveCall = async (call: IncomingCall): Promise<void> => {
    const index = (await call.read())?.[0] as number;
    const receiver = new Receiver(call, streams, gateways.shapes[index] as Shape);
    receivers.set(index, receiver);
    receiver.start(index);
  };
  cleanups.push(async () => {
    streams.close();
    server.close();
    await Promise.all([callers.close(0), peers.close()]);
    grpc.forceShutdown();
  });
  const gateways: Gateways = {
    shapes: [],
    receivers,
    port: callers.port,
    cut: () => {
      streams.close();
      streams = newStreams();
    },
  };
  return gateways;
}

function agencySession(port: number): ClientHttp2Session {
  const session = connect(`https://127.0.0.1:${port}`, {
    ...secureContextOptions(peerTls(agency, consumer)),
    checkServerIdentity: () => undefined,
  });
  session.on("error", () => undefined);
  cleanups.push(() => session.destroy());
  return session;
}

/** Messages that a call gave, each compared with what was sent; resolves once it has ended. */
async function follow(
  session: ClientHttp2Session,
  index: number,
  shape: Shape,
  leave: (how: Shape["leaves"], stream: ClientHttp2Stream) => void,
): Promise<number> {
  const stream = session.request({
    ":method": "POST",
    ":path": callPath,
    "content-type": "application/grpc",
    te: "trailers",
    ...(shape.gzip ? { "grpc-encoding": "gzip", "grpc-accept-encoding": "gzip" } : {}),
  });
  stream.on("error", () => undefined);
  stream.end(frameMessage(Uint8Array.of(index)));
  const encoding = shape.gzip ? "gzip" : undefined;
  const reader = new MessageReader({ messageBytesMax, encoding });
  const sizes = shape.segments.flat();
  let bytes = 0;
  let count = 0;
  let checked = Promise.resolve();
  const check = async (): Promise<void> => {
    for (let next = reader.next(); next !== undefined; next = reader.next()) {
      const message = await next;
      const expected = messageOf(100 * index + count, sizes[count] as number);
      assert.ok(Buffer.compare(message, expected) === 0, `message ${count} of call ${index}`);
      count += 1;
    }
  };
  stream.on("data", (chunk: Buffer) => {
    reader.add(chunk);
    checked = checked.then(check);
    bytes += chunk.length;
    if (shape.leavesAfter !== undefined && bytes >= shape.leavesAfter) leave(shape.leaves, stream);
    const isPassed = bytes % pauseBytes < chunk.length;
    if (shape.pauseMs === 0 || !isPassed) return;
    stream.pause();
    setTimeout(() => stream.resume(), shape.pauseMs);
  });
  await new Promise<void>((resolve) => stream.once("close", resolve));
  await checked;
  return count;
}

/** All calls at once, on one connection of the agency and one between the gateways. */
async function run(gateways: Gateways, shapes: readonly Shape[]): Promise<void> {
  gateways.shapes = shapes;
  gateways.receivers.clear();
  const session = agencySession(gateways.port);
  let isCut = false;
  const leave = (how: Shape["leaves"], stream: ClientHttp2Stream): void => {
    if (how === "reset") return stream.close(constants.NGHTTP2_CANCEL);
    isCut = true;
    if (how === "peer") gateways.cut();
    else session.destroy();
  };
  const calls = shapes.map(async (shape, index) => {
    const count = await follow(session, index, shape, leave);
    const sent = shape.segments.flat().length;
    const { handedOver } = gateways.receivers.get(index) ?? { handedOver: 0 };
    assert.ok(handedOver <= sent + 1);
    if (isCut || shape.leavesAfter !== undefined) return;
    assert.deepEqual([count, handedOver], [sent, sent + 1]);
  });
  await within(20_000, "the calls", Promise.all(calls));
  session.destroy();
}

const leaves = fc.oneof(
  { weight: 8, arbitrary: fc.constant<Shape["leaves"]>("reset") },
  fc.constantFrom<Shape["leaves"]>("connection", "peer"),
);

function shapesOf(sizes: fc.Arbitrary<number[]>, segmentsMax: number): fc.Arbitrary<Shape> {
  return fc.record({
    segments: fc.array(sizes, { minLength: 1, maxLength: segmentsMax }),
    gzip: fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, fc.constant(true)),
    sealMs: fc.constantFrom(0, 1, 4),
    pauseMs: fc.constantFrom(0, 0, 1, 10),
    leavesAfter: fc.option(fc.nat(1_500_000), { nil: undefined }),
    leaves,
  });
}

describe("a message that lies in a buffer that is used again", () => {
  let given = 0;
  // Who still reads what was given back reads this, whether another frame has come or not.
  before(() => {
    const give: unknown = Reflect.get(FrameBuffers.prototype, "give");
    assert.ok(typeof give === "function");
    mock.method(FrameBuffers.prototype, "give", function (this: FrameBuffers, buffer: ArrayBuffer) {
      given += 1;
      new Uint8Array(buffer).fill(0xee);
      Reflect.apply(give, this, [buffer]);
    });
  });
  after(() => mock.restoreAll());

  it("lies in one that was given back, when its stream goes on", async () => {
    const gateways = await startGateways();
    given = 0;
    const segments = Array.from({ length: 8 }, () => [100_000, 200_000]);
    const steady = { sealMs: 4, pauseMs: 0, gzip: false, leavesAfter: undefined } as const;
    await run(gateways, [{ ...steady, segments, leaves: "reset" }]);
    assert.ok(given >= segments.length - windowSegments, `${given} were given back`);
  });

  it("reaches its caller as it was sent, whoever reads slowly or leaves meanwhile", async () => {
    const gateways = await startGateways();
    // Segments just so long that their buffers are used again.
    const sizes = fc.oneof(
      fc.constant<number[]>([270_000]),
      fc.tuple(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 262_000, max: 400_000 })),
      fc.tuple(fc.constantFrom(16_000, 16_384, 16_385, 120_000), fc.constant(200_000)),
      fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 12 }),
    );
    const shapes = fc.array(shapesOf(sizes, 4), { minLength: 1, maxLength: 5 });
    const numRuns = Number(process.env["CAUSEWAY_SCHEDULES"] ?? 60);
    await fc.assert(
      fc.asyncProperty(shapes, (of) => run(gateways, of)),
      { numRuns, endOnFailure: true },
    );
  });

  it("reaches its caller as it was sent, of 1 byte to 4 MiB", async () => {
    const gateways = await startGateways();
    const sizes = fc.oneof(
      { weight: 4, arbitrary: fc.array(fc.integer({ min: 1, max: 250_000 }), { maxLength: 8 }) },
      fc.integer({ min: 1, max: messageBytesMax - 1 }).map((size) => [size]),
    );
    const shapes = fc.array(shapesOf(sizes, 6), { minLength: 8, maxLength: 12 });
    const numRuns = Number(process.env["CAUSEWAY_ROUNDS"] ?? 2);
    await fc.assert(
      fc.asyncProperty(shapes, (of) => run(gateways, of)),
      { numRuns, endOnFailure: true },
    );
  });
});
