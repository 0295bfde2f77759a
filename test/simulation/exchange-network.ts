/**
 * Links and streams between gateways: each keeps the order of what is sent on it, takes its time, and loses with
 * its end what was under way. The two ends hear of that end at different times, and one may hear of it late.
 */
import { create } from "@bufbuild/protobuf";
import { toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { partCreditBytes } from "../../src/base/limits.ts";
import type {
  Carriage,
  CarriageListener,
  FrameBody,
  LinkEnd,
  Written,
} from "../../src/exchange/ports.ts";
import type { LinkHandler } from "../../src/exchange/provider.ts";
import { type Frame, FrameSchema } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import type { FinalCheckpoint } from "../../src/ledger/ports.ts";
import type { SimProcess } from "./exchange-process.ts";
import type { ExchangeSim } from "./exchange-sim.ts";

/** One direction. */
class Channel {
  readonly #sim: ExchangeSim;
  #lastAtMs = 0;
  isBroken = false;
  count = 0;

  constructor(sim: ExchangeSim) {
    this.#sim = sim;
  }

  /** Delivers after what was sent before, unless it is broken by then. */
  send(deliver: () => void): void {
    if (this.isBroken) return;
    const { world, latencyMs } = this.#sim;
    const atMs = Math.max(this.#lastAtMs, world.nowMs + latencyMs());
    this.#lastAtMs = atMs;
    world.after(atMs - world.nowMs, () => {
      if (!this.isBroken) deliver();
    });
  }
}

class End implements LinkEnd {
  readonly link: SimLink;
  readonly process: SimProcess;
  readonly peer: string;
  readonly peerTlsKey: Uint8Array;
  peerBoot: Uint8Array;
  lost = false;
  readonly #shown = new Map<bigint, Uint8Array>();
  /** Bytes of parts that were sent and not credited, by exchange. */
  readonly #partBytes = new Map<bigint, number>();
  readonly out: Channel;
  handler: LinkHandler | undefined;
  readonly streams: Set<StreamEnd> = new Set();

  constructor(link: SimLink, process: SimProcess, other: SimProcess) {
    this.link = link;
    this.process = process;
    this.peer = other.gateway.id;
    this.peerTlsKey = other.gateway.tlsKey;
    this.peerBoot = other.self.boot;
    this.out = new Channel(link.sim);
  }

  renewBoot(boot: Uint8Array): void {
    if (boot.length === 16) this.peerBoot = boot;
  }

  shownRoot(size: bigint): Uint8Array | undefined {
    return this.#shown.get(size);
  }

  show({ size, root }: Pick<FinalCheckpoint, "size" | "root">): void {
    this.#shown.set(size, root);
  }

  send(exchange: bigint, body: FrameBody): void {
    const { process, link } = this;
    if (this.lost || !process.isAlive) return;
    if (body.case === "part") this.#sentPart(exchange, body.value.bytes.length);
    if (body.case === "call") link.sim.checker.attempts.called(body.value, () => this.lost);
    for (const [copy, said] of process.says(body).entries()) {
      // What is said again comes as another exchange.
      const number = exchange + BigInt(copy) * 1_000_000n;
      this.out.send(() =>
        link.otherOf(this).received(create(FrameSchema, { exchange: number, body: said })),
      );
    }
  }

  /** Of a large answer only so much is under way. */
  #sentPart(exchange: bigint, bytes: number): void {
    const { gateway, sim } = this.process;
    const underWay = (this.#partBytes.get(exchange) ?? 0) + bytes;
    this.#partBytes.set(exchange, underWay);
    if (underWay > partCreditBytes) sim.checker.fail(`${gateway.name} sends parts beyond credit`);
  }

  received(frame: Frame): void {
    if (this.lost || !this.process.isAlive) return;
    const { body, exchange } = frame;
    const underWay = this.#partBytes.get(exchange);
    if (body.case === "credit" && underWay !== undefined) {
      this.#partBytes.set(exchange, underWay - Number(body.value.bytes));
    }
    if (body.case === "checkpoint") return;
    this.handler?.onFrame(frame);
  }

  /** Shows a final checkpoint, as every link does. */
  push(final: FinalCheckpoint): void {
    if (!this.lost) this.out.send(() => this.link.otherOf(this).show(final));
  }

  hearLoss(): void {
    if (this.lost || !this.process.isAlive) return;
    this.lost = true;
    this.handler?.onLost();
    for (const stream of [...this.streams]) stream.hearLoss();
  }
}

/** Opened by a consumer to a provider. */
export class SimLink {
  readonly sim: ExchangeSim;
  readonly consumer: End;
  readonly provider: End;
  readonly streams: Set<StreamPair> = new Set();
  isBroken = false;

  constructor(sim: ExchangeSim, consumer: SimProcess, provider: SimProcess) {
    this.sim = sim;
    this.consumer = new End(this, consumer, provider);
    this.provider = new End(this, provider, consumer);
    this.consumer.show(provider.replica.final());
    this.provider.show(consumer.replica.final());
    this.provider.handler = provider.provider.serve(this.provider);
    this.consumer.handler = {
      onFrame: (frame) => consumer.consumer.onFrame(this.consumer, frame),
      onLost: () => consumer.consumer.onLinkLost(this.consumer),
    };
    this.sim.links.add(this);
  }

  otherOf(end: End): End {
    return end === this.consumer ? this.provider : this.consumer;
  }

  has(process: SimProcess): boolean {
    return this.consumer.process === process || this.provider.process === process;
  }

  /** It breaks: each end hears of it in its own time. */
  break(): void {
    if (this.isBroken) return;
    this.isBroken = true;
    const { world, links } = this.sim;
    links.delete(this);
    for (const end of [this.consumer, this.provider]) {
      end.out.isBroken = true;
      const isLate = world.random.chance(0.2);
      world.after(world.random.between(0, isLate ? 4000 : 100), () => end.hearLoss());
    }
    for (const stream of [...this.streams]) stream.break();
  }
}

/** One exchange on a stream of its own, beside a link. */
export class StreamPair {
  readonly link: SimLink;
  readonly consumer: StreamEnd;
  readonly provider: StreamEnd;

  constructor(link: SimLink, listener: CarriageListener) {
    this.link = link;
    this.consumer = new StreamEnd(this, link.consumer);
    this.provider = new StreamEnd(this, link.provider);
    this.consumer.listener = listener;
    link.streams.add(this);
  }

  otherOf(end: StreamEnd): StreamEnd {
    return end === this.consumer ? this.provider : this.consumer;
  }

  break(): void {
    this.link.streams.delete(this);
    const { world } = this.link.sim;
    for (const end of [this.consumer, this.provider]) {
      end.out.isBroken = true;
      world.after(world.random.between(0, 200), () => end.hearLoss());
    }
  }
}

class StreamEnd implements Carriage {
  readonly pair: StreamPair;
  readonly #end: End;
  readonly out: Channel;
  listener: CarriageListener | undefined;
  #isClosed = false;
  #isLost = false;

  constructor(pair: StreamPair, end: End) {
    this.pair = pair;
    this.#end = end;
    this.out = new Channel(pair.link.sim);
    end.streams.add(this);
  }

  get link(): LinkEnd {
    return this.#end;
  }

  send(body: FrameBody, written?: Written): void {
    const { process, lost } = this.#end;
    const isLost = this.#isClosed || lost || !process.isAlive;
    written?.(!isLost);
    if (isLost) return;
    if (body.case === "call") process.sim.checker.attempts.called(body.value, () => this.#isLost);
    for (const said of process.says(body)) {
      this.out.send(() => this.pair.otherOf(this).#received(said));
    }
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#end.streams.delete(this);
    // The end of a stream follows what was sent on it, and may be heard of when its exchange has long gone on.
    const { world } = this.pair.link.sim;
    const endsMs = world.random.chance(0.3) ? world.random.between(1, 400) : 0;
    world.after(endsMs, () => this.out.send(() => this.pair.otherOf(this).hearLoss()));
  }

  hearLoss(): void {
    if (this.#isClosed || !this.#end.process.isAlive) return;
    this.#isClosed = true;
    this.#isLost = true;
    this.#end.streams.delete(this);
    this.listener?.onLost();
  }

  #received(body: FrameBody): void {
    const { process, lost } = this.#end;
    if (this.#isClosed || lost || !process.isAlive) return;
    if (this === this.pair.provider) this.listener ??= process.provider.serveStream(this);
    this.listener?.onFrame(body);
  }
}

/** The links that one process opens. */
export class LinkPool {
  readonly #process: SimProcess;
  readonly #links = new Map<string, SimLink>();
  readonly #connecting = new Map<string, Promise<LinkEnd>>();

  constructor(process: SimProcess) {
    this.#process = process;
  }

  connect(gateways: readonly string[]): Promise<LinkEnd> {
    const [gateway] = gateways;
    if (gateway === undefined) return Promise.reject(unreachable());
    const link = this.#links.get(gateway);
    if (link !== undefined && !link.consumer.lost) return Promise.resolve(link.consumer);
    const connecting = this.#connecting.get(gateway) ?? this.#open(gateway);
    this.#connecting.set(gateway, connecting);
    return connecting;
  }

  openStream(link: LinkEnd, listener: CarriageListener): Carriage {
    const { consumer } = new StreamPair((link as End).link, listener);
    if ((link as End).link.isBroken) consumer.out.isBroken = true;
    return consumer;
  }

  #open(gateway: string): Promise<LinkEnd> {
    const { sim } = this.#process;
    const { world } = sim;
    return new Promise((resolve, reject) => {
      const isCut = world.random.chance(sim.isCalm ? 0 : 0.05);
      this.#process.after(world.random.between(2, 40), () => {
        this.#connecting.delete(gateway);
        const other = sim.gatewayOf(gateway).process;
        if (other === undefined || isCut) {
          this.#process.after(world.random.between(0, 500), () => reject(unreachable()));
          return;
        }
        const link = new SimLink(sim, this.#process, other);
        // A Hello is read some time before the first call: the boot may be another by then.
        if (world.random.chance(0.2)) link.consumer.peerBoot = sim.gatewayOf(gateway).formerBoot;
        this.#links.set(gateway, link);
        world.note(`${this.#process.gateway.name} has a link to ${toHex(link.consumer.peerBoot)}`);
        resolve(link.consumer);
      });
    });
  }
}

function unreachable(): CausewayError {
  return new CausewayError("PEER_UNAVAILABLE", "no gateway of the provider can be reached");
}
