import assert from "node:assert/strict";
import { connect, type ClientHttp2Session, type ClientHttp2Stream, constants } from "node:http2";
import { afterEach, describe, it } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Server } from "@grpc/grpc-js";
import * as fc from "fast-check";
import type { CausewayError } from "../../src/base/errors.ts";
import {
  exchangeFrameBytesMax,
  exchangeQueueBytes,
  exchangeStreamsMax,
  frameBufferBytes,
  frameBuffersKeptMax,
} from "../../src/base/limits.ts";
import { acknowledgementFrame, cancelFrame, failedFrame } from "../../src/exchange/frames.ts";
import type { Carriage, CarriageListener, FrameBody, LinkEnd } from "../../src/exchange/ports.ts";
import {
  createStreamClient,
  type StreamClient,
} from "../../src/exchange/transport/exchange-stream-client.ts";
import {
  encodeStreamFrame,
  exchangePath,
} from "../../src/exchange/transport/exchange-stream-codec.ts";
import {
  createStreamServer,
  type StreamServer,
} from "../../src/exchange/transport/exchange-stream-server.ts";
import { exchangeServerName } from "../../src/exchange/transport/exchange-stream-session.ts";
import { FrameBuffers } from "../../src/exchange/transport/frame-buffers.ts";
import { frameMessage } from "../../src/exchange/transport/framing.ts";
import { errorInfoIn } from "../../src/exchange/transport/grpc-errors.ts";
import { grpcServerOptions } from "../../src/exchange/transport/grpc-options.ts";
import { listenForPeers } from "../../src/exchange/transport/link-listener.ts";
import { secureContextOptions } from "../../src/exchange/transport/tls-options.ts";
import { statusFromTrailers } from "../../src/exchange/transport/trailers.ts";
import {
  type AnswerFrame,
  AnswerFrameSchema,
  ExchangeRequestSchema,
  FrameSchema,
  ProofSchema,
  RequestFrameSchema,
} from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { linkEnd } from "../support/link-end.ts";
import { createIdentity, type Identity, peerTls, scheduler, within } from "./support.ts";

const provider = createIdentity("shenzhen/tax/gw1");
const consumer = createIdentity("hangzhou/market/gw1");
const stranger = createIdentity("hangzhou/market/gw2");
const defer = (run: () => void): void => void setImmediate(run);

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** What one end of a stream has heard. */
class Heard implements CarriageListener {
  readonly frames: FrameBody[] = [];
  lost = 0;
  unopened: string | undefined;
  carriage: Carriage | undefined;

  onFrame(body: FrameBody): void {
    this.frames.push(body);
  }

  onLost(unopened?: string): void {
    this.lost++;
    this.unopened = unopened;
  }

  get cases(): string[] {
    return this.frames.map((body) => body.case);
  }
}

interface Side {
  readonly port: number;
  readonly server: StreamServer;
  readonly link: LinkEnd;
  readonly served: Heard[];
  readonly refused: CausewayError[];
  /** The link of each stream that was refused for want of a place. */
  readonly busy: LinkEnd[];
}

async function serve(
  options: { linked?: readonly Identity[]; partialBytesMax?: number } = {},
): Promise<Side> {
  const link = linkEnd("hangzhou/market/gw1");
  const linked = options.linked ?? [consumer];
  const served: Heard[] = [];
  const refused: CausewayError[] = [];
  const busy: LinkEnd[] = [];
  const server = createStreamServer({
    scheduler,
    linkOf: (certificate) =>
      linked.some(({ der }) => Buffer.compare(der, certificate) === 0) ? link : undefined,
    serve: (_link, carriage) => {
      const heard = new Heard();
      heard.carriage = carriage;
      served.push(heard);
      return heard;
    },
    busy: (beside) => busy.push(beside),
    onRefused: (error) => refused.push(error),
    ...(options.partialBytesMax === undefined ? {} : { partialBytesMax: options.partialBytesMax }),
  });
  const grpc = new Server(grpcServerOptions);
  const listener = await listenForPeers({
    host: "127.0.0.1",
    port: 0,
    tls: peerTls(provider, consumer, stranger),
    grpc,
    scheduler,
    onStreams: (socket) => server.accept(socket),
  });
  cleanups.push(async () => {
    server.close();
    await listener.close();
    grpc.forceShutdown();
  });
  return { port: listener.port, server, link, served, refused, busy };
}

