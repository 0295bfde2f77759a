/**
 * The attempts of this consumer gateway that it has closed and whose provider's record it has not met on
 * the ledger yet, and how far it has looked. Kept in the journal's own state, in the transaction that
 * seals a closing.
 *
 * After a restart everything from the saved index on is looked at again, and what is not known then is
 * closed as unknown. So two rules hold of every saved state: a closed attempt is forgotten only when the
 * provider's record of it lies below the saved index, or when none can come any more, and that index never
 * passes a record of an attempt that is still open, because its closing may be lost with the process.
 *
 * Of most attempts that end without an answer the provider has no record at all. One comes only while the token
 * lives, or until the provider hears that its peer is gone, and is on the ledger within `inclusion_bound`:
 * what was closed longer before the time of a checkpoint that was looked through is forgotten. A record that comes
 * later still, of a provider that was away meanwhile, is looked up in the own chain before it is answered.
 */
import { u64be } from "../base/bytes.ts";
import { attemptsForgottenTogetherMax, keepaliveMs, keepaliveTimeoutMs } from "../base/limits.ts";
import type { Bounds } from "../credential/statements.ts";
import type { StateChange } from "../ledger/ports.ts";
import type { AttemptName } from "./consumer-records.ts";

const closedPrefix = "consumer/closed/";
const openPrefix = "consumer/open/";
const scannedKey = "consumer/scanned";

/** Key of the journal's state that says that an attempt is closed. */
function closedStateKey(attempt: string): string {
  return closedPrefix + attempt;
}

/** The journal's state that says that an attempt was closed at a Unix time in milliseconds. */
export function closedState(attempt: string, closedAtMs: number): StateChange {
  return { key: closedStateKey(attempt), value: u64be(BigInt(closedAtMs)) };
}

/** What says no time was closed before everything that does. */
function readClosedAt(value: Uint8Array): number {
  if (value.length === 0) return 0;
  return Number(new DataView(value.buffer, value.byteOffset, value.length).getBigUint64(0));
}

/** Milliseconds from the closing of an attempt within which a record of an honest provider about it is final. */
export function recordableMs({
  inclusion_bound_s,
  skew_s,
  token_life_s,
}: Pick<Bounds, "inclusion_bound_s" | "skew_s" | "token_life_s">): number {
  const isHeardOfMs = keepaliveMs + keepaliveTimeoutMs;
  return (token_life_s + skew_s + inclusion_bound_s) * 1000 + isHeardOfMs;
}

/** The journal's state that says which record of an attempt, by its hash, is its newest acknowledgement. */
export function recordedState(
  attempt: string,
  name: AttemptName,
  record: Uint8Array,
): StateChange & { readonly value: Uint8Array } {
  return { key: recordedStateKey(attempt), value: formatRecorded(name, record) };
}

/** Key of the journal's state that says that an attempt has an acknowledgement and is not closed. */
export function recordedStateKey(attempt: string): string {
  return openPrefix + attempt;
}

/** Bytes of such a state: xid, attempt, index, token digest, record hash. */
const recordedBytes = 16 + 4 + 4 + 32 + 32;

function formatRecorded(
  { xid, attempt, index, tokenDigest }: AttemptName,
  hash: Uint8Array,
): Uint8Array {
  const out = new Uint8Array(recordedBytes);
  out.set(xid);
  const view = new DataView(out.buffer);
  view.setUint32(16, attempt);
  view.setUint32(20, index);
  out.set(tokenDigest, 24);
  out.set(hash, 56);
  return out;
}

function readRecorded(bytes: Uint8Array): { name: AttemptName; prevRecord: Uint8Array } {
  if (bytes.length !== recordedBytes) throw new RangeError("not the state of an open attempt");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const name: AttemptName = {
    xid: bytes.slice(0, 16),
    attempt: view.getUint32(16),
    index: view.getUint32(20),
    tokenDigest: bytes.slice(24, 56),
  };
  return { name, prevRecord: bytes.slice(56) };
}

/** An attempt that is open and that nothing closes any more. */
export interface LeftOpen {
  readonly name: AttemptName;
  /** Of this start, or of an earlier one. */
  readonly outcome: "gateway-error" | "unknown-after-restart";
  /** Record hash of its newest acknowledgement. */
  readonly prevRecord: Uint8Array | undefined;
}

