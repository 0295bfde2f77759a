/** What of one agency waits for an answer: its receipts, and acknowledgements that cannot be verified yet. */
import { Fifo } from "../base/fifo.ts";
import { acknowledgementDueMs, closingsRememberedMax } from "../base/limits.ts";
import type { Proof } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { Replica } from "../ledger/ports.ts";
import type { LeafCache } from "./leaf-cache.ts";

/**
 * How long before its receipt is released an attempt may have been closed by its consumer: a call that is
 * given up while its cancellation is lost with the link, or while its receipt waits to be final.
 */
export const closedBeforeMs: number = acknowledgementDueMs;

/** What an acknowledgement is checked against. */
export interface AcknowledgementContext {
  readonly replica: Replica;
  readonly leaves: LeafCache;
}

export interface WaitingAcknowledgement {
  readonly proof: Proof;
  readonly peer: string;
  readonly context: AcknowledgementContext;
}

export interface Released {
  readonly handle: string;
  readonly leaf: Uint8Array;
  readonly peer: string;
  readonly record: Uint8Array;
  readonly releasedAtMs: number;
  /** As `attemptKey` names it. */
  readonly attempt: string;
  /** Batches of the own journal before the first record of the attempt, at the most. */
  readonly from: number;
  readonly onAcknowledged: (() => void) | undefined;
  /** An acknowledgement of it came in-band and was overdue on the ledger, or another stood in its place: what is told counts no more. */
  readonly isOwed?: boolean;
}

/** A batch of an agency's gateway in which an answer may stand. */
export interface Unread {
  readonly index: bigint;
  readonly includedAtMs: number;
}

/**
 * The receipts of one agency, each in one of the two, in the order of their release. What the ledger says of
 * them is read only once one is overdue: nearly all are answered in-band, within milliseconds.
 */
export class Unanswered {
  readonly fresh: Map<string, Released> = new Map();
  readonly overdue: Map<string, Released> = new Map();
  /** In the order of the ledger. */
  readonly unread: Fifo<Unread> = new Fifo();
  /** Acknowledgements under a key that is not known yet, by the handle of their receipt. */
  readonly waiting: Map<string, WaitingAcknowledgement> = new Map();
  /** When closings were included that were read before a receipt of theirs may be released; in the order of the ledger. */
  readonly #closings = new Map<string, number>();
  readonly #closingsMax: number;

  constructor(closingsMax: number = closingsRememberedMax) {
    this.#closingsMax = closingsMax;
  }

  get size(): number {
    return this.fresh.size + this.overdue.size;
  }

  get first(): Released | undefined {
    const [first] = this.overdue.size > 0 ? this.overdue.values() : this.fresh.values();
    return first;
  }

  /** Moves what has waited for too long. */
  age(nowMs: number): void {
    for (const released of this.fresh.values()) {
      if (released.releasedAtMs + acknowledgementDueMs > nowMs) return;
      this.fresh.delete(released.handle);
      this.overdue.set(released.handle, released);
    }
  }

  /** In the place of what is known under its handle, in the same order. */
  put(released: Released): void {
    const known = this.overdue.has(released.handle) ? this.overdue : this.fresh;
    known.set(released.handle, released);
  }

  take(handle: string): void {
    this.fresh.delete(handle);
    this.overdue.delete(handle);
    this.waiting.delete(handle);
  }

  included(index: bigint, nowMs: number): void {
    this.unread.push({ index, includedAtMs: nowMs });
    this.prune(nowMs);
  }

  /** A gateway has closed an attempt in a batch that was included then. Beyond the bound the oldest is forgotten. */
  closed(gateway: string, attempt: string, includedAtMs: number): void {
    const key = closingKey(gateway, attempt);
    this.#closings.delete(key);
    this.#closings.set(key, includedAtMs);
    const [oldest] = this.#closings.keys();
    if (oldest !== undefined && this.#closings.size > this.#closingsMax) {
      this.#closings.delete(oldest);
    }
  }

  /** Whether a gateway had closed an attempt before a receipt of it was released. */
  isClosed(gateway: string, attempt: string): boolean {
    return this.#closings.has(closingKey(gateway, attempt));
  }

  /** A batch that was included long before the oldest receipt was released answers none. */
  prune(nowMs: number): void {
    const sinceMs = (this.first?.releasedAtMs ?? nowMs) - closedBeforeMs;
    while ((this.unread.peek()?.includedAtMs ?? sinceMs) < sinceMs) this.unread.shift();
    for (const [key, includedAtMs] of this.#closings) {
      if (includedAtMs >= nowMs - closedBeforeMs) break;
      this.#closings.delete(key);
    }
  }

  /** Nothing waits, and nothing is known that a receipt to come could be answered by. */
  get idle(): boolean {
    return this.size === 0 && this.unread.count === 0 && this.#closings.size === 0;
  }
}

function closingKey(gateway: string, attempt: string): string {
  return `${gateway} ${attempt}`;
}
