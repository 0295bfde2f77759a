import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { afterEach, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { FrameBody } from "../../src/exchange/ports.ts";
import { Client, type ClientDuplexStream, credentials, Metadata, Server } from "@grpc/grpc-js";
import { connect } from "node:tls";
import * as fc from "fast-check";
import { CausewayError } from "../../src/base/errors.ts";
import {
  linkAcknowledgeMs,
  linkBatchFramesMax,
  linkExchangesMax,
  linkIdleMs,
  linkQueueBytesMax,
} from "../../src/base/limits.ts";
import { acknowledgementFrame, cancelFrame, refusedFrame } from "../../src/exchange/frames.ts";
import { type Activity, LinkActivity } from "../../src/exchange/transport/link-activity.ts";
import { retireLink } from "../../src/exchange/transport/link-retirement.ts";
import { grpcServerOptions } from "../../src/exchange/transport/grpc-options.ts";
import type { Link, LinkHooks } from "../../src/exchange/transport/link.ts";
import { openLink } from "../../src/exchange/transport/link-client.ts";
import {
  connectMethod,
  decodeBatch,
  encodeBatch,
  encodeFrame,
} from "../../src/exchange/transport/link-codec.ts";
import { LinkPool } from "../../src/exchange/transport/link-pool.ts";
import {
  createLinkService,
  type LinkServiceHandler,
} from "../../src/exchange/transport/link-server.ts";
import { type LinkListener, listenForPeers } from "../../src/exchange/transport/link-listener.ts";
import {
  AnswerFrameSchema,
  CallFrameSchema,
  ConnectRequestSchema,
  type Frame,
  FrameSchema,
  HelloSchema,
  PartFrameSchema,
  ProofSchema,
} from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { toBinary } from "@bufbuild/protobuf";
import { createIdentity, type Identity, peerTls, scheduler, within } from "./support.ts";

const timing = { scheduler, defer: (run: () => void) => void setImmediate(run) };
const hello = (token: string): LinkHooks => ({
  hello: async () => create(HelloSchema, { token }),
  onHello: async () => undefined,
});

const provider = createIdentity("shenzhen/tax/gw1");
const consumer = createIdentity("hangzhou/market/gw1");
const stranger = createIdentity("hangzhou/market/gw2");

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface Peer {
  readonly port: number;
  readonly server: Server;
  readonly service: LinkServiceHandler;
  readonly listener: LinkListener;
  readonly accepted: Link[];
  readonly refused: CausewayError[];
}

async function serve(
  options: {
    port?: number;
    trusted?: readonly Identity[];
    hooks?: LinkHooks;
    refuses?: (certificate: Uint8Array) => CausewayError | undefined;
    onLink?: (link: Link) => void;
  } = {},
): Promise<Peer> {
  const accepted: Link[] = [];
  const refused: CausewayError[] = [];
  const service = createLinkService({
    ...(options.hooks ?? hello("provider")),
    ...timing,
    refuses: options.refuses ?? (() => undefined),
    onLink: (link) => {
      accepted.push(link);
      options.onLink?.(link);
    },
    onRefused: (error) => refused.push(error),
  });
  const server = new Server(grpcServerOptions);
  server.addService(service.definition, service.implementation);
  const listener = await listenForPeers({
    host: "127.0.0.1",
    port: options.port ?? 0,
    tls: peerTls(provider, ...(options.trusted ?? [consumer])),
    grpc: server,
    scheduler,
    onStreams: (socket) => socket.destroy(),
  });
  cleanups.push(async () => {
    await listener.close();
    server.forceShutdown();
  });
  return { port: listener.port, server, service, listener, accepted, refused };
}

async function open(
  port: number,
  options: { own?: Identity; trusted?: readonly Identity[]; hooks?: LinkHooks } = {},
): Promise<Link> {
  const tls = peerTls(options.own ?? consumer, ...(options.trusted ?? [provider]));
  const link = await openLink(
    { address: `127.0.0.1:${port}`, tls },
    options.hooks ?? hello("consumer"),
    timing,
  );
  cleanups.push(() => link.close());
  return link;
}

function failedFrame(exchange: bigint, reason = "x"): Frame {
  return create(FrameSchema, { exchange, body: { case: "failed", value: { reason } } });
}

function largeFrame(exchange: bigint, bytes: number): Frame {
  const body = { case: "part", value: { bytes: new Uint8Array(bytes) } } as const;
  return create(FrameSchema, { exchange, body });
}

async function until(condition: () => boolean, what = "the condition"): Promise<void> {
  const wait = async (): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
  };
  await within(5000, what, wait());
}

