/**
 * The multiplexed links of this gateway: those that consumers open to it, and those that it opens to
 * providers. Who is at the other end is said by the certificate, looked up on the ledger.
 */
import { equalBytes } from "../src/base/bytes.ts";
import { CausewayError } from "../src/base/errors.ts";
import { acceptHello, type AcceptedHello, createHello } from "../src/exchange/hello.ts";
import type {
  Carriage,
  CarriageListener,
  ExchangePorts,
  LinkEnd,
  Self,
} from "../src/exchange/ports.ts";
import type { LinkHandler } from "../src/exchange/provider.ts";
import { createStreamClient } from "../src/exchange/transport/exchange-stream-client.ts";
import {
  createStreamServer,
  type StreamServer,
} from "../src/exchange/transport/exchange-stream-server.ts";
import type { Link, LinkHooks } from "../src/exchange/transport/link.ts";
import type { LinkTarget } from "../src/exchange/transport/link-client.ts";
import { LinkPool } from "../src/exchange/transport/link-pool.ts";
import { retireLink } from "../src/exchange/transport/link-retirement.ts";
import {
  createLinkService,
  type LinkServiceHandler,
} from "../src/exchange/transport/link-server.ts";
import type { PeerTls } from "../src/exchange/transport/tls-options.ts";
import type { Signer } from "../src/crypto/ports.ts";
import type { Frame, Hello } from "../src/gen/causeway/exchange/v1/link_pb.ts";
import type { FinalCheckpoint, Replica } from "../src/ledger/ports.ts";
import { LinkedPeer } from "./linked-peer.ts";
import { certificatesOf, peerOfCertificate, tokenKeyOf } from "./peers.ts";

export interface LinksOptions
  extends Pick<ExchangePorts, "clock" | "random" | "scheduler" | "verifier"> {
  readonly self: Self;
  readonly replica: Replica;
  readonly tokenSigner: Signer;
  /** Raw batch keys that are, or were, this gateway's. */
  readonly ownBatchKeys: () => readonly Uint8Array[];
  /** The own certificate in use, asked for at each connection. */
  readonly tls: () => Pick<PeerTls, "certificate" | "privateKey">;
  /** Links to each peer; 1 by default. */
  readonly linksPerPeer?: number | undefined;
  readonly defer: (work: () => void) => void;
  /** Verifies the quorum of a note; throws a CausewayError. */
  readFinal(note: Uint8Array): FinalCheckpoint;
  /** A verified Hello: its clock, and an own leaf that the journal must hold. */
  onHello(peer: string, hello: AcceptedHello): void;
  /** A consumer has opened a link. */
  serve(link: LinkEnd): LinkHandler;
  /** A consumer has opened a stream beside one of its links. */
  serveStream(link: LinkEnd, carriage: Carriage): CarriageListener;
  /** A stream beside one of its links was refused unread. */
  streamRefused(link: LinkEnd): void;
  /** A frame, or the loss, of a link that this gateway has opened. */
  onFrame(link: LinkEnd, frame: Frame): void;
  onLost(link: LinkEnd): void;
  onRefused(error: CausewayError): void;
}

export class Links {
  readonly #o: LinksOptions;
  readonly #accepted = new WeakMap<
    Hello,
    { readonly peer: string; readonly hello: AcceptedHello }
  >();
  readonly #open = new Set<LinkedPeer>();
  /** Those of #open that peers have opened, in the order in which they came. */
  readonly #served = new Set<LinkedPeer>();
  readonly #pool: LinkPool;
  /** Ends of the links that this gateway has opened. */
  readonly #ends = new WeakMap<Link, LinkedPeer>();
  /** Called when a link that a peer has opened ends. */
  #onServedEnded: (() => void) | undefined;
  readonly #stopListening: () => void;
  readonly service: LinkServiceHandler;
  /** Serves the connections of exchange streams. */
  readonly streams: StreamServer;