function client(
  port: number,
  own: Identity = consumer,
  trusted: Identity = provider,
): StreamClient & { readonly refused: CausewayError[] } {
  const refused: CausewayError[] = [];
  const made = createStreamClient({
    link: linkEnd("shenzhen/tax/gw1"),
    address: `127.0.0.1:${port}`,
    tls: peerTls(own, trusted),
    scheduler,
    defer,
    onRefused: (error) => refused.push(error),
  });
  cleanups.push(() => made.close());
  return Object.assign(made, { refused });
}

function open(of: StreamClient): Heard & { readonly carriage: Carriage } {
  const heard = new Heard();
  heard.carriage = of.open(heard);
  return heard as Heard & { readonly carriage: Carriage };
}

/** A client of node:http2 that knows nothing of our framing. */
function rawSession(port: number, own: Identity = consumer): ClientHttp2Session {
  const session = connect(`https://127.0.0.1:${port}`, {
    ...secureContextOptions(peerTls(own, provider)),
    servername: exchangeServerName,
    checkServerIdentity: () => undefined,
  });
  session.on("error", () => undefined);
  cleanups.push(() => session.destroy());
  return session;
}

function rawStream(session: ClientHttp2Session): ClientHttp2Stream {
  const stream = session.request({
    ":method": "POST",
    ":path": exchangePath,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => undefined);
  return stream;
}

/** The reason in the trailers, or in the headers that are the whole answer. */
function reasonOf(stream: ClientHttp2Stream): Promise<string | undefined> {
  return within(
    5000,
    "a status",
    new Promise((resolve) => {
      const read = (_headers: unknown, _flags: number, raw: string[]): void => {
        const { details, code } = statusFromTrailers(raw);
        if (raw.includes("grpc-status")) resolve(errorInfoIn(details)?.reason ?? String(code));
      };
      stream.on("response", read as never);
      stream.on("trailers", read as never);
      stream.resume();
    }),
  );
}

function wholeFrame(body: FrameBody): Buffer {
  return Buffer.concat(encodeStreamFrame(body));
}

function request(bytes: number): FrameBody {
  const message = new Uint8Array(bytes).fill(7);
  return { case: "request", value: create(RequestFrameSchema, { message }) };
}

function answer(bytes: number): FrameBody {
  const messages = [new Uint8Array(bytes).fill(8)];
  return { case: "answer", value: create(AnswerFrameSchema, { messages }) };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const wait = async (): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  await within(5000, what, wait());
}

const servedOf = (side: Side, index = 0): Heard & { readonly carriage: Carriage } =>
  side.served[index] as Heard & { readonly carriage: Carriage };

describe("an exchange on a stream of its own", () => {
  it("carries frames both ways in order, a message of 20 MiB among them", async () => {
    const side = await serve();
    const { carriage, frames } = open(client(side.port));
    const large = 20 * 1024 * 1024;
    for (const bytes of [0, 1, 70_000, large, 5]) carriage.send(request(bytes));
    await until(() => side.served[0]?.frames.length === 5, "the requests");
    const sizes = servedOf(side).frames.map(
      (body) => body.case === "request" && body.value.message.length,
    );
    assert.deepEqual(sizes, [0, 1, 70_000, large, 5]);
    for (const bytes of [3, large, 4]) servedOf(side).carriage.send(answer(bytes));
    await until(() => frames.length === 3, "the answers");
    const answered = frames.map((body) => body.case === "answer" && body.value.messages[0]?.length);
    assert.deepEqual(answered, [3, large, 4]);
  });

  it("is served beside the link of the certificate that opened it", async () => {
    const side = await serve();
    open(client(side.port)).carriage.send(cancelFrame());
    await until(() => side.served.length === 1, "the stream");
    assert.equal(servedOf(side).carriage.link, side.link);
    assert.equal(side.server.countOf(side.link), 1);
  });

  it("says what was queued before it was closed, and then ends for both", async () => {
    const side = await serve();
    const streams = client(side.port);
    const { carriage } = open(streams);
    carriage.send(request(300_000));
    carriage.send(acknowledgementFrame(create(ProofSchema, {})));
    carriage.close();
    await until(() => side.served[0]?.lost === 1, "the end");
    assert.deepEqual(servedOf(side).cases, ["request", "acknowledgement"]);
    await until(() => streams.count === 0 && side.server.countOf(side.link) === 0, "no stream");
  });

  it("gives no frame and no loss to who has closed it", async () => {
    const side = await serve();
    const streams = client(side.port);
    const heard = open(streams);
    heard.carriage.send(cancelFrame());
    await until(() => side.served.length === 1, "the stream");
    heard.carriage.close();
    servedOf(side).carriage.send(failedFrame("NO_ANSWER"));
    await until(() => streams.count === 0, "the end");
    assert.deepEqual([heard.cases, heard.lost], [[], 0]);
  });

  for (const [name, cut] of [
    ["consumer's", (_side: Side, streams: StreamClient) => streams.close()],
    ["provider's", ({ server, link }: Side) => server.lost(link)],
  ] as const) {
    it(`ends on both sides with the ${name} end of its link`, async () => {
      const side = await serve();
      const streams = client(side.port);
      const heard = open(streams);
      heard.carriage.send(cancelFrame());
      await until(() => side.served[0]?.frames.length === 1, "the stream");
      cut(side, streams);
      await until(() => heard.lost === 1 && servedOf(side).lost === 1, "the loss");
      heard.carriage.send(cancelFrame());
      await heard.carriage.ready();
    });
  }

  it("is refused PEER_LOST without a link of the same certificate", async () => {
    const side = await serve({ linked: [stranger] });
    const heard = open(client(side.port));
    heard.carriage.send(cancelFrame());
    await until(() => heard.lost === 1, "the loss");
    assert.deepEqual(heard.frames, [failedFrame("PEER_LOST")]);
    assert.equal(side.served.length, 0);
    assert.equal(side.refused[0]?.code, "PEER_LOST");
  });

  it("is lost when another certificate answers than the one of its link", async () => {
    const side = await serve();
    const streams = client(side.port, consumer, stranger);
    const heard = open(streams);
    await until(() => heard.lost === 1, "the loss");
    assert.equal(streams.refused[0]?.code, "PEER_UNAVAILABLE");
    assert.equal(side.served.length, 0);
  });

  it("is opened on a new connection when the last one broke beside a link that stands", async () => {
    const side = await serve();
    const streams = client(side.port);
    const first = open(streams);
    first.carriage.send(cancelFrame());
    await until(() => side.served.length === 1, "the stream");
    side.server.close();
    await until(() => first.lost === 1, "the loss");
    const second = open(streams);
    second.carriage.send(cancelFrame());
    await until(() => side.served.length === 2, "the second stream");
    assert.equal(second.lost, 0);
  });
});

/** One segment of so many messages with this content, and what stands beside them. */
function segment(content: number, messages: number): FrameBody {
  const record = new Uint8Array(300).fill(content);
  const value = create(AnswerFrameSchema, {
    headers: Uint8Array.of(content),
    messages: Array.from({ length: messages }, () => new Uint8Array(64 * 1024).fill(content)),
    proof: create(ProofSchema, { record, leaf: record, path: [record.subarray(0, 32)] }),
  });
  return { case: "answer", value };
}

describe("what the segments of an answer lie in", () => {
  const isWhole = ({ headers, messages, proof }: AnswerFrame): boolean => {
    const content = headers[0] as number;
    const parts = [...messages, proof?.record, proof?.leaf, ...(proof?.path ?? [])];
    return parts.every((part) => part !== undefined && part.every((byte) => byte === content));
  };
  const answersIn = (heard: Heard): readonly AnswerFrame[] =>
    heard.frames.flatMap((body) => (body.case === "answer" ? [body.value] : []));
  const bufferOf = ({ messages }: AnswerFrame): ArrayBufferLike =>
    (messages[0] as Uint8Array).buffer;

  async function opened(): Promise<{ heard: ReturnType<typeof open>; provider: Carriage }> {
    const side = await serve();
    const heard = open(client(side.port));
    heard.carriage.send(cancelFrame());
    await until(() => side.served[0]?.frames.length === 1, "the stream");
    return { heard, provider: servedOf(side).carriage };
  }

  it("is used again for the next one once it is given back, and never before", async () => {
    const { heard, provider } = await opened();
    const next = async (content: number): Promise<AnswerFrame> => {
      const count = heard.frames.length;
      provider.send(segment(content, 16));
      await until(() => heard.frames.length > count, "a segment");
      return answersIn(heard)[count] as AnswerFrame;
    };
    const first = await next(1);
    const second = await next(2);
    assert.notEqual(bufferOf(second), bufferOf(first));
    const buffer = bufferOf(first);
    heard.carriage.taken?.(first);
    // Giving it back again gives nothing.
    heard.carriage.taken?.(first);
    const [third, fourth] = [await next(3), await next(4)];
    assert.equal(bufferOf(third), buffer);
    assert.notEqual(bufferOf(fourth), buffer);
    assert.ok([second, third, fourth].every(isWhole));
  });

  it("is one buffer for all of a stream whose segments are given back one by one", async () => {
    const { heard, provider } = await opened();
    const buffers = new Set<ArrayBufferLike>();
    for (let i = 1; i <= 50; i++) {
      provider.send(segment(i, 16));
      await until(() => heard.frames.length === i, "a segment");
      const answer = answersIn(heard).at(-1) as AnswerFrame;
      assert.ok(isWhole(answer));
      buffers.add(bufferOf(answer));
      heard.carriage.taken?.(answer);
    }
    assert.equal(buffers.size, 1);
  });

  it("holds its messages alone: what else came with them stays as it was", async () => {
    const { heard, provider } = await opened();
    provider.send(segment(1, 16));
    await until(() => heard.frames.length === 1, "a segment");
    const [first] = answersIn(heard) as [AnswerFrame];
    heard.carriage.taken?.(first);
    provider.send(segment(2, 16));
    await until(() => heard.frames.length === 2, "the next one");
    assert.ok(first.messages.every((message) => message.every((byte) => byte === 2)));
    assert.ok(isWhole({ ...first, messages: [] }));
  });

  it("is changed under nobody who has not given it back, in whatever order they do", async () => {
    const steps = fc.array(
      fc.record({
        messages: fc.integer({ min: 1, max: 20 }),
        givenBack: fc.array(fc.nat(4), { maxLength: 3 }),
      }),
      { minLength: 20, maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(steps, async (of) => {
        const { heard, provider } = await opened();
        const held: AnswerFrame[] = [];
        for (const [i, { messages, givenBack }] of of.entries()) {
          provider.send(segment(i + 1, messages));
          await until(() => heard.frames.length === i + 1, "a segment");
          held.push(answersIn(heard).at(-1) as AnswerFrame);
          assert.ok(held.every(isWhole));
          for (const at of givenBack) {
            const [answer] = held.splice(at, 1);
            if (answer !== undefined) heard.carriage.taken?.(answer);
          }
        }
      }),
      { numRuns: 4 },
    );
  });

  it("is not kept beyond the last stream", () => {
    const buffers = new FrameBuffers();
    const made = Array.from({ length: 2 * frameBuffersKeptMax }, () => buffers.allocate(1_000_000));
    for (const each of made) buffers.give(buffers.below(each) as ArrayBufferLike);
    const kept = made.filter(() => buffers.kept(1_000_000) !== undefined);
    assert.equal(kept.length, frameBuffersKeptMax);
    for (const each of made) buffers.give(each.buffer);
    buffers.clear();
    assert.equal(buffers.kept(1_000_000), undefined);
  });

  it("is its own: of a view of anything else there is no buffer to give back", () => {
    const buffers = new FrameBuffers();
    assert.equal(buffers.below(new Uint8Array(1_000_000)), undefined);
    assert.equal(buffers.below(buffers.allocate(frameBufferBytes + 1)), undefined);
    assert.equal(buffers.below(buffers.allocate(1000)), undefined);
  });
});

describe("the frame of an answer", () => {
  const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });
  const proofs = fc.record({
    record: bytes(40),
    position: fc.nat(1000),
    path: fc.array(bytes(32), { maxLength: 3 }),
    leaf: bytes(40),
  });
  const answers = fc.record(
    {
      headers: bytes(30),
      messages: fc.array(
        fc.oneof(
          bytes(20),
          fc.nat(40_000).map((size) => new Uint8Array(size)),
        ),
        {
          maxLength: 6,
        },
      ),
      status: bytes(30),
      proof: proofs,
      openings: fc.array(fc.record({ label: fc.constant("status"), salt: bytes(32) })),
      opened: proofs,
    },
    { requiredKeys: ["messages"] },
  );

  it("is its protobuf encoding behind gRPC's prefix, however long its messages are", () => {
    fc.assert(
      fc.property(answers, (init) => {
        const value = create(AnswerFrameSchema, init as MessageInitShape<typeof AnswerFrameSchema>);
        const body: FrameBody = { case: "answer", value };
        const frame = create(FrameSchema, { body });
        const encoded = toBinary(ExchangeRequestSchema, create(ExchangeRequestSchema, { frame }));
        assert.deepEqual(wholeFrame(body), frameMessage(encoded));
      }),
    );
  });

  it("has its long messages as they lie", () => {
    const body = segment(1, 3);
    const pieces = encodeStreamFrame(body);
    const messages = body.case === "answer" ? body.value.messages : [];
    assert.deepEqual(
      pieces.filter((piece) => messages.includes(piece)),
      messages,
    );
    assert.equal(pieces.length, 2 * messages.length + 1);
  });

  it("is MESSAGE_TOO_LARGE above its limit", () => {
    const messages = [new Uint8Array(exchangeFrameBytesMax)];
    const value = create(AnswerFrameSchema, { messages });
    assert.throws(() => encodeStreamFrame({ case: "answer", value }), {
      code: "MESSAGE_TOO_LARGE",
    });
  });
});