interface Acknowledged {
  readonly newest: Uint8Array;
  readonly before: Uint8Array | undefined;
}

interface Met {
  readonly attempt: string;
  /** Index of the batch that holds the provider's record. */
  readonly index: bigint;
}

/** A closed attempt as it was known. */
interface Forgotten {
  readonly closedAtMs: number;
  readonly metAt: bigint | undefined;
}

export class KnownAttempts {
  /** When each was closed, in about that order: Unix milliseconds. */
  #closed = new Map<string, number>();
  readonly #open = new Set<string>();
  /** Open attempts whose provider's record was met. */
  readonly #openMet = new Map<string, bigint>();
  /** Closed attempts whose provider's record was met: to be forgotten once the saved index is above it. */
  #met: Met[] = [];
  /** What is forgotten with a closing, until that is durable. */
  readonly #forgetting = new Map<string, Forgotten>();
  #left: LeftOpen[] = [];
  /**
   * Record hash of the newest acknowledgement of each attempt that has one and whose closing is not durable,
   * and of the one before, which is the newest again when that one is not sealed.
   */
  readonly #recorded = new Map<string, Acknowledged>();
  #scanned = 0n;
  #scannedSaved = 0n;
  /** Of what was closed before, nothing comes any more. */
  #settledMs = 0;

  /** Takes over the journal's state at start. */
  load(states: Iterable<{ readonly key: string; readonly value: Uint8Array }>): void {
    const closed: (readonly [string, number])[] = [];
    for (const { key, value } of states) {
      if (key.startsWith(closedPrefix)) {
        closed.push([key.slice(closedPrefix.length), readClosedAt(value)]);
      }
      if (key.startsWith(openPrefix)) {
        const { name, prevRecord } = readRecorded(value);
        const attempt = key.slice(openPrefix.length);
        this.#open.add(attempt);
        this.#recorded.set(attempt, { newest: prevRecord, before: undefined });
        this.#left.push({ name, outcome: "unknown-after-restart", prevRecord });
      }
      if (key === scannedKey) {
        this.#scanned = new DataView(value.buffer, value.byteOffset).getBigUint64(0);
        this.#scannedSaved = this.#scanned;
      }
    }
    this.#closed = new Map(closed.toSorted(([, a], [, b]) => a - b));
  }

  /** Index of the first batch that has not been scanned. */
  get scanned(): bigint {
    return this.#scanned;
  }

  has(attempt: string): boolean {
    return this.#open.has(attempt) || this.#closed.has(attempt);
  }

  opened(attempt: string): void {
    this.#open.add(attempt);
  }

  /** State changes that go with an acknowledgement that does not close its attempt. */
  recorded(attempt: string, name: AttemptName, record: Uint8Array): StateChange[] {
    this.#recorded.set(attempt, { newest: record, before: this.#recorded.get(attempt)?.newest });
    return [recordedState(attempt, name, record)];
  }