function collect(link: Link): bigint[] {
  const seen: bigint[] = [];
  link.onFrame((frame) => seen.push(frame.exchange));
  return seen;
}

describe("the multiplexed link over mutual TLS", () => {
  it("carries thousands of frames both ways, in order", async () => {
    let back: bigint[] = [];
    const peer = await serve({ onLink: (link) => (back = collect(link)) });
    const link = await open(peer.port);
    const seen = collect(link);
    const count = 8000;
    for (let i = 1; i <= count; i++) {
      const size = i % 100 === 0 ? 30_000 : i % 300;
      link.send(largeFrame(BigInt(i), size));
      peer.accepted[0]?.send(largeFrame(BigInt(i), size));
      if (i % 40 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => back.length === count && seen.length === count, "all frames");
    const expected = Array.from({ length: count }, (_, i) => BigInt(i + 1));
    assert.deepEqual(back, expected);
    assert.deepEqual(seen, expected);
    assert.equal(link.congested, false);
  });

  it("writes the frames of one turn as one message", async () => {
    const peer = await serve();
    const messages: number[] = [];
    const { duplex, greet } = rawConnect(peer.port, consumer);
    duplex.on("data", (message: Buffer) => messages.push(decodeBatch(message).length));
    greet();
    await until(() => messages.length === 1);
    for (let i = 0; i < 50; i++) peer.accepted[0]?.send(failedFrame(BigInt(i)));
    await until(() => messages.length >= 2);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(messages, [1, 50]);
  });

  it("gives each side the other's Hello and certificate", async () => {
    const peer = await serve();
    const link = await open(peer.port, { trusted: [stranger, provider] });
    assert.equal(link.hello.token, "provider");
    assert.deepEqual(link.peerCertificate, provider.der);
    const [accepted] = peer.accepted;
    assert.equal(accepted?.hello.token, "consumer");
    assert.deepEqual(accepted.peerCertificate, consumer.der);
  });

  it("does not open for a certificate that either side does not trust", async () => {
    const peer = await serve();
    await assert.rejects(open(peer.port, { own: stranger }), { code: "PEER_UNAVAILABLE" });
    await assert.rejects(open(peer.port, { trusted: [stranger] }), { code: "PEER_UNAVAILABLE" });
    await assert.rejects(open(peer.port, { trusted: [] }), { code: "PEER_UNAVAILABLE" });
    assert.deepEqual(peer.accepted, []);
    const nobody = await serve({ trusted: [] });
    await assert.rejects(open(nobody.port), { code: "PEER_UNAVAILABLE" });
  });

  it("speaks TLS 1.3 and nothing older", async () => {
    const peer = await serve();
    const failure = await new Promise<Error | undefined>((resolve) => {
      const socket = connect({
        port: peer.port,
        host: "127.0.0.1",
        maxVersion: "TLSv1.2",
        ca: provider.certificate,
        cert: consumer.certificate,
        key: consumer.privateKey,
        checkServerIdentity: () => undefined,
      });
      socket.on("secureConnect", () => resolve(undefined));
      socket.on("error", resolve);
    });
    assert.match(String(failure), /protocol version/i);
  });

  it("gives the peer's reason when its Hello is refused, on either side", async () => {
    const refusing: LinkHooks = {
      hello: async () => create(HelloSchema, { token: "t" }),
      onHello: async () => new CausewayError("TOKEN_EXPIRED", "late"),
    };
    const peer = await serve({ hooks: refusing });
    await assert.rejects(open(peer.port), { code: "TOKEN_EXPIRED" });
    assert.deepEqual(
      peer.refused.map(({ code }) => code),
      ["TOKEN_EXPIRED"],
    );
    const other = await serve();
    await assert.rejects(open(other.port, { hooks: refusing }), { code: "TOKEN_EXPIRED" });
    await until(() => other.service.links.size === 0);
  });

  it("refuses a certificate that the application refuses, with its reason", async () => {
    const peer = await serve({
      refuses: () => new CausewayError("MEMBER_NOT_ACTIVE", "suspended"),
    });
    await assert.rejects(open(peer.port), { code: "MEMBER_NOT_ACTIVE" });
  });

  it("ends a link whose first message is not exactly one Hello, or that says Hello again", async () => {
    const helloFrame = encodeFrame(
      create(FrameSchema, { body: { case: "hello", value: { token: "t" } } }),
    );
    const numbered = encodeFrame(
      create(FrameSchema, { exchange: 1n, body: { case: "hello", value: { token: "t" } } }),
    );
    const other = encodeFrame(failedFrame(1n));
    const starts: [Buffer[], string][] = [
      [[encodeBatch([other])], "PROTOCOL_ERROR"],
      [[encodeBatch([helloFrame, other])], "PROTOCOL_ERROR"],
      [[encodeBatch([helloFrame, helloFrame])], "PROTOCOL_ERROR"],
      [[encodeBatch([numbered])], "PROTOCOL_ERROR"],
      [[encodeBatch([])], "PROTOCOL_ERROR"],
      [[Buffer.from([0x0a, 0x7f, 1])], "MALFORMED"],
      [[encodeBatch([helloFrame]), encodeBatch([helloFrame])], "PROTOCOL_ERROR"],
    ];
    for (const [messages, code] of starts) {
      const ends: (CausewayError | undefined)[] = [];
      const peer = await serve({ onLink: (link) => link.onClose((error) => ends.push(error)) });
      const { duplex } = rawConnect(peer.port, consumer);
      for (const message of messages) duplex.write(message);
      await until(() => ends.length + peer.refused.length === 1, code);
      assert.equal((ends[0] ?? peer.refused[0])?.code, code);
    }
  });

  it("survives garbage: mutated messages end their link and nothing else", async () => {
    const peer = await serve();
    const standing = await open(peer.port);
    const helloMessage = encodeBatch([
      encodeFrame(create(FrameSchema, { body: { case: "hello", value: { token: "t" } } })),
    ]);
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 40 }), async (bytes) => {
        const { duplex, ended } = rawConnect(peer.port, consumer);
        duplex.write(helloMessage);
        duplex.write(Buffer.from(bytes));
        duplex.end();
        await within(3000, "the end", ended);
      }),
      { numRuns: 25 },
    );
    const seen = collect(peer.accepted[0] as Link);
    standing.send(failedFrame(5n));
    await until(() => seen.length === 1);
  });

  it("reports the loss of a link once on each side", async () => {
    const ends: (string | undefined)[] = [];
    const peer = await serve({ onLink: (l) => l.onClose((error) => ends.push(error?.code)) });
    const link = await open(peer.port);
    const own: (string | undefined)[] = [];
    link.onClose((error) => own.push(error?.code));
    await peer.listener.close();
    peer.server.forceShutdown();
    await until(() => own.length > 0, "the loss at the one side");
    await until(() => ends.length > 0, "the loss at the other side");
    link.send(failedFrame(1n));
    link.close();
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.deepEqual(own, ["PEER_UNAVAILABLE"]);
    assert.deepEqual(ends, ["PEER_LOST"]);
  });

  it("writes what was sent before a close, and tells the other side that it ended", async () => {
    let seen: bigint[] = [];
    const ends: (string | undefined)[] = [];
    const peer = await serve({
      onLink: (l) => {
        seen = collect(l);
        l.onClose((error) => ends.push(error?.code));
      },
    });
    const link = await open(peer.port);
    const own: unknown[] = [];
    link.onClose((error) => own.push(error));
    for (let i = 0; i < 100; i++) link.send(largeFrame(BigInt(i), 10_000));
    link.close();
    link.send(failedFrame(1000n));
    await until(() => ends.length === 1);
    assert.equal(seen.length, 100);
    assert.deepEqual(ends, ["PEER_LOST"]);
    assert.deepEqual(own, [undefined]);
  });

  it("gives up a link whose other side does not read", async () => {
    const peer = await serve();
    const { duplex, greet } = rawConnect(peer.port, consumer);
    greet();
    await until(() => peer.accepted.length === 1);
    duplex.pause();
    const [link] = peer.accepted as [Link];
    const ends: (string | undefined)[] = [];
    link.onClose((error) => ends.push(error?.code));
    const frame = largeFrame(1n, 512 * 1024);
    const enough = Math.ceil(linkQueueBytesMax / (512 * 1024)) + 10;
    let congested = false;
    for (let i = 0; i < enough && ends.length === 0; i++) {
      link.send(frame);
      congested ||= link.congested;
    }
    assert.deepEqual(ends, ["BUSY"]);
    assert.equal(congested, true);
    assert.equal(link.congested, false);
  });

  it("trusts and shows other certificates without a restart, and ends links of those withdrawn", async () => {
    const withdrawn = new Set<string>();
    const key = (der: Uint8Array): string => Buffer.from(der).toString("hex");
    const peer = await serve({
      refuses: (der) =>
        withdrawn.has(key(der)) ? new CausewayError("KEY_UNKNOWN", "withdrawn") : undefined,
    });
    const first = await open(peer.port);
    const ends: (string | undefined)[] = [];
    first.onClose((error) => ends.push(error?.code));
    await assert.rejects(open(peer.port, { own: stranger }), { code: "PEER_UNAVAILABLE" });
    const renewed = createIdentity("shenzhen/tax/gw1");
    peer.listener.update(peerTls(renewed, stranger));
    const second = await open(peer.port, { own: stranger, trusted: [renewed] });
    assert.deepEqual(second.peerCertificate, renewed.der);
    await assert.rejects(open(peer.port, { trusted: [renewed] }), { code: "PEER_UNAVAILABLE" });
    assert.deepEqual(ends, []);
    withdrawn.add(key(consumer.der));
    peer.service.recheck();
    await until(() => ends.length === 1);
    assert.deepEqual(ends, ["KEY_UNKNOWN"]);
    assert.equal(peer.service.links.size, 1);
  });
});

