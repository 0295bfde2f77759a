/** One place for a link to a peer: opened when it is first asked for, and again whenever it is lost. */
import type { RandomBytes } from "../../base/clock.ts";
import { CausewayError } from "../../base/errors.ts";
import { reconnectMaxMs, reconnectMinMs } from "../../base/limits.ts";
import type { Link, LinkTiming } from "./link.ts";

export interface LinkSlotOptions {
  readonly scheduler: LinkTiming["scheduler"];
  /** For the spread of delays: peers of a gateway that comes back do not all call in one moment. */
  readonly random: RandomBytes;
  /** Opens a link and makes it known. */
  readonly open: () => Promise<Link>;
  /** A link that stands, and that is not given out any more: its other side drains, or another took its place. */
  readonly onRetired: (link: Link) => void;
  /** An attempt that failed, for telemetry. */
  readonly onFailure: (error: CausewayError) => void;
}

export class LinkSlot {
  readonly #o: LinkSlotOptions;
  #link: Link | undefined;
  #dialing: Promise<Link> | undefined;
  /** Set while the next attempt has to wait. */
  #failure: CausewayError | undefined;
  #lost = false;
  /** The link that stands is to be replaced, once another stands. */
  #stale = false;
  #backoffMs = reconnectMinMs;
  #cancelTimer: () => void = ignore;
  #closed = false;

  constructor(options: LinkSlotOptions) {
    this.#o = options;
  }

  /** The link, if it takes new exchanges now. */
  get current(): Link | undefined {
    return this.#link;
  }

  /** Whether the last link was lost, or could not be opened, and none stands since. */
  get lost(): boolean {
    return this.#lost;
  }

  /** The link, opened first where there is none. Rejects at once while the delay after a failure has not passed. */
  connect(): Promise<Link> {
    if (this.#closed) return Promise.reject(shuttingDown());
    if (this.#link !== undefined) return Promise.resolve(this.#link);
    if (this.#dialing !== undefined) return this.#dialing;
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return this.#dial();
  }

  /** Opens another link in the place of the one that stands, which is given out until then. */
  replace(): void {
    if (this.#closed || (this.#link === undefined && this.#dialing === undefined)) return;
    this.#stale = true;
    // What is being opened may have been begun before: it is replaced in its turn.
    if (this.#dialing === undefined) this.#redial();
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer();
  }

  #dial(): Promise<Link> {
    this.#cancelTimer();
    this.#stale = false;
    this.#dialing = this.#o.open().then(
      (link) => this.#opened(link),
      (cause: unknown) => {
        const error = asCausewayError(cause);
        this.#dialing = undefined;
        this.#o.onFailure(error);
        // The one that stands goes on until it can be replaced.
        this.#stale = this.#link !== undefined;
        this.#later(error);
        throw error;
      },
    );
    return this.#dialing;
  }

  // Who asks meanwhile gets this attempt; that it failed is told to `onFailure`.
  #redial(): void {
    this.#dial().catch(ignore);
  }

  #opened(link: Link): Link {
    this.#dialing = undefined;
    if (this.#closed) {
      link.close();
      throw shuttingDown();
    }
    const before = this.#link;
    this.#link = link;
    this.#lost = false;
    this.#failure = undefined;
    // A link that is lost at once, over and over, is not a reason to begin with short delays again.
    this.#cancelTimer = this.#o.scheduler.after(reconnectMaxMs, () => {
      this.#backoffMs = reconnectMinMs;
    });
    link.onDrain(() => this.#drained(link));
    link.onClose(() => this.#ended(link));
    if (before !== undefined) this.#o.onRetired(before);
    if (this.#stale) this.#redial();
    return link;
  }

  #drained(link: Link): void {
    if (this.#link === link) {
      this.#link = undefined;
      // Calls that come now go to another gateway, or find the next link under way.
      if (!this.#closed && this.#dialing === undefined) this.#redial();
    }
    this.#o.onRetired(link);
  }

  #ended(link: Link): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    // Who asks now may dial at once: only an attempt that fails makes others wait.
    if (this.#dialing === undefined) this.#later(undefined);
  }

  /** Dials again after a delay. `failure` is what is told to those who ask before. */
  #later(failure: CausewayError | undefined): void {
    this.#cancelTimer();
    if (this.#closed) return;
    const standing = this.#link !== undefined;
    this.#failure = standing ? undefined : failure;
    this.#lost = !standing;
    const [byte] = this.#o.random(1);
    const delayMs = this.#backoffMs * (0.5 + (byte as number) / 512);
    this.#backoffMs = Math.min(2 * this.#backoffMs, reconnectMaxMs);
    this.#cancelTimer = this.#o.scheduler.after(delayMs, () => {
      this.#failure = undefined;
      if (this.#dialing !== undefined || (this.#link !== undefined && !this.#stale)) return;
      this.#redial();
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

function ignore(): void {}