/** A stream whose client reads nothing until it is resumed, and the provider's end of it. */
async function unread(
  side: Side,
): Promise<{ readonly raw: ClientHttp2Stream; readonly carriage: Carriage }> {
  const raw = rawStream(rawSession(side.port));
  raw.once("end", () => raw.end());
  raw.write(wholeFrame(cancelFrame()));
  await until(() => side.served.length === 1, "the stream");
  return { raw, carriage: servedOf(side).carriage };
}

describe("back-pressure of a stream", () => {
  it("holds a sender up while the other side reads nothing, and loses nothing", async () => {
    const side = await serve();
    const { raw, carriage } = await unread(side);
    const count = 200;
    let sent = 0;
    const sending = (async () => {
      while (sent < count) {
        await carriage.ready();
        carriage.send(answer(64 * 1024));
        sent++;
      }
    })();
    // What is under way ends at the windows of both sides: then nothing moves any more.
    let before = -1;
    while (before !== sent) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.ok(sent * 64 * 1024 < 4 * 1024 * 1024, `${sent} messages are under way`);
    assert.ok(sent * 64 * 1024 >= exchangeQueueBytes);
    let received = 0;
    raw.on("data", (chunk: Buffer) => {
      received += chunk.length;
    });
    await within(5000, "all to be sent", sending);
    const expected = count * wholeFrame(answer(64 * 1024)).length;
    await until(() => received >= expected, "all messages");
    assert.equal(received, expected);
  });

  it("delivers no further frame once it was closed from within one", async () => {
    const side = await serve();
    const { raw } = await unread(side);
    const other = servedOf(side);
    await until(() => other.frames.length === 1, "the first frame");
    const onFrame = other.onFrame.bind(other);
    other.onFrame = (body) => {
      onFrame(body);
      other.carriage.close();
    };
    raw.write(Buffer.concat([1, 2, 3].map((bytes) => wholeFrame(request(bytes)))));
    raw.resume();
    await until(() => side.server.countOf(side.link) === 0, "the end of the stream");
    assert.equal(other.frames.length, 2);
    assert.equal(other.lost, 0);
  });

  for (const [how, end] of [
    ["left", (raw: ClientHttp2Stream) => void raw.resume()],
    [
      "never will: its stream is reset",
      (raw: ClientHttp2Stream) => raw.close(constants.NGHTTP2_CANCEL),
    ],
    ["never will: its connection is cut", (_raw: unknown, side: Side) => side.server.close()],
  ] as const) {
    it(`says once of a frame that is not read that it has ${how}`, async () => {
      const side = await serve();
      const { raw, carriage } = await unread(side);
      const written: string[] = [];
      for (const name of ["first", "second"]) {
        carriage.send(answer(8 << 20), (hasLeft) => written.push(`${name} ${hasLeft}`));
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.equal(written.length, 0);
      end(raw, side);
      await until(() => written.length === 2, "both frames");
      carriage.close();
      await until(() => side.server.countOf(side.link) === 0, "the end of the stream");
      carriage.send(answer(1), (hasLeft) => written.push(`third ${hasLeft}`));
      const left = how === "left";
      assert.deepEqual(written.toSorted(), [`first ${left}`, `second ${left}`, "third false"]);
    });
  }

  it("is lost when the other side resets it in the middle of a frame", async () => {
    const side = await serve();
    const { raw } = await unread(side);
    raw.write(wholeFrame(request(100_000)).subarray(0, 50_000));
    await new Promise((resolve) => setTimeout(resolve, 20));
    raw.close(constants.NGHTTP2_CANCEL);
    await until(() => servedOf(side).lost === 1, "the loss");
    assert.equal(servedOf(side).frames.length, 1);
  });
});

describe("a stream whose other side breaks the protocol", () => {
  const wrong: readonly (readonly [string, Buffer, string])[] = [
    ["no message of ours", frameMessage(Buffer.of(0xff, 0xff, 0xff)), "PROTOCOL_ERROR"],
    ["a message without a frame", frameMessage(new Uint8Array(0)), "PROTOCOL_ERROR"],
    // Field 1 of the request is a frame, field 1 of that its number, field 12 a cancel.
    ["a number", frameMessage(Buffer.of(0x0a, 4, 0x08, 7, 0x62, 0)), "PROTOCOL_ERROR"],
    ["a frame of the other side", wholeFrame(answer(1)), "PROTOCOL_ERROR"],
    ["unknown flags", Buffer.of(2, 0, 0, 0, 0), "PROTOCOL_ERROR"],
    ["a compressed message", Buffer.of(1, 0, 0, 0, 1, 0), "PROTOCOL_ERROR"],
    ["a message beyond the limit", Buffer.of(0, 0x7f, 0, 0, 0), "MESSAGE_TOO_LARGE"],
  ];
  for (const [name, bytes, reason] of wrong) {
    it(`ends alone, ${reason}, after ${name}`, async () => {
      const side = await serve();
      const session = rawSession(side.port);
      const good = rawStream(session);
      good.write(wholeFrame(cancelFrame()));
      const bad = rawStream(session);
      const answered = reasonOf(bad);
      bad.write(bytes);
      assert.equal(await answered, reason);
      await until(() => side.served[1]?.lost === 1, "the loss");
      assert.deepEqual(
        side.refused.map(({ code }) => code),
        [reason],
      );
      good.write(wholeFrame(request(3)));
      await until(() => servedOf(side).frames.length === 2, "the other stream");
    });
  }

  it("passes over a frame of a later release", async () => {
    const side = await serve();
    const stream = rawStream(rawSession(side.port));
    stream.write(frameMessage(Buffer.of(0x0a, 3, 0x9a, 0x06, 0)));
    stream.write(wholeFrame(cancelFrame()));
    await until(() => side.served[0]?.frames.length === 1, "the next frame");
    assert.deepEqual(servedOf(side).cases, ["cancel"]);
  });

  it("is lost when it ends inside of a message", async () => {
    const side = await serve();
    const stream = rawStream(rawSession(side.port));
    const answered = reasonOf(stream);
    stream.end(wholeFrame(request(100)).subarray(0, 50));
    assert.equal(await answered, "PROTOCOL_ERROR");
    assert.equal(servedOf(side).lost, 1);
  });

  it("gets no stream at another path", async () => {
    const side = await serve();
    const stream = rawSession(side.port).request({ ":method": "POST", ":path": "/x.Y/Z" });
    stream.on("error", () => undefined);
    assert.equal(await reasonOf(stream), "12");
    assert.equal(side.served.length, 0);
  });

  it("holds no more of frames in part than the limit, on however many connections", async () => {
    const side = await serve({ partialBytesMax: 1_000_000 });
    const part = wholeFrame(request(2_000_000)).subarray(0, 600_000);
    const first = rawSession(side.port);
    rawStream(first).write(part);
    await until(() => side.served.length === 1, "the stream");
    const other = rawStream(rawSession(side.port));
    other.write(part);
    assert.equal(await reasonOf(other), "BUSY");
    assert.equal(side.refused[0]?.code, "BUSY");
    // What has gone with its connection is room again.
    first.destroy();
    await until(() => servedOf(side).lost === 1, "the loss");
    const third = rawStream(rawSession(side.port));
    third.write(part);
    third.write(part);
    assert.equal(await reasonOf(third), "BUSY");
    const last = rawStream(rawSession(side.port));
    last.write(wholeFrame(request(600_000)));
    await until(() => side.served.at(-1)?.cases[0] === "request", "a frame that fits");
  });

  it("has no more streams open than the limit, on however many connections", async () => {
    const side = await serve();
    const sessions = [rawSession(side.port), rawSession(side.port)];
    for (let i = 0; i < exchangeStreamsMax; i++) {
      rawStream(sessions[i % 2] as ClientHttp2Session).write(wholeFrame(cancelFrame()));
    }
    await until(() => side.served.length === exchangeStreamsMax, "all streams");
    const heard = open(client(side.port));
    await until(() => heard.frames.length === 1, "the answer");
    assert.deepEqual(heard.frames, [failedFrame("BUSY")]);
    assert.equal(side.served.length, exchangeStreamsMax);
    assert.equal(side.refused[0]?.code, "BUSY");
    assert.deepEqual(side.busy, [side.link]);
  });
});

describe("the opener of streams", () => {
  it("opens no more than the limit beside one link", async () => {
    const side = await serve();
    const streams = client(side.port);
    for (let i = 0; i < exchangeStreamsMax; i++) open(streams);
    const heard = open(streams);
    await until(() => heard.lost === 1, "the answer");
    assert.deepEqual([heard.frames, heard.unopened], [[], "BUSY"]);
  });

  it("opens none beside a link that has ended", async () => {
    const side = await serve();
    const streams = client(side.port);
    streams.close();
    const heard = open(streams);
    await until(() => heard.lost === 1, "the loss");
    assert.deepEqual([heard.frames, heard.unopened], [[], undefined]);
    assert.equal(side.served.length, 0);
  });
});