  constructor(options: LinksOptions) {
    this.#o = options;
    const { scheduler, replica, defer } = options;
    this.service = createLinkService({
      ...this.#hooks(),
      scheduler,
      defer,
      refuses: (certificate) =>
        peerOfCertificate(certificate, replica) === undefined
          ? new CausewayError("MEMBER_NOT_ACTIVE", "no gateway in force has this certificate")
          : undefined,
      onLink: (link) => this.#serve(link),
      onRefused: (error) => options.onRefused(error),
    });
    this.streams = createStreamServer({
      scheduler,
      linkOf: (certificate) => this.#servedLinkOf(certificate),
      serve: (link, carriage) => options.serveStream(link, carriage),
      busy: (link) => options.streamRefused(link),
      onRefused: (error) => options.onRefused(error),
    });
    this.#pool = new LinkPool({
      scheduler,
      defer,
      random: options.random,
      hooks: () => this.#hooks(),
      target: (peer) => {
        const fact = replica.view().gateway(peer);
        if (fact === undefined) return undefined;
        const trusted = certificatesOf(replica.state(), peer);
        return { address: fact.body.endpoints.peer, tls: { ...options.tls(), trusted } };
      },
      ...(options.linksPerPeer === undefined ? {} : { linksPerPeer: options.linksPerPeer }),
      onLink: (link, target) => this.#opened(link, target),
      onRetired: (link) => this.#retired(link),
      onFailure: (_peer, error) => options.onRefused(error),
    });
    this.#stopListening = replica.onFinal(({ note }) => this.#push(note));
  }

  /** Links that are up, in either direction. */
  get count(): number {
    return this.#open.size;
  }

  /** A link to the first of the gateways that can be reached. Rejects with PEER_UNAVAILABLE. */
  async connect(gateways: readonly string[]): Promise<LinkEnd> {
    for (const gateway of gateways) {
      const link = this.#pool.current(gateway);
      if (link !== undefined && !link.congested) return this.#endOf(link);
    }
    let last: unknown;
    // Those that were lost come last: a new attempt goes to another gateway where there is one.
    const byLoss = (gateway: string): number => Number(this.#pool.isLost(gateway));
    for (const gateway of gateways.toSorted((a, b) => byLoss(a) - byLoss(b))) {
      try {
        return this.#endOf(await this.#pool.connect(gateway));
      } catch (error) {
        last = error;
      }
    }
    throw new CausewayError("PEER_UNAVAILABLE", "no gateway of the provider can be reached", {
      cause: last,
    });
  }

  /**
   * Opens a stream of its own for an exchange, beside a link that `connect` gave. The listener hears of it
   * in later turns only: `failed` when the provider has not taken it, and that it is lost with its link.
   */
  openStream(link: LinkEnd, listener: CarriageListener): Carriage {
    const { streams } = link as LinkedPeer;
    if (streams === undefined) throw new TypeError("not a link that this gateway has opened");
    return streams.open(listener);
  }

  /** Ends the links of certificates that are taken away. */
  recheck(): void {
    this.service.recheck();
    this.#pool.recheck();
  }

  /** Whether every peer with a link has shown that it has applied a final checkpoint of this size. */
  allHaveApplied(size: bigint): boolean {
    return [...this.#open].every(({ shownSize }) => shownSize >= size);
  }

  /**
   * Another certificate of this gateway's is in use: peers open new links, which meet it, and this gateway's
   * own are opened anew under it. Each old link ends when the exchanges that it carries have ended.
   */
  replaceCertificate(): void {
    this.service.drain();
    this.#pool.replaceAll();
  }

  /**
   * Takes no new links, and has peers begin no exchange on theirs. Resolves when those links have ended, which
   * peers see to once the exchanges that they carry have ended, or after `graceMs`.
   */
  async drain(graceMs: number): Promise<void> {
    this.service.refuseNew();
    if (this.#served.size === 0) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#o.scheduler.after(graceMs, resolve);
      this.#onServedEnded = () => {
        if (this.#served.size > 0) return;
        cancel();
        resolve();
      };
    });
  }

  close(): void {
    this.#stopListening();
    this.#pool.close();
    this.service.close();
    this.streams.close();
  }

  #servedLinkOf(certificate: Uint8Array): LinkedPeer | undefined {
    return [...this.#served].findLast(({ link }) => equalBytes(link.peerCertificate, certificate));
  }

  #hooks(): LinkHooks {
    const { replica, self, verifier, ownBatchKeys } = this.#o;
    return {
      hello: async (certificate) => {
        const peer = this.#peerOf(certificate);
        const tip = replica.state().chains.get(peer);
        return createHello({
          self,
          peer,
          clockMs: this.#o.clock.nowMs(),
          checkpoint: replica.final()?.note,
          leafOfPeer: tip === undefined ? undefined : replica.batch(tip.index)?.leaf,
          signer: this.#o.tokenSigner,
        });
      },
      onHello: async (hello, certificate) => {
        try {
          const peer = this.#peerOf(certificate);
          const keyOf = (kid: string, issuer: string): Uint8Array | undefined =>
            tokenKeyOf(replica, kid, issuer);
          const own = { self, ownBatchKeys: ownBatchKeys() };
          const accepted = await acceptHello({ ...own, hello, peer, keyOf, verifier });
          this.#accepted.set(hello, { peer, hello: accepted });
          this.#o.onHello(peer, accepted);
          return undefined;
        } catch (error) {
          if (error instanceof CausewayError) return error;
          throw error;
        }
      },
    };
  }

  #peerOf(certificate: Uint8Array): string {
    const peer = peerOfCertificate(certificate, this.#o.replica);
    if (peer === undefined) {
      throw new CausewayError("MEMBER_NOT_ACTIVE", "no gateway in force has this certificate");
    }
    return peer.gateway;
  }

  #admit(link: Link): LinkedPeer {
    const accepted = this.#accepted.get(link.hello);
    if (accepted === undefined) throw new TypeError("a link without an accepted Hello");
    const end = new LinkedPeer(link, accepted.peer, accepted.hello.boot);
    if (accepted.hello.checkpoint !== undefined) this.#show(end, accepted.hello.checkpoint);
    this.#open.add(end);
    return end;
  }

  #serve(link: Link): void {
    const end = this.#admit(link);
    const handler = this.#o.serve(end);
    this.#served.add(end);
    link.onFrame((frame) => {
      if (frame.body.case === "checkpoint") this.#show(end, frame.body.value.note);
      else handler.onFrame(frame);
    });
    link.onClose(() => {
      end.lost = true;
      this.#open.delete(end);
      this.#served.delete(end);
      handler.onLost();
      this.streams.lost(end);
      this.#onServedEnded?.();
    });
  }

  #opened(link: Link, { address, tls }: LinkTarget): void {
    const end = this.#admit(link);
    end.streams = createStreamClient({
      link: end,
      address,
      tls: { ...tls, trusted: [link.peerCertificate] },
      scheduler: this.#o.scheduler,
      defer: this.#o.defer,
      onRefused: (error) => this.#o.onRefused(error),
      onClosed: () => end.onActivity?.(),
    });
    this.#ends.set(link, end);
    link.onFrame((frame) => {
      if (frame.body.case === "checkpoint") this.#show(end, frame.body.value.note);
      else {
        this.#o.onFrame(end, frame);
        if (frame.body.case !== undefined) end.received(frame.exchange, frame.body);
      }
    });
    link.onClose(() => {
      end.lost = true;
      this.#open.delete(end);
      this.#o.onLost(end);
      end.streams?.close();
    });
  }

  #retired(link: Link): void {
    const end = this.#endOf(link);
    if (end.onActivity !== undefined) return;
    const retirement = retireLink({
      scheduler: this.#o.scheduler,
      activity: () => end.activity,
      close: () => link.close(),
    });
    end.onActivity = () => retirement.check();
    link.onClose(() => retirement.cancel());
  }

  #endOf(link: Link): LinkedPeer {
    const end = this.#ends.get(link);
    if (end === undefined) throw new TypeError("a link that was not admitted");
    return end;
  }

  #show(end: LinkedPeer, note: Uint8Array): void {
    try {
      end.show(this.#o.readFinal(note));
    } catch (error) {
      // A note without a quorum shows nothing.
      if (!(error instanceof CausewayError)) throw error;
    }
  }

  #push(note: Uint8Array): void {
    for (const end of this.#open) {
      end.send(0n, {
        case: "checkpoint",
        value: { $typeName: "causeway.exchange.v1.FinalCheckpoint", note },
      });
    }
  }
}
