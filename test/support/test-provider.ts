/** A provider's side of exchanges with one link, whose upstream, seals and acknowledgements the test commands. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { CausewayError } from "../../src/base/errors.ts";
import { createUuidV7 } from "../../src/base/ids.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { peerHeldBytesMax } from "../../src/base/limits.ts";
import { toBase64url } from "../../src/base/bytes.ts";
import type { ServiceBody, ServiceMethod } from "../../src/credential/statements.ts";
import { commit } from "../../src/crypto/commitments.ts";
import { transcriptOf } from "../../src/crypto/transcript.ts";
import { JoinedCalls } from "../../src/exchange/joined-calls.ts";
import { PeerMemories } from "../../src/exchange/peer-memory.ts";
import type {
  AttemptOpenings,
  Carriage,
  CarriageListener,
  FrameBody,
  LinkEnd,
  OpeningItem,
  Written,
} from "../../src/exchange/ports.ts";
import { type ProviderPorts, ProviderSide } from "../../src/exchange/provider.ts";
import type {
  UnaryAnswer,
  UpstreamConnector,
  UpstreamListener,
} from "../../src/exchange/transport/ports.ts";
import { MetadataSchema, StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import {
  type CallFrame,
  CallFrameSchema,
  FrameSchema,
} from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import {
  CallStatementSchema,
  DecisionSchema,
  Durability,
  ObligationsSchema,
  Verdict,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import type { CallFacts } from "../../src/policy/call-attributes.ts";
import { ExpectedRecords } from "../../src/ledger/journal/expected-records.ts";
import type { QueuedRecord, SealedRecord, Seen } from "../../src/ledger/ports.ts";
import { callPaths, encodeCallStatement } from "../../src/record/call-tree.ts";
import { openRecord } from "../../src/record/record.ts";
import type { ServiceFact } from "../../src/registry/state.ts";

const gateway = "hangzhou/civil-affairs/gw1";
const peer = "shenzhen/market-regulation/gw1";
const service = "hangzhou/civil-affairs/divisions";
export const unary: string = "/divisions.v1.Divisions/Get";
export const stream: string = "/divisions.v1.Divisions/Chat";
export const collect: string = "/divisions.v1.Divisions/Collect";
export const methods: readonly ServiceMethod[] = [
  { path: unary, writes: false, client_streaming: false, server_streaming: false },
  { path: stream, writes: false, client_streaming: true, server_streaming: true },
  { path: collect, writes: false, client_streaming: true, server_streaming: false },
];
/** The service as the ledger has it from this index on. */
export function publishedAt(index: bigint, body: Partial<ServiceBody> = {}): ServiceFact {
  const fact = {
    id: service,
    standing: { address: { index, position: 0 } },
    body: { methods, attributes: [], max_staleness_s: 900, ...body },
  };
  return fact as unknown as ServiceFact;
}

const seen: Seen = { size: 100n, root: new Uint8Array(32) };
const standing = { address: { index: 1n, position: 0 }, since: 1n, nbf: 0, exp: 2 ** 40 };
const member = { standing };
/** Everything of any id stands. */
const members = { get: () => [member] };
const grantFact = {
  jti: "a grant",
  standing,
  consumer: "shenzhen/market-regulation",
  detail: { service, methods: methods.map(({ path }) => path), purposes: ["address-check"] },
};
export const bytes = (length: number): Uint8Array => new Uint8Array(randomBytes(length));

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A provider's side with a link, whose upstream answers when the test says so. */
export class TestProvider {
  readonly side: ProviderSide;
  readonly sealed: Uint8Array[] = [];
  readonly frames: { readonly exchange: bigint; readonly body: FrameBody }[] = [];
  readonly written: Uint8Array[] = [];
  /** The upstream takes a message of a request when this resolves. */
  takesRequest: Promise<void> = Promise.resolve();
  /** What is sealed next is durable when one of these is called; without, in the next turn. */
  seals: (() => void)[] | undefined;
  reserved = 0;
  /** The revocation of the grant that was accepted here. */
  taken: Uint8Array | undefined;
  /** Unix seconds at which the grant ends. */
  endsAtS: number = 2 ** 40;
  /** What waits for a time. */
  readonly timers: (() => void)[] = [];
  readonly expected: ExpectedRecords = new ExpectedRecords({ monotonicMs: () => 0 });
  /** What it keeps to open commitments. */
  readonly kept: AttemptOpenings[] = [];
  /** What opens a personal attribute of the decision, and that the policy says no to it. */
  deniedOn: OpeningItem | undefined;
  /** Whether what is sealed is final at once. */
  isFinal = false;
  acknowledged: (() => void) | undefined;
  /** What the service is published as; it may stand in no catalogue. */
  published: ServiceFact | undefined = publishedAt(1n);
  /** Why no call token verifies. */
  tokenFault: ReasonCode | undefined;
  /** What looks up the attributes of the provider. */
  lookUp: NonNullable<ProviderPorts["attributesOf"]> = () => ({});
  /** What the provider said itself of each call that was decided. */
  readonly decided: CallFacts["provider"][] = [];
  answer: (answer: UnaryAnswer) => void = () => assert.fail("the upstream is not called");
  listener: UpstreamListener | undefined;
  readonly handler: ReturnType<ProviderSide["serve"]>;
  /** Whether the upstream of a stream is read. */
  taking = true;
  readonly link: LinkEnd;
  readonly #boot = bytes(16);