describe("the pool of links", () => {
  function pool(port: () => number, events: string[] = []): LinkPool {
    const made = new LinkPool({
      ...timing,
      random: (length) => randomBytes(length),
      target: () => ({ address: `127.0.0.1:${port()}`, tls: peerTls(consumer, provider) }),
      hooks: () => hello("consumer"),
      onLink: (link) => {
        events.push("link");
        link.onClose((error) => events.push(error?.code ?? "closed"));
      },
      onFailure: (_peer, error) => events.push(error.code),
    });
    cleanups.push(() => made.close());
    return made;
  }

  it("opens one link for all who ask at once", async () => {
    const peer = await serve();
    const links = pool(() => peer.port);
    const [a, b] = await Promise.all([links.connect("p"), links.connect("p")]);
    assert.equal(a, b);
    assert.equal(await links.connect("p"), a);
    assert.equal(peer.accepted.length, 1);
  });

  it("refuses at once after a failure and comes back by itself when the peer does", async () => {
    const first = await serve();
    const events: string[] = [];
    const links = pool(() => first.port, events);
    await links.connect("p");
    await first.listener.close();
    first.server.forceShutdown();
    await until(() => links.current("p") === undefined);
    await assert.rejects(links.connect("p"), { code: "PEER_UNAVAILABLE" });
    await until(() => events.length >= 3);
    await serve({ port: first.port });
    await until(() => links.current("p") !== undefined, "the new link");
    assert.equal(events[0], "link");
    assert.equal(events.at(-1), "link");
    assert.ok(events.slice(1, -1).every((event) => event === "PEER_UNAVAILABLE"));
  });

  it("opens another link once the peer drains, and keeps the old one until it ends", async () => {
    const peer = await serve();
    const links = pool(() => peer.port);
    const old = await links.connect("p");
    const seen = collect(old);
    peer.service.drain();
    await until(() => old.draining);
    assert.equal(links.current("p"), undefined);
    const next = await links.connect("p");
    assert.notEqual(next, old);
    peer.accepted[0]?.send(failedFrame(9n));
    await until(() => seen.length === 1);
  });

  it("opens another link by itself once the peer drains", async () => {
    const peer = await serve();
    const links = pool(() => peer.port);
    const old = await links.connect("p");
    peer.service.drain();
    await until(() => links.current("p") !== undefined && links.current("p") !== old, "the next");
    assert.equal(peer.accepted.length, 2);
  });

  it("gives the link that stands out until another has taken its place, and then retires it", async () => {
    const peer = await serve();
    const retired: Link[] = [];
    const failures: string[] = [];
    let own = consumer;
    const links = new LinkPool({
      ...timing,
      random: (length) => randomBytes(length),
      target: () => ({ address: `127.0.0.1:${peer.port}`, tls: peerTls(own, provider) }),
      hooks: () => hello("consumer"),
      onLink: () => {},
      onRetired: (link) => retired.push(link),
      onFailure: (_peer, error) => failures.push(error.code),
    });
    cleanups.push(() => links.close());
    const old = await links.connect("p");
    own = stranger;
    links.replaceAll();
    await until(() => failures.length >= 2, "attempts under a certificate that is not trusted");
    assert.equal(links.current("p"), old);
    assert.equal(links.isLost("p"), false);
    peer.listener.update(peerTls(provider, consumer, stranger));
    await until(() => links.current("p") !== old, "the new link");
    assert.deepEqual(retired, [old]);
    assert.deepEqual(peer.accepted.at(-1)?.peerCertificate, stranger.der);
    const ended: unknown[] = [];
    old.onClose((error) => ended.push(error));
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(ended, []);
  });

  it("spreads exchanges over as many links to a peer as it is told to keep", async () => {
    const peer = await serve();
    const links = new LinkPool({
      ...timing,
      linksPerPeer: 3,
      random: (length) => randomBytes(length),
      target: () => ({ address: `127.0.0.1:${peer.port}`, tls: peerTls(consumer, provider) }),
      hooks: () => hello("consumer"),
      onLink: () => {},
    });
    cleanups.push(() => links.close());
    await links.connect("p");
    const given = (): Set<unknown> => new Set([1, 2, 3].map(() => links.current("p")));
    await until(() => given().size === 3, "three links");
    assert.equal(peer.accepted.length, 3);
  });

  it("takes no number of links that is none, or too many", () => {
    for (const linksPerPeer of [0, 1.5, 100]) {
      assert.throws(
        () =>
          new LinkPool({
            ...timing,
            linksPerPeer,
            random: (length) => randomBytes(length),
            target: () => undefined,
            hooks: () => hello("consumer"),
            onLink: () => {},
          }),
        RangeError,
      );
    }
  });

  it("is refused SHUTTING_DOWN by a peer that stops, whose links that stand go on", async () => {
    const peer = await serve();
    const events: string[] = [];
    const links = pool(() => peer.port, events);
    const old = await links.connect("p");
    peer.service.refuseNew();
    await until(() => events.includes("SHUTTING_DOWN"), "the refusal");
    await assert.rejects(links.connect("p"), { code: "SHUTTING_DOWN" });
    const seen = collect(old);
    peer.accepted[0]?.send(failedFrame(9n));
    await until(() => seen.length === 1, "a frame");
  });

  it("ends links to certificates that are bound no more", async () => {
    const peer = await serve();
    let trusted = provider;
    const links = new LinkPool({
      ...timing,
      random: (length) => randomBytes(length),
      target: () => ({ address: `127.0.0.1:${peer.port}`, tls: peerTls(consumer, trusted) }),
      hooks: () => hello("consumer"),
      onLink: () => {},
    });
    cleanups.push(() => links.close());
    const link = await links.connect("p");
    const ends: (string | undefined)[] = [];
    link.onClose((error) => ends.push(error?.code));
    links.recheck();
    assert.deepEqual(ends, []);
    trusted = stranger;
    links.recheck();
    assert.deepEqual(ends, ["KEY_UNKNOWN"]);
    assert.equal(links.current("p"), undefined);
  });
});

