import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { createUuidV7 } from "../../src/base/ids.ts";
import { requestCreditBytes } from "../../src/base/limits.ts";
import { toBase64url } from "../../src/base/bytes.ts";
import { commit } from "../../src/crypto/commitments.ts";
import { transcriptOf } from "../../src/crypto/transcript.ts";
import { JoinedCalls } from "../../src/exchange/joined-calls.ts";
import type { FrameBody, LinkEnd } from "../../src/exchange/ports.ts";
import { type ProviderPorts, ProviderSide } from "../../src/exchange/provider.ts";
import type {
  UnaryAnswer,
  UpstreamConnector,
  UpstreamListener,
} from "../../src/exchange/transport/ports.ts";
import { MetadataSchema, StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { CallFrameSchema, FrameSchema } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import {
  CallStatementSchema,
  DecisionSchema,
  Durability,
  ObligationsSchema,
  Verdict,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { Outcome } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { QueuedRecord, SealedRecord } from "../../src/ledger/ports.ts";
import { callPaths, encodeCallStatement, openCallStatement } from "../../src/record/call-tree.ts";
import { openRecord } from "../../src/record/record.ts";

const gateway = "hangzhou/civil-affairs/gw1";
const peer = "shenzhen/market-regulation/gw1";
const service = "hangzhou/civil-affairs/divisions";
const unary = "/divisions.v1.Divisions/Get";
const stream = "/divisions.v1.Divisions/Chat";
const collect = "/divisions.v1.Divisions/Collect";
const bytes = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A provider's side with a link, whose upstream answers when the test says so. */
class Provider {
  readonly side: ProviderSide;
  readonly sealed: Uint8Array[] = [];
  readonly frames: { readonly exchange: bigint; readonly body: FrameBody }[] = [];
  readonly written: Uint8Array[] = [];
  /** What is sealed next is durable when one of these is called; without, in the next turn. */
  seals: (() => void)[] | undefined;
  reserved = 0;
  /** Whether what is sealed is final at once. */
  isFinal = false;
  acknowledged: (() => void) | undefined;
  answer: (answer: UnaryAnswer) => void = () => assert.fail("the upstream is not called");
  listener: UpstreamListener | undefined;
  readonly handler: ReturnType<ProviderSide["serve"]>;
  readonly #boot = bytes(16);

  constructor(options: { readonly durability?: Durability } = {}) {
    this.side = new ProviderSide(this.#ports(options.durability ?? Durability.JOURNAL));
    const link: LinkEnd = {
      peer,
      peerTlsKey: bytes(32),
      peerBoot: bytes(16),
      renewBoot: () => undefined,
      lost: false,
      shownRoot: () => undefined,
      send: (exchange, body) => this.frames.push({ exchange, body }),
    };
    this.handler = this.side.serve(link);
  }

  #ports(durability: Durability): ProviderPorts {
    const span = { trace: undefined, sealed: () => undefined, end: () => undefined };
    const bounds = { skew_s: 5, segment_messages: 1024, segment_bytes: 1 << 20 };
    const methods = [
      { path: unary, writes: false, client_streaming: false, server_streaming: false },
      { path: stream, writes: false, client_streaming: true, server_streaming: true },
      { path: collect, writes: false, client_streaming: true, server_streaming: false },
    ];
    const fact = { id: service, body: { methods, max_staleness_s: 900 } };
    const view = {
      network: { bounds },
      service: () => fact,
      grantAt: () => ({ jti: "a grant" }),
    };
    const connector: UpstreamConnector = {
      kind: "grpc",
      callUnary: () => new Promise((resolve) => (this.answer = resolve)),
      open: (_call, listener) => {
        this.listener = listener;
        return {
          write: async (message) => void this.written.push(message),
          halfClose: () => undefined,
          take: () => undefined,
        };
      },
      close: async () => undefined,
    };
    const ports = {
      self: { gateway, agency: "hangzhou/civil-affairs", boot: this.#boot, startedAtMs: 0 },
      clock: { nowMs: () => Date.now(), monotonicMs: () => performance.now() },
      scheduler: { after: () => () => undefined },
      defer: (work: () => void) => setImmediate(work),
      random: bytes,
      replica: {
        view: () => view,
        final: () => ({ size: 100n, timeMs: Date.now() }),
        indexOfLeaf: () => (this.isFinal ? 1n : undefined),
        onFinal: () => () => undefined,
      },
      sealer: { seal: (record: QueuedRecord) => this.#seal(record) },
      openings: { put: () => undefined },
      events: {
        startSpan: () => span,
        segmentSealed: () => undefined,
        exchangeEnded: () => undefined,
        refused: () => undefined,
        internalError: ({ error }: { error: unknown }) => assert.ifError(error),
      },
      messageBytesMax: 4 << 20,
      verifyToken: async (token: string) => ({
        digest: Buffer.from(token, "base64url"),
        claims: { exp: Math.floor(Date.now() / 1000) + 60, root: this.#root, n: 1 },
      }),
      decide: (_view: unknown, { grant }: { grant: { index: bigint; position: number } }) => {
        this.reserved += 1;
        return {
          verdict: "permit",
          decision: create(DecisionSchema, {
            decidedSize: 1n,
            evaluatedAt: 1n,
            grant,
            grantJti: "01890000-0000-7000-8000-000000000000",
            service: { index: 1n, position: 0 },
            serviceVersion: 1n,
            descriptorDigest: new Uint8Array(32),
            verdict: Verdict.PERMIT,
          }),
          obligations: create(ObligationsSchema, { durability, window: 4 }),
          reservation: { end: () => (this.reserved -= 1) },
        };
      },
      localTakings: { get: () => undefined },
      unacknowledged: {
        overdue: () => false,
        released: (_peer: string, _sealed: SealedRecord, acknowledged?: () => void) => {
          this.acknowledged = acknowledged;
        },
      },
      upstream: () => connector,
      joined: new JoinedCalls(),
    };
    return ports as unknown as ProviderPorts;
  }

  #root: Uint8Array = new Uint8Array(32);

  async #seal({ record }: QueuedRecord): Promise<SealedRecord> {
    this.sealed.push(record);
    const { seals } = this;
    await (seals === undefined ? turn() : new Promise<void>((resolve) => seals.push(resolve)));
    const leaf = bytes(200);
    return { record, replaced: false, position: 0, path: [], leaf, leafHash: bytes(32) };
  }

  /** Sends a body as the consumer's frame. */
  send(exchange: bigint, body: FrameBody): void {
    this.handler.onFrame(create(FrameSchema, { exchange, body }));
  }

  call(exchange: bigint, method: string): void {
    const open = method !== unary;
    const headers = new Uint8Array();
    const message = open ? new Uint8Array() : bytes(10);
    const salt = bytes(32);
    const request = commit({ label: "request", salt, value: transcriptOf(headers, [message]) });
    const statement = encodeCallStatement(
      create(CallStatementSchema, {
        xid: createUuidV7(1000, bytes(10)),
        attempt: 1,
        service,
        method,
        grant: { index: 1n, position: 0 },
        purpose: "address-check",
        ...(open ? { open } : { request }),
      }),
    );
    const { root, paths } = callPaths([statement]);
    this.#root = root;
    const value = create(CallFrameSchema, {
      token: toBase64url(bytes(32)),
      statement,
      path: [...(paths[0] ?? [])],
      headers,
      message,
      openings: [{ label: "request", salt, value: new Uint8Array() }],
    });
    this.send(exchange, { case: "call", value });
  }

  request(exchange: bigint, message: Uint8Array): void {
    this.send(exchange, {
      case: "request",
      value: { $typeName: "causeway.exchange.v1.RequestFrame", message },
    });
  }

  cancel(exchange: bigint): void {
    this.send(exchange, {
      case: "cancel",
      value: { $typeName: "causeway.exchange.v1.CancelFrame" },
    });
  }

  records(): readonly ReturnType<typeof openRecord>["body"][] {
    return this.sealed.map((record) => openRecord(record).body);
  }

  sent(exchange: bigint): readonly FrameBody[] {
    return this.frames.filter((frame) => frame.exchange === exchange).map(({ body }) => body);
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

function answered(messages: readonly Uint8Array[]): UnaryAnswer {
  return {
    headers: create(MetadataSchema),
    messages,
    status: create(StatusFrameSchema, { code: 0, trailers: {} }),
  };
}

describe("the provider's side of calls on a link", () => {
  it("reserves nothing for a call that is cancelled while it is judged", async () => {
    const provider = new Provider();
    provider.call(1n, unary);
    provider.cancel(1n);
    await settle();
    assert.equal(provider.reserved, 0);
    assert.equal(provider.side.openAttempts, 0);
    provider.call(2n, unary);
    await settle();
    assert.equal(provider.reserved, 1);
    provider.cancel(2n);
    assert.equal(provider.reserved, 0);
  });

  it("receipts the request that was called with, whatever else a consumer sends for it", async () => {
    const provider = new Provider();
    provider.call(1n, unary);
    provider.request(1n, bytes(10));
    await settle();
    provider.request(1n, bytes(2 * requestCreditBytes));
    provider.send(1n, {
      case: "halfClose",
      value: { $typeName: "causeway.exchange.v1.HalfCloseFrame" },
    });
    provider.answer(answered([bytes(10)]));
    await settle();
    const [receipt] = provider.records();
    assert.ok(receipt?.case === "receipt" && receipt.value.start.case === "begin");
    const { statement = new Uint8Array() } = receipt.value.start.value.call ?? {};
    assert.ok(statement.length > 0);
    assert.deepEqual(receipt.value.progress?.request, openCallStatement(statement).request);
    assert.equal(receipt.value.progress?.requestFrames, 2n);
  });

  it("keeps nothing of a large answer that its consumer cancels", async () => {
    const provider = new Provider();
    provider.call(1n, unary);
    await settle();
    provider.answer(answered([bytes(1 << 20)]));
    await settle();
    const parts = (): number =>
      provider.sent(1n).filter(({ case: kind }) => kind === "part").length;
    assert.equal(parts(), 4);
    provider.cancel(1n);
    // Its number is free again: a call under it is a call.
    provider.call(1n, unary);
    await settle();
    provider.answer(answered([bytes(10)]));
    await settle();
    assert.equal(parts(), 4);
    assert.equal(provider.sent(1n).at(-1)?.case, "answer");
  });

  it("gives up a large answer whose consumer takes more than was sent", async () => {
    const provider = new Provider();
    provider.call(1n, unary);
    await settle();
    provider.answer(answered([bytes(1 << 20)]));
    await settle();
    const { $typeName } = { $typeName: "causeway.exchange.v1.CreditFrame" as const };
    provider.send(1n, { case: "credit", value: { $typeName, messages: 0n, bytes: 1n << 40n } });
    provider.call(1n, unary);
    await settle();
    provider.answer(answered([bytes(10)]));
    await settle();
    assert.equal(provider.sent(1n).at(-1)?.case, "answer");
  });

  it("keeps nothing of an attempt until its last receipt is acknowledged", async () => {
    const provider = new Provider();
    provider.call(1n, unary);
    await settle();
    provider.answer(answered([bytes(10)]));
    await settle();
    assert.equal(provider.sent(1n).at(-1)?.case, "answer");
    assert.equal(provider.acknowledged, undefined);
  });

  it("refuses a request beyond its credit that came before the call was judged, and calls nothing", async () => {
    const provider = new Provider();
    provider.call(1n, stream);
    provider.request(1n, bytes(1000));
    for (let sent = 0; sent <= requestCreditBytes; sent += 60_000) {
      provider.request(1n, bytes(60_000));
    }
    await settle();
    const [refusal] = provider.records();
    assert.ok(refusal?.case === "refusal");
    assert.equal(refusal.value.reason, "MESSAGE_TOO_LARGE");
    assert.equal(refusal.value.upstreamCalled, false);
    assert.equal(provider.listener, undefined);
    assert.equal(provider.reserved, 0);
  });

  it("seals no segment without anything in it", async () => {
    const provider = new Provider();
    provider.seals = [];
    provider.call(1n, stream);
    await settle();
    const listener = provider.listener as UpstreamListener;
    listener.onHeaders(create(MetadataSchema));
    await settle();
    listener.onMessage(bytes(10));
    await settle();
    // It goes into the segment that is begun when the first one is durable, in this very turn.
    listener.onMessage(bytes(10));
    provider.seals.shift()?.();
    await settle();
    provider.seals.shift()?.();
    await settle();
    const progress = provider.records().map((body) => {
      assert.ok(body.case === "receipt" && body.value.progress !== undefined);
      return [body.value.progress.framesFirst, body.value.progress.framesEnd];
    });
    assert.deepEqual(progress, [
      [0n, 1n],
      [1n, 3n],
    ]);
  });

  for (const when of ["once it is durable", "while it is sealed"]) {
    it(`closes a call that is cancelled while a receipt waits to be final, as cancelled, ${when}`, async () => {
      const provider = new Provider({ durability: Durability.LEDGER });
      provider.seals = [];
      provider.call(1n, stream);
      await settle();
      provider.listener?.onHeaders(create(MetadataSchema));
      await settle();
      if (when === "while it is sealed") provider.cancel(1n);
      provider.seals.shift()?.();
      await settle();
      if (when === "once it is durable") {
        assert.deepEqual(provider.sent(1n), []);
        provider.cancel(1n);
        await settle();
      }
      provider.seals.shift()?.();
      await settle();
      const [receipt, closed] = provider.records();
      assert.ok(receipt?.case === "receipt" && closed?.case === "closed");
      assert.equal(closed.value.outcome, Outcome.CANCELLED);
      assert.equal(closed.value.frames, 0n);
      assert.deepEqual(
        provider.sent(1n).map(({ case: kind }) => kind),
        ["refused"],
      );
      assert.equal(provider.side.openAttempts, 0);
      assert.ok(!provider.side.hasUnsealed);
    });
  }

  for (const [messages, code, released, status] of [
    [1, 0, 1, 0],
    [0, 0, 0, 13],
    [2, 0, 0, 13],
    [1, 5, 0, 5],
    [0, 5, 0, 5],
  ] as const) {
    it(`releases ${released} messages and status ${status} of a client stream's answer of ${messages} with ${code}`, async () => {
      const provider = new Provider();
      provider.call(1n, collect);
      await settle();
      const listener = provider.listener as UpstreamListener;
      listener.onHeaders(create(MetadataSchema));
      await settle();
      for (let i = 0; i < messages; i++) listener.onMessage(bytes(10));
      await settle();
      listener.onEnd(create(StatusFrameSchema, { code, trailers: {} }));
      await settle();
      const answers = provider
        .sent(1n)
        .flatMap(({ case: kind, value }) => (kind === "answer" ? [value] : []));
      assert.equal(answers.flatMap((answer) => answer.messages).length, released);
      const last = provider.records().at(-1);
      assert.ok(last?.case === "receipt" && last.value.final);
      assert.equal(last.value.status?.grpcCode, status);
    });
  }

  it("shows no refusal without a record behind a receipt that was released", async () => {
    const provider = new Provider({ durability: Durability.LEDGER });
    provider.isFinal = true;
    provider.call(1n, stream);
    await settle();
    provider.listener?.onHeaders(create(MetadataSchema));
    await settle();
    provider.isFinal = false;
    provider.listener?.onMessage(bytes(10));
    await settle();
    provider.cancel(1n);
    await settle();
    assert.deepEqual(
      provider.records().map((body) => body.case),
      ["receipt", "receipt", "closed"],
    );
    const [released, ended] = provider.sent(1n);
    assert.equal(released?.case, "answer");
    assert.ok(ended?.case === "failed" && ended.value.reason === "CANCELLED");
  });
});
