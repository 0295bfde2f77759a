/** One link to each peer, opened when first asked for and again, with growing delays, when it is lost. */
import type { RandomBytes } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import { reconnectMaxMs, reconnectMinMs } from "../../base/limits.ts";
import type { Link, LinkHooks, LinkTiming } from "./link.ts";
import { type LinkTarget, openLink } from "./link-client.ts";

export interface LinkPoolOptions extends LinkTiming {
  /** For the spread of delays: peers of a gateway that comes back do not all call in one moment. */
  readonly random: RandomBytes;
  /** Where and under which certificates the ledger binds this peer now; `undefined` when it does not. */
  target(peer: string): LinkTarget | undefined;
  hooks(peer: string): LinkHooks;
  /** A new link, with what it was opened to. Its listeners are to be set in this call. */
  onLink(link: Link, target: LinkTarget): void;
  /** An attempt that failed, for telemetry. */
  onFailure?(peer: string, error: CausewayError): void;
}

interface PeerEntry {
  readonly peer: string;
  link: Link | undefined;
  dialing: Promise<Link> | undefined;
  /** Set while the next attempt has to wait. */
  failure: CausewayError | undefined;
  lost: boolean;
  backoffMs: number;
  cancelTimer: () => void;
}

export class LinkPool {
  readonly #options: LinkPoolOptions;
  readonly #peers = new Map<string, PeerEntry>();
  readonly #links = new Set<Link>();
  #closed = false;

  constructor(options: LinkPoolOptions) {
    this.#options = options;
  }

  /** The link to a peer if it takes new exchanges now. */
  current(peer: string): Link | undefined {
    return this.#peers.get(peer)?.link;
  }

  /** Whether the peer's last link was lost, or could not be opened, and none stands since. */
  isLost(peer: string): boolean {
    return this.#peers.get(peer)?.lost ?? false;
  }

  /**
   * The link to a peer, opened first where there is none; from then on it is opened again whenever it
   * is lost. Rejects as `openLink` does: at once while the delay after a failed attempt has not passed.
   */
  connect(peer: string): Promise<Link> {
    if (this.#closed) return Promise.reject(shuttingDown());
    const entry = this.#entry(peer);
    if (entry.link !== undefined) return Promise.resolve(entry.link);
    if (entry.dialing !== undefined) return entry.dialing;
    if (entry.failure !== undefined) return Promise.reject(entry.failure);
    return this.#dial(entry);
  }

  /** Ends the links to certificates that the ledger no longer binds. */
  recheck(): void {
    for (const { peer, link } of this.#peers.values()) {
      const trusted = this.#options.target(peer)?.tls.trusted ?? [];
      const stands = trusted.some(
        (der) => link !== undefined && Buffer.compare(der, link.peerCertificate) === 0,
      );
      if (!stands)
        link?.close(new CausewayError("KEY_UNKNOWN", "the certificate is bound no more"));
    }
  }

  /** Closes every link and opens none again. */
  close(): void {
    this.#closed = true;
    for (const entry of this.#peers.values()) entry.cancelTimer();
    for (const link of this.#links) link.close();
  }

  #entry(peer: string): PeerEntry {
    let entry = this.#peers.get(peer);
    if (entry === undefined) {
      entry = {
        peer,
        link: undefined,
        dialing: undefined,
        failure: undefined,
        lost: false,
        backoffMs: reconnectMinMs,
        cancelTimer: () => {},
      };
      this.#peers.set(peer, entry);
    }
    return entry;
  }

  #dial(entry: PeerEntry): Promise<Link> {
    entry.cancelTimer();
    entry.dialing = this.#open(entry.peer).then(
      ({ link, target }) => this.#opened(entry, link, target),
      (cause: unknown) => {
        const error = asCausewayError(cause);
        entry.dialing = undefined;
        this.#options.onFailure?.(entry.peer, error);
        this.#later(entry, error);
        throw error;
      },
    );
    return entry.dialing;
  }

  async #open(peer: string): Promise<{ readonly link: Link; readonly target: LinkTarget }> {
    const target = this.#options.target(peer);
    if (target === undefined) {
      throw new CausewayError("PEER_UNAVAILABLE", "the ledger binds no such peer");
    }
    return { link: await openLink(target, this.#options.hooks(peer), this.#options), target };
  }

  #opened(entry: PeerEntry, link: Link, target: LinkTarget): Link {
    entry.dialing = undefined;
    if (this.#closed) {
      link.close();
      throw shuttingDown();
    }
    entry.link = link;
    entry.lost = false;
    this.#links.add(link);
    // A link that is lost at once, over and over, is not a reason to begin with short delays again.
    entry.cancelTimer = this.#options.scheduler.after(reconnectMaxMs, () => {
      entry.backoffMs = reconnectMinMs;
    });
    link.onDrain(() => {
      if (entry.link === link) entry.link = undefined;
    });
    link.onClose(() => {
      this.#links.delete(link);
      if (entry.link !== link) return;
      entry.link = undefined;
      // Who asks now may dial at once: only an attempt that fails makes others wait.
      this.#later(entry, undefined);
    });
    this.#options.onLink(link, target);
    return link;
  }

  /** Dials again after a delay. `failure` is what is told to those who ask before. */
  #later(entry: PeerEntry, failure: CausewayError | undefined): void {
    entry.cancelTimer();
    if (this.#closed) return;
    entry.failure = failure;
    entry.lost = true;
    const [byte] = this.#options.random(1);
    const delayMs = entry.backoffMs * (0.5 + (byte as number) / 512);
    entry.backoffMs = Math.min(2 * entry.backoffMs, reconnectMaxMs);
    entry.cancelTimer = this.#options.scheduler.after(delayMs, () => {
      entry.failure = undefined;
      if (entry.link !== undefined || entry.dialing !== undefined) return;
      // Who asks meanwhile gets this attempt; that it failed is told to `onFailure`.
      this.#dial(entry).catch(() => {});
    });
  }
}

function asCausewayError(cause: unknown): CausewayError {
  if (cause instanceof CausewayError) return cause;
  return new CausewayError("INTERNAL", "the link could not be opened", { cause });
}

function shuttingDown(): CausewayError {
  return new CausewayError("SHUTTING_DOWN", "no link is opened any more");
}