describe("a link that takes no new exchanges", () => {
  const call = { case: "call", value: create(CallFrameSchema, {}) } as const;
  const answer = { case: "answer", value: create(AnswerFrameSchema, {}) } as const;
  const part = (last: boolean) =>
    ({ case: "part", value: create(PartFrameSchema, { bytes: Uint8Array.of(1), last }) }) as const;

  it("is busy until every call has its answer, and its acknowledgement", () => {
    const activity = new LinkActivity();
    const seen = [activity.now];
    activity.sent(1n, call);
    activity.sent(2n, call);
    activity.sent(3n, call);
    activity.received(1n, answer);
    activity.received(2n, part(false));
    activity.received(3n, failedFrame(3n).body as FrameBody);
    seen.push(activity.now);
    activity.received(2n, part(true));
    seen.push(activity.now);
    for (const exchange of [1n, 2n])
      activity.sent(exchange, acknowledgementFrame(create(ProofSchema)));
    seen.push(activity.now);
    assert.deepEqual(seen, ["idle", "busy", "acknowledging", "idle"]);
  });

  it("does not wait for the answer to a call that was cancelled", () => {
    const activity = new LinkActivity();
    activity.sent(1n, call);
    activity.sent(1n, cancelFrame());
    assert.equal(activity.now, "acknowledging");
    activity.received(1n, refusedFrame(new Uint8Array(0), undefined, undefined));
    assert.equal(activity.now, "idle");
  });

  it("remembers no more of what is never acknowledged than a link holds open", () => {
    const activity = new LinkActivity();
    for (let exchange = 1n; exchange <= 100_000n; exchange++) {
      activity.sent(exchange, call);
      activity.sent(exchange, cancelFrame());
    }
    let acknowledged = 0n;
    for (; activity.now !== "idle"; acknowledged++) {
      activity.sent(100_000n - acknowledged, acknowledgementFrame(create(ProofSchema)));
    }
    assert.equal(acknowledged, BigInt(linkExchangesMax));
  });

  it("is closed once it is idle, or when acknowledgements do not come", () => {
    for (const [last, waitMs] of [
      ["idle", linkIdleMs],
      ["acknowledging", linkAcknowledgeMs],
    ] as const) {
      let now: Activity = "busy";
      let closed = 0;
      const timers: { readonly delayMs: number; readonly run: () => void; live: boolean }[] = [];
      const retirement = retireLink({
        scheduler: {
          after: (delayMs, run) => {
            const timer = { delayMs, run, live: true };
            timers.push(timer);
            return () => void (timer.live = false);
          },
        },
        activity: () => now,
        close: () => closed++,
      });
      assert.equal(timers.length, 0);
      now = last;
      retirement.check();
      retirement.check();
      assert.deepEqual(
        timers.map(({ delayMs }) => delayMs),
        [waitMs],
      );
      now = "busy";
      retirement.check();
      assert.equal(timers[0]?.live, false);
      now = last;
      retirement.check();
      timers[1]?.run();
      assert.equal(closed, 1);
    }
  });
});

