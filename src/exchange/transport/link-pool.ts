/** A few links to each peer, opened when first asked for, and kept up from then on. */
import type { RandomBytes } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import { linksPerPeerMax } from "../../base/limits.ts";
import type { Link, LinkHooks, LinkTiming } from "./link.ts";
import { type LinkTarget, openLink } from "./link-client.ts";
import { LinkSlot } from "./link-slot.ts";

export interface LinkPoolOptions extends LinkTiming {
  readonly random: RandomBytes;
  /** Links to one peer; 1 by default. More spread the frames of one busy pair over several connections. */
  readonly linksPerPeer?: number;
  /** Where and under which certificates the ledger binds this peer now; `undefined` when it does not. */
  target(peer: string): LinkTarget | undefined;
  hooks(peer: string): LinkHooks;
  /** A new link, with what it was opened to. Its listeners are to be set in this call. */
  onLink(link: Link, target: LinkTarget): void;
  /** A link that takes no new exchanges any more: to be closed once those that it carries have ended. */
  onRetired?(link: Link): void;
  /** An attempt that failed, for telemetry. */
  onFailure?(peer: string, error: CausewayError): void;
}

interface PeerEntry {
  readonly slots: readonly LinkSlot[];
  /** Where the next exchange looks first. */
  turn: number;
}

export class LinkPool {
  readonly #options: LinkPoolOptions;
  readonly #peers = new Map<string, PeerEntry>();
  /** All links that stand, with their peer. */
  readonly #links = new Map<Link, string>();
  #closed = false;

  constructor(options: LinkPoolOptions) {
    const { linksPerPeer = 1 } = options;
    if (!Number.isInteger(linksPerPeer) || linksPerPeer < 1 || linksPerPeer > linksPerPeerMax) {
      throw new RangeError(`a peer has 1 to ${linksPerPeerMax} links`);
    }
    this.#options = options;
  }

  /** A link to a peer that takes new exchanges now: each in its turn, those that are not congested first. */
  current(peer: string): Link | undefined {
    const entry = this.#peers.get(peer);
    if (entry === undefined) return undefined;
    const { slots } = entry;
    let found: Link | undefined;
    for (let i = 0; i < slots.length; i++) {
      const link = slots[(entry.turn + i) % slots.length]?.current;
      if (link === undefined) continue;
      found ??= link;
      if (link.congested) continue;
      entry.turn = (entry.turn + i + 1) % slots.length;
      return link;
    }
    return found;
  }

  /** Whether every last link to the peer was lost, or could not be opened, and none stands since. */
  isLost(peer: string): boolean {
    return this.#peers.get(peer)?.slots.every(({ lost }) => lost) ?? false;
  }

  /**
   * A link to a peer, opened first where there is none; from then on its links are opened again whenever
   * they are lost. Rejects as `openLink` does: at once while the delay after a failed attempt has not passed.
   */
  async connect(peer: string): Promise<Link> {
    if (this.#closed) throw shuttingDown();
    const standing = this.current(peer);
    if (standing !== undefined) return standing;
    const { slots } = this.#entry(peer);
    return Promise.any(slots.map((slot) => slot.connect())).catch((error: unknown) => {
      throw error instanceof AggregateError ? error.errors[0] : error;
    });
  }

  /** Opens all links anew, under what `target` says now; those that stand are given out until then. */
  replaceAll(): void {
    for (const { slots } of this.#peers.values()) for (const slot of slots) slot.replace();
  }

  /** Ends the links to certificates that the ledger no longer binds. */
  recheck(): void {
    for (const [link, peer] of this.#links) {
      const trusted = this.#options.target(peer)?.tls.trusted ?? [];
      if (trusted.some((der) => Buffer.compare(der, link.peerCertificate) === 0)) continue;
      link.close(new CausewayError("KEY_UNKNOWN", "the certificate is bound no more"));
    }
  }

  /** Closes every link and opens none again. */
  close(): void {
    this.#closed = true;
    for (const { slots } of this.#peers.values()) for (const slot of slots) slot.close();
    for (const link of this.#links.keys()) link.close();
  }

  #entry(peer: string): PeerEntry {
    let entry = this.#peers.get(peer);
    if (entry === undefined) {
      const { linksPerPeer = 1, random, scheduler } = this.#options;
      const slot = (): LinkSlot =>
        new LinkSlot({
          random,
          scheduler,
          open: () => this.#open(peer),
          onRetired: (link) => this.#options.onRetired?.(link),
          onFailure: (error) => this.#options.onFailure?.(peer, error),
        });
      entry = { slots: Array.from({ length: linksPerPeer }, slot), turn: 0 };
      this.#peers.set(peer, entry);
    }
    return entry;
  }

  async #open(peer: string): Promise<Link> {
    const target = this.#options.target(peer);
    if (target === undefined) {
      throw new CausewayError("PEER_UNAVAILABLE", "the ledger binds no such peer");
    }
    const link = await openLink(target, this.#options.hooks(peer), this.#options);
    if (this.#closed) {
      link.close();
      throw shuttingDown();
    }
    this.#links.set(link, peer);
    link.onClose(() => this.#links.delete(link));
    this.#options.onLink(link, target);
    return link;
  }
}

function shuttingDown(): CausewayError {
  return new CausewayError("SHUTTING_DOWN", "no link is opened any more");
}
