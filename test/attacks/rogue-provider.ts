/**
 * A second gateway of the provider's agency, enrolled on the ledger like any other, whose process is the
 * test: it answers calls with what it is told to, under its real keys.
 */
import { join } from "node:path";
import { Server } from "@grpc/grpc-js";
import { create, toBinary } from "@bufbuild/protobuf";
import { createKeyFolder, type GatewayKeys, openKeyFolder } from "../../gateway/keys/key-folder.ts";
import { systemRandom, systemScheduler } from "../../gateway/runtime.ts";
import { LinkedPeer } from "../../gateway/linked-peer.ts";
import { spkiDigest } from "../../gateway/tls.ts";
import { equalBytes, parseHex } from "../../src/base/bytes.ts";
import { createUuidV7, formatUuid } from "../../src/base/ids.ts";
import { createStatement } from "../../src/credential/statement.ts";
import { createHello } from "../../src/exchange/hello.ts";
import type { Carriage, CarriageListener, FrameBody } from "../../src/exchange/ports.ts";
import { answerFrame } from "../../src/exchange/frames.ts";
import {
  type BuiltReceipt,
  createBegin,
  encodeReceipt,
} from "../../src/exchange/provider-records.ts";
import type { Link } from "../../src/exchange/transport/link.ts";
import { createLinkService } from "../../src/exchange/transport/link-server.ts";
import { createStreamServer } from "../../src/exchange/transport/exchange-stream-server.ts";
import { type LinkListener, listenForPeers } from "../../src/exchange/transport/link-listener.ts";
import {
  DivisionSchema,
  GetDivisionResponseSchema,
} from "../../src/gen/causeway/demo/v1/division_pb.ts";
import { MetadataSchema, StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import {
  type AnswerFrame,
  type CallFrame,
  FrameSchema,
  type Proof,
  ProofSchema,
} from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import {
  type Begin,
  type Decision,
  DecisionSchema,
  Durability,
  type Obligations,
  ObligationsSchema,
  Verdict,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import type { Acknowledgement } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { SubmitResult } from "../../src/ledger/ports.ts";
import { type BatchFields, type CreatedBatch, sealBatch } from "../../src/record/batch.ts";
import { openCallStatement } from "../../src/record/call-tree.ts";
import { openRecord } from "../../src/record/record.ts";
import { eventually } from "../support/admin-client.ts";
import type { Running } from "../support/running.ts";
import { freeAddress } from "../support/free-port.ts";
import { handIn } from "../support/hand-in.ts";
import { passphrase } from "../support/two-cities.ts";
import { peerTlsOf, selfOf, sleep, timing } from "./support.ts";
import { type EncodedAnswer, wholeSegment } from "../support/answers.ts";

/** One call as the rogue has it, and the ways to answer. */
export interface Victim {
  readonly frame: CallFrame;
  readonly link: Link;
  /** 0 on a stream of its own. */
  readonly exchange: bigint;
  send(body: FrameBody): void;
  /** On a stream of its own what the consumer has sent behind the call. */
  readonly heard: FrameBody[];
  /** What the consumer has acknowledged of it. */
  readonly acknowledged: Acknowledgement[];
  /** Hears each of them, and the end of the stream. */
  onHeard: (() => void) | undefined;
  lost: boolean;
}

/** What a rogue needs of the network that it stands in. */
export type RogueNetwork = Pick<Running, "cities" | "provider" | "grant">;

export class RogueProvider {
  readonly id: string;
  readonly keys: GatewayKeys;
  /** What happens to the next calls. */
  behave: (victim: Victim) => void | Promise<void> = () => undefined;
  readonly calls: Victim[] = [];
  readonly #running: RogueNetwork;
  readonly #boot = systemRandom(16);
  readonly #server = new Server();
  #links: ReadonlySet<Link> = new Set();
  #newest: { readonly link: Link; readonly end: LinkedPeer } | undefined;
  #listener: LinkListener | undefined;
  #endStreams: (() => void) | undefined;
  #chain: { seq: bigint; prev: Uint8Array; seenSize: bigint } = {
    seq: 0n,
    prev: new Uint8Array(32),
    seenSize: 0n,
  };

  private constructor(running: RogueNetwork, keys: GatewayKeys) {
    this.#running = running;
    this.keys = keys;
    this.id = keys.card.id;
  }

  /** Enrols it under an id that comes before that of the honest gateway, so that it is called first. */
  static async start(running: RogueNetwork): Promise<RogueProvider> {
    const { provider, networkId } = running.cities;
    const id = `${provider.agency.card.id}/gw0`;
    const folder = join(running.cities.folder, "rogue");
    const endpoints = {
      peer: await freeAddress(),
      http: await freeAddress(),
    };
    await createKeyFolder({ kind: "gateway", id, endpoints, sequencer: false }, folder, {
      passphrase,
      nowMs: Date.now() - 60_000,
      scryptLogN: 4,
    });
    const keys = await openKeyFolder(folder, passphrase, "gateway");
    const { kind: _kind, id: _id, log: _log, ...body } = keys.card;
    const claims = {
      iss: provider.agency.card.id,
      sub: id,
      net: networkId,
      jti: formatUuid(createUuidV7(Date.now(), systemRandom(10))),
      iat: Math.floor(Date.now() / 1000),
    };
    const jws = createStatement({ name: "gateway", claims, body }, [
      provider.agency.authority,
      keys.batch,
      keys.token,
    ]);
    const state = await running.provider.submit(jws);
    if (!state.final || state.voidReason !== "") throw new Error(state.voidReason);
    const rogue = new RogueProvider(running, keys);
    await rogue.#listen(endpoints.peer);
    return rogue;
  }

  async #listen(address: string): Promise<void> {
    const { cities } = this.#running;
    const consumer = cities.consumer.gateway;
    const self = { ...selfOf(cities, this.id), boot: this.#boot };
    const streams = createStreamServer({
      scheduler: systemScheduler,
      linkOf: () => this.#newest?.end,
      serve: (_, carriage) => this.#serveStream(this.#newest?.link as Link, carriage),
      busy: () => undefined,
      onRefused: () => undefined,
    });
    this.#endStreams = () => streams.close();
    const service = createLinkService({
      ...timing,
      hello: async () =>
        createHello({
          self,
          peer: consumer.card.id,
          clockMs: Date.now(),
          checkpoint: (await this.#running.provider.status()).finalNote,
          leafOfPeer: undefined,
          signer: this.keys.token,
        }),
      onHello: async () => undefined,
      refuses: () => undefined,
      onLink: (link) => {
        const end = new LinkedPeer(link, consumer.card.id, new Uint8Array(16));
        this.#newest = { link, end };
        link.onClose(() => streams.lost(end));
        link.onFrame((frame) => this.#received(link, frame));
      },
    });
    this.#links = service.links;
    this.#server.addService(service.definition, service.implementation);
    const tls = peerTlsOf(this.keys, [consumer.tls.certificateDer]);
    const at = address.lastIndexOf(":");
    this.#listener = await listenForPeers({
      host: address.slice(0, at),
      port: Number(address.slice(at + 1)),
      tls,
      scheduler: systemScheduler,
      grpc: this.#server,
      onStreams: (socket) => streams.accept(socket),
    });
  }

  #serveStream(link: Link, carriage: Carriage): CarriageListener {
    let victim: Victim | undefined;
    return {
      onFrame: (body) => {
        if (victim === undefined) {
          if (body.case !== "call") return;
          const send = (answer: FrameBody): void => carriage.send(answer);
          const begun = { frame: body.value, link, exchange: 0n, send };
          victim = { ...begun, heard: [], acknowledged: [], onHeard: undefined, lost: false };
          this.calls.push(victim);
          void this.behave(victim);
        } else {
          victim.heard.push(body);
          victim.onHeard?.();
        }
      },
      onLost: () => {
        if (victim === undefined) return;
        victim.lost = true;
        victim.onHeard?.();
      },
    };
  }

  #received(link: Link, { exchange, body }: Parameters<Parameters<Link["onFrame"]>[0]>[0]): void {
    if (body.case === "acknowledgement") this.#acknowledged(body.value.proof);
    if (body.case !== "call") return;
    const send = (answer: FrameBody): void =>
      link.send(create(FrameSchema, { exchange, body: answer }));
    const called = { frame: body.value, link, exchange, send };
    const victim: Victim = {
      ...called,
      heard: [],
      acknowledged: [],
      onHeard: undefined,
      lost: false,
    };
    this.calls.push(victim);
    void this.behave(victim);
  }

  /** An acknowledgement may come when its attempt has ended, and on another link. */
  #acknowledged(proof: Proof | undefined): void {
    const { body } = openRecord(proof?.record ?? new Uint8Array());
    if (body.case !== "acknowledgement") throw new TypeError(String(body.case));
    const { xid } = body.value;
    for (const victim of this.calls) {
      if (!equalBytes(openCallStatement(victim.frame.statement).xid, xid)) continue;
      victim.acknowledged.push(body.value);
      victim.onHeard?.();
    }
  }

  /** Resolves when the consumer has a link to this gateway. */
  async linked(): Promise<void> {
    await eventually("a link", () => this.#links.size > 0);
    // The consumer hears of it a moment after this side.
    await sleep(100);
  }

  /** The newest final size and root. */
  async seen(): Promise<BatchFields["seen"]> {
    const { finalSize, finalRoot } = await this.#running.provider.status();
    return { size: finalSize, root: finalRoot };
  }

  /** Seals a batch that lies only where `lie` says so. */
  async seal(
    records: readonly Uint8Array[],
    lie: Partial<BatchFields> = {},
    signer: GatewayKeys["batch"] = this.keys.batch,
  ): Promise<CreatedBatch> {
    const now = Date.now();
    const { seq, prev } = this.#chain;
    return sealBatch(
      {
        kind: "evidence",
        network: parseHex(this.#running.cities.networkId) as Uint8Array,
        gateway: this.id,
        epoch: 0n,
        boot: this.#boot,
        seq,
        prev,
        seen: await this.seen(),
        firstAtMs: lie.sealedAtMs ?? now,
        sealedAtMs: now,
        ...lie,
      },
      records,
      signer,
    );
  }

  /** Hands a batch of its chain in at the sequencer; the next one follows it. */
  async submit(batch: CreatedBatch): Promise<SubmitResult> {
    const result = await handIn(this.#running.cities.provider, this.keys, batch);
    if (result.kind === "included") {
      const { seq, seenSize } = batch.header;
      this.#chain = { seq: seq + 1n, prev: batch.leafHash, seenSize };
    }
    return result;
  }

  /** A decision that permits the call, as far as its form goes. */
  decision(call: CallFrame, grantJti: string): Decision {
    const { grant } = openCallStatement(call.statement);
    return create(DecisionSchema, {
      decidedSize: 1n,
      evaluatedAt: BigInt(Math.floor(Date.now() / 1000)),
      ...(grant === undefined ? {} : { grant }),
      grantJti,
      service: { index: 1n, position: 0 },
      serviceVersion: 1n,
      descriptorDigest: new Uint8Array(32),
      verdict: Verdict.PERMIT,
    });
  }

  begin(call: CallFrame, change: Partial<Begin["call"] & object> = {}): Begin {
    const obligations: Obligations = create(ObligationsSchema, {
      messagesMax: 1n,
      bytesMax: 65_536n,
      durability: Durability.JOURNAL,
      window: 4,
    });
    const { token, statement, index, path } = call;
    return createBegin({
      call: { token, statement, index, path, ...change },
      decision: this.decision(call, this.#running.grant),
      obligations,
      peerTlsKey: parseHex(
        spkiDigest(this.#running.cities.consumer.gateway.tls.certificateDer),
      ) as Uint8Array,
    });
  }

  /** A receipt over an answer to a call. */
  receipt(
    call: CallFrame,
    answer: EncodedAnswer,
    lie: { readonly request?: Uint8Array; readonly begin?: Begin; readonly prev?: Uint8Array } = {},
  ): BuiltReceipt {
    return encodeReceipt({
      begin: lie.prev === undefined ? (lie.begin ?? this.begin(call)) : undefined,
      prevRecord: lie.prev,
      request: {
        commitment: lie.request ?? openCallStatement(call.statement).request,
        frames: 2,
      },
      segment: wholeSegment(answer),
      connector: "grpc",
      upstreamMs: 1,
      seed: systemRandom(32),
    });
  }

  /** An honest answer frame, or one under a header that lies. */
  async answer(
    call: CallFrame,
    options: {
      readonly answer?: EncodedAnswer;
      readonly built?: BuiltReceipt;
      readonly header?: Partial<BatchFields>;
      readonly signer?: GatewayKeys["batch"];
      /** Puts it on the ledger too: a second batch in its place would be an equivocation. */
      readonly submitted?: boolean;
    } = {},
  ): Promise<AnswerFrame> {
    const answer = options.answer ?? division("西湖区");
    const built = options.built ?? this.receipt(call, answer);
    const batch = await this.seal([built.record], options.header, options.signer);
    if (options.submitted === true) await this.submit(batch);
    return answerFrame(wholeSegment(answer), built, proofIn(batch, 0), undefined).value;
  }

  async close(): Promise<void> {
    this.#endStreams?.();
    await this.#listener?.close();
    this.#server.forceShutdown();
  }
}

export function proofIn(batch: CreatedBatch, position: number): Proof {
  return create(ProofSchema, {
    record: batch.records[position] as Uint8Array,
    position,
    path: [...(batch.paths[position] as readonly Uint8Array[])],
    leaf: batch.leaf,
  });
}

/** What an upstream would have answered. */
export function division(
  name: string,
  status: { readonly code?: number; readonly bytes?: Uint8Array } = {},
): EncodedAnswer {
  const message = toBinary(
    GetDivisionResponseSchema,
    create(GetDivisionResponseSchema, {
      division: create(DivisionSchema, { code: "330106", name }),
    }),
  );
  const code = status.code ?? 0;
  return {
    headers: toBinary(MetadataSchema, create(MetadataSchema)),
    messages: code === 0 ? [message] : [],
    status:
      status.bytes ??
      toBinary(StatusFrameSchema, create(StatusFrameSchema, { code, trailers: {} })),
    grpcCode: code,
  };
}