describe("the messages of a link", () => {
  it("have the encoding of ConnectRequest", () => {
    const frames = [failedFrame(1n), largeFrame(300n, 1000), failedFrame(2n, "y")];
    const encoded = encodeBatch(frames.map(encodeFrame));
    const expected = toBinary(ConnectRequestSchema, create(ConnectRequestSchema, { frames }));
    assert.deepEqual(new Uint8Array(encoded), expected);
    assert.deepEqual(
      decodeBatch(expected).map(({ exchange }) => exchange),
      [1n, 300n, 2n],
    );
  });

  it("hold a bounded number of frames, each of a bounded size", () => {
    const small = new Uint8Array(0);
    const fits = encodeBatch(Array.from({ length: linkBatchFramesMax }, () => small));
    assert.equal(decodeBatch(fits).length, linkBatchFramesMax);
    const more = encodeBatch(Array.from({ length: linkBatchFramesMax + 1 }, () => small));
    assert.throws(() => decodeBatch(more), { code: "TOO_LARGE" });
    assert.throws(() => encodeFrame(largeFrame(1n, 1024 * 1024)), { code: "MESSAGE_TOO_LARGE" });
  });
});

function rawConnect(
  port: number,
  own: Identity,
): {
  duplex: ClientDuplexStream<Buffer, Buffer>;
  greet: () => void;
  ended: Promise<void>;
} {
  const secure = credentials.createSsl(
    Buffer.from(provider.certificate),
    Buffer.from(own.privateKey),
    Buffer.from(own.certificate),
    { checkServerIdentity: () => undefined },
  );
  const client = new Client(`localhost:${port}`, secure, {
    "grpc.use_local_subchannel_pool": 1,
  });
  const raw = (bytes: Buffer): Buffer => bytes;
  const duplex = client.makeBidiStreamRequest(connectMethod.path, raw, raw, new Metadata());
  duplex.on("error", () => {});
  const ended = new Promise<void>((resolve) => duplex.on("status", () => resolve()));
  duplex.resume();
  cleanups.push(() => client.close());
  const greet = (): void => {
    const frame = create(FrameSchema, { body: { case: "hello", value: { token: "raw" } } });
    duplex.write(encodeBatch([encodeFrame(frame)]));
  };
  return { duplex, greet, ended };
}