  /**
   * State changes that go with the record that closes an attempt at a Unix time in milliseconds; what else is to be
   * saved rides along.
   */
  closing(attempt: string, closedAtMs: number): StateChange[] {
    this.#open.delete(attempt);
    this.#closed.set(attempt, closedAtMs);
    const metAt = this.#openMet.get(attempt);
    this.#openMet.delete(attempt);
    if (metAt !== undefined) this.#met.push({ attempt, index: metAt });
    const changes: StateChange[] = [closedState(attempt, closedAtMs)];
    if (this.#recorded.has(attempt)) changes.push({ key: recordedStateKey(attempt) });
    const lookAgainFrom = [...this.#openMet.values()].reduce(least, this.#scanned);
    if (lookAgainFrom > this.#scannedSaved) {
      this.#scannedSaved = lookAgainFrom;
      changes.push({ key: scannedKey, value: u64be(lookAgainFrom) });
      changes.push(...this.#forgetMet());
    } else if (metAt !== undefined) {
      changes.push(...this.#forgetMet());
    }
    changes.push(...this.#forgetSettled());
    return changes;
  }

  /** Forgets what the provider's record is known of, as far as it is not looked at again. */
  #forgetMet(): readonly StateChange[] {
    const below = this.#met.filter(({ index }) => index < this.#scannedSaved);
    this.#met = this.#met.filter(({ index }) => index >= this.#scannedSaved);
    // Of the attempt that is being closed too: the later change of a key is the one that stays.
    return below.map(({ attempt, index }) => this.#forget(attempt, index));
  }

  /** Forgets some of what no provider records any more. */
  #forgetSettled(): readonly StateChange[] {
    const settled: string[] = [];
    for (const [attempt, closedAtMs] of this.#closed) {
      if (closedAtMs >= this.#settledMs || settled.length >= attemptsForgottenTogetherMax) break;
      settled.push(attempt);
    }
    return settled.map((attempt) => this.#forget(attempt, undefined));
  }

  #forget(attempt: string, metAt: bigint | undefined): StateChange {
    const closedAtMs = this.#closed.get(attempt) ?? 0;
    this.#closed.delete(attempt);
    this.#forgetting.set(attempt, { closedAtMs, metAt });
    return { key: closedStateKey(attempt) };
  }

  /** The record is durable with which these changes were made. */
  sealed(changes: readonly StateChange[]): void {
    for (const { key, value } of changes) {
      if (value !== undefined) continue;
      if (key.startsWith(openPrefix)) this.#recorded.delete(key.slice(openPrefix.length));
      if (key.startsWith(closedPrefix)) this.#forgetting.delete(key.slice(closedPrefix.length));
    }
  }

  /**
   * A record of an attempt was not sealed, and `changes` were not made. With its name the attempt is open
   * as before, and `takeLeftOpen` gives it out; without, it is unknown as before.
   */
  notSealed(
    attempt: string,
    changes: readonly StateChange[],
    name?: AttemptName,
    outcome: LeftOpen["outcome"] = "gateway-error",
  ): void {
    // Where its record was met may be forgotten by now: then nothing is passed until it is closed.
    const isForgotten = !this.#closed.delete(attempt);
    const metAt = isForgotten ? 0n : this.#met.find((met) => met.attempt === attempt)?.index;
    this.#forgetting.delete(attempt);
    this.#met = this.#met.filter((met) => met.attempt !== attempt);
    for (const { key, value } of changes) {
      // What the journal holds is not known to be this: the next closing says it again.
      if (key === scannedKey) this.#scannedSaved = 0n;
      if (!key.startsWith(closedPrefix)) continue;
      const other = key.slice(closedPrefix.length);
      const known = this.#forgetting.get(other);
      if (value !== undefined || known === undefined) continue;
      this.#forgetting.delete(other);
      this.#closed.set(other, known.closedAtMs);
      if (known.metAt !== undefined) this.#met.push({ attempt: other, index: known.metAt });
    }
    if (name === undefined) return;
    this.#notRecorded(attempt, changes);
    this.#open.add(attempt);
    if (metAt !== undefined) this.#openMet.set(attempt, metAt);
    this.#left.push({ name, outcome, prevRecord: this.#recorded.get(attempt)?.newest });
  }

  /** What was not sealed is no acknowledgement that a closing could follow. */
  #notRecorded(attempt: string, changes: readonly StateChange[]): void {
    const key = recordedStateKey(attempt);
    if (!changes.some((change) => change.key === key && change.value !== undefined)) return;
    const before = this.#recorded.get(attempt)?.before;
    if (before === undefined) this.#recorded.delete(attempt);
    else this.#recorded.set(attempt, { newest: before, before: undefined });
  }

  /** Attempts that have to be closed: those of an earlier start, and those whose record could not be sealed. */
  takeLeftOpen(): readonly LeftOpen[] {
    const left = this.#left;
    this.#left = [];
    return left;
  }

  /** The provider's record that names this attempt stands in the batch of this index. */
  matched(attempt: string, index: bigint): void {
    if (this.#open.has(attempt)) this.#openMet.set(attempt, index);
    else if (this.#closed.has(attempt)) this.#met.push({ attempt, index });
  }

  /** Every batch below `index` has been scanned. */
  scannedTo(index: bigint): void {
    this.#scanned = index;
  }

  /** Of attempts that were closed before this Unix time in milliseconds no record comes any more. */
  settled(beforeMs: number): void {
    this.#settledMs = Math.max(this.#settledMs, beforeMs);
  }
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