  constructor(options: { readonly durability?: Durability; readonly memoryBytes?: number } = {}) {
    const { durability = Durability.JOURNAL, memoryBytes = peerHeldBytesMax } = options;
    this.side = new ProviderSide(this.#ports(durability), new PeerMemories(memoryBytes));
    this.link = {
      peer,
      peerTlsKey: bytes(32),
      peerBoot: bytes(16),
      renewBoot: () => undefined,
      lost: false,
      shownRoot: () => undefined,
      send: (exchange, body) => this.frames.push({ exchange, body }),
    };
    this.handler = this.side.serve(this.link);
  }

  #ports(durability: Durability): ProviderPorts {
    const span = { trace: undefined, sealed: () => undefined, end: () => undefined };
    const bounds = { skew_s: 5, segment_messages: 1024, segment_bytes: 1 << 20 };
    const view = {
      network: { bounds },
      service: () => this.published,
      grantAt: () => grantFact,
      ...Object.fromEntries(["city", "agency", "gateway"].map((name) => [name, () => member])),
    };
    const connector: UpstreamConnector = {
      kind: "grpc",
      callUnary: () => new Promise((resolve) => (this.answer = resolve)),
      open: (_call, listener) => {
        this.listener = listener;
        return {
          write: async (message) => {
            this.written.push(message);
            await this.takesRequest;
          },
          halfClose: () => undefined,
          take: (taking) => {
            this.taking = taking;
          },
        };
      },
      close: async () => undefined,
    };
    const ports = {
      self: { gateway, agency: "hangzhou/civil-affairs", boot: this.#boot, startedAtMs: 0 },
      clock: { nowMs: () => Date.now(), monotonicMs: () => performance.now() },
      scheduler: {
        after: (_delayMs: number, run: () => void) => {
          this.timers.push(run);
          return () => undefined;
        },
      },
      defer: (work: () => void) => setImmediate(work),
      random: bytes,
      replica: {
        view: () => view,
        state: () => ({
          size: 100n,
          chainStops: new Map(),
          grants: {
            get: () => ({ ...grantFact, standing: { ...standing, exp: this.endsAtS } }),
          },
          ...{ cities: members, agencies: members, gateways: members, services: members },
        }),
        final: () => ({ ...seen, timeMs: Date.now() }),
        indexOfLeaf: () => (this.isFinal ? 1n : undefined),
        onFinal: () => () => undefined,
      },
      sealer: { seal: (record: QueuedRecord) => this.#seal(record) },
      openings: { put: (kept: AttemptOpenings) => this.kept.push(kept) },
      events: {
        startSpan: () => span,
        segmentSealed: () => undefined,
        exchangeEnded: () => undefined,
        refused: () => undefined,
        internalError: ({ error }: { error: unknown }) => assert.ifError(error),
      },
      messageBytesMax: 4 << 20,
      verifyToken: async (token: string) => {
        const { tokenFault } = this;
        if (tokenFault !== undefined) throw new CausewayError(tokenFault, "as the test has it");
        return {
          digest: Buffer.from(token, "base64url"),
          claims: { exp: Math.floor(Date.now() / 1000) + 60, root: this.#root, n: 1 },
        };
      },
      attributesOf: (...asked: Parameters<ProviderPorts["attributesOf"] & object>) =>
        this.lookUp(...asked),
      decide: (
        _view: unknown,
        { grant }: { grant: { index: bigint; position: number } },
        _early: unknown,
        { provider }: CallFacts,
      ) => {
        const { deniedOn } = this;
        this.decided.push(provider);
        const isDenied = deniedOn !== undefined;
        if (!isDenied) this.reserved += 1;
        return {
          verdict: isDenied ? "deny" : "permit",
          stage: "policy",
          reason: "POLICY_DENIED",
          openings: isDenied ? [deniedOn] : [],
          decision: create(DecisionSchema, {
            decidedSize: 1n,
            evaluatedAt: 1n,
            grant,
            grantJti: "01890000-0000-7000-8000-000000000000",
            service: { index: 1n, position: 0 },
            serviceVersion: 1n,
            descriptorDigest: new Uint8Array(32),
            verdict: isDenied ? Verdict.DENY : Verdict.PERMIT,
          }),
          obligations: create(ObligationsSchema, { durability, window: 4 }),
          reservation: isDenied ? undefined : { end: () => (this.reserved -= 1) },
        };
      },
      localTakings: { get: () => this.taken },
      expected: this.expected,
      unacknowledged: {
        begun: () => ({
          released: (_sealed: SealedRecord, _attempt: string, acknowledged?: () => void) => {
            this.acknowledged = acknowledged;
          },
          over: () => undefined,
        }),
        overdue: () => false,
      },
      upstream: () => connector,
      joined: new JoinedCalls(),
    };
    return ports as unknown as ProviderPorts;
  }

  #root: Uint8Array = new Uint8Array(32);

  async #seal(queued: QueuedRecord): Promise<SealedRecord> {
    const verdict = queued.recheck?.(seen, Date.now()) ?? { kind: "stands" };
    const replaced = verdict.kind === "replaced";
    const { record } = replaced ? verdict : queued;
    this.sealed.push(record);
    const { seals } = this;
    await (seals === undefined ? turn() : new Promise<void>((resolve) => seals.push(resolve)));
    return { record, replaced, position: 0, path: [], leaf: bytes(200), leafHash: bytes(32) };
  }

  /** Sends a body as the consumer's frame. */
  send(exchange: bigint, body: FrameBody): void {
    this.handler.onFrame(create(FrameSchema, { exchange, body }));
  }

  call(exchange: bigint, method: string): void {
    this.send(exchange, { case: "call", value: this.callFrame(method) });
  }

  /** A call of a method whose request, where it has one message, is of 10 bytes. */
  callFrame(method: string): CallFrame {
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
    return create(CallFrameSchema, {
      token: toBase64url(bytes(32)),
      statement,
      path: [...(paths[0] ?? [])],
      headers,
      message,
      openings: [{ label: "request", salt, value: new Uint8Array() }],
    });
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

/** A stream of its own, whose other end reads when the test says so. */
export class UnreadCarriage implements Carriage {
  readonly link: Carriage["link"];
  readonly sent: FrameBody[] = [];
  readonly unread: Written[] = [];
  closed = false;

  constructor(link: Carriage["link"]) {
    this.link = link;
  }

  send(body: FrameBody, written?: Written): void {
    this.sent.push(body);
    if (written !== undefined) this.unread.push(written);
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.closed = true;
  }
}

/** A call of a streaming method on a stream of its own. */
export function openStream(provider: TestProvider): {
  carriage: UnreadCarriage;
  ear: CarriageListener;
} {
  const carriage = new UnreadCarriage(provider.link);
  const ear = provider.side.serveStream(carriage);
  ear.onFrame({ case: "call", value: provider.callFrame(stream) });
  return { carriage, ear };
}

export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

export function answered(messages: readonly Uint8Array[]): UnaryAnswer {
  return {
    headers: create(MetadataSchema),
    messages,
    status: create(StatusFrameSchema, { code: 0, trailers: {} }),
  };
}
