/**
 * The attempts of this consumer gateway that it has closed and whose provider's record it has not met on
 * the ledger yet, and how far it has looked. Kept in the journal's own state, in the transaction that
 * seals a closing.
 *
 * After a restart everything from the saved index on is looked at again, and what is not known then is
 * closed as unknown. So two rules hold of every saved state: a closed attempt is forgotten only when the
 * provider's record of it lies below the saved index, and that index never passes a record of an attempt
 * that is still open, because its closing may be lost with the process.
 */
import { emptyBytes, u64be } from "../base/bytes.ts";
import type { StateChange } from "../ledger/ports.ts";
import type { AttemptName } from "./consumer-records.ts";

const closedPrefix = "consumer/closed/";
const scannedKey = "consumer/scanned";

/** Key of the journal's state that says that an attempt is closed. */
export function closedStateKey(attempt: string): string {
  return closedPrefix + attempt;
}

interface Met {
  readonly attempt: string;
  /** Index of the batch that holds the provider's record. */
  readonly index: bigint;
}

export class KnownAttempts {
  readonly #closed = new Set<string>();
  readonly #open = new Set<string>();
  /** Open attempts whose provider's record was met. */
  readonly #openMet = new Map<string, bigint>();
  /** Closed attempts whose provider's record was met: to be forgotten once the saved index is above it. */
  #met: Met[] = [];
  #unsealed: AttemptName[] = [];
  #scanned = 0n;
  #scannedSaved = 0n;

  /** Takes over the journal's state at start. */
  load(states: Iterable<{ readonly key: string; readonly value: Uint8Array }>): void {
    for (const { key, value } of states) {
      if (key.startsWith(closedPrefix)) this.#closed.add(key.slice(closedPrefix.length));
      if (key === scannedKey) {
        this.#scanned = new DataView(value.buffer, value.byteOffset).getBigUint64(0);
        this.#scannedSaved = this.#scanned;
      }
    }
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

  /** State changes that go with the record that closes an attempt; what else is to be saved rides along. */
  closing(attempt: string): StateChange[] {
    this.#open.delete(attempt);
    this.#closed.add(attempt);
    const metAt = this.#openMet.get(attempt);
    this.#openMet.delete(attempt);
    if (metAt !== undefined) this.#met.push({ attempt, index: metAt });
    const changes: StateChange[] = [{ key: closedStateKey(attempt), value: emptyBytes }];
    const lookAgainFrom = [...this.#openMet.values()].reduce(least, this.#scanned);
    if (lookAgainFrom > this.#scannedSaved) {
      this.#scannedSaved = lookAgainFrom;
      changes.push({ key: scannedKey, value: u64be(lookAgainFrom) });
    } else if (metAt === undefined) {
      return changes;
    }
    const below = this.#met.filter(({ index }) => index < this.#scannedSaved);
    this.#met = this.#met.filter(({ index }) => index >= this.#scannedSaved);
    for (const met of below) {
      this.#closed.delete(met.attempt);
      // Of the attempt itself too: the later change of a key is the one that stays.
      changes.push({ key: closedStateKey(met.attempt) });
    }
    return changes;
  }

  /**
   * The record that was to close an attempt was not sealed, and `changes` were not made. With its name the
   * attempt is open as before, and `takeUnsealed` gives it out; without, it is unknown as before.
   */
  notSealed(attempt: string, changes: readonly StateChange[], name?: AttemptName): void {
    // Where its record was met may be forgotten by now: then nothing is passed until it is closed.
    const isForgotten = !this.#closed.delete(attempt);
    const metAt = isForgotten ? 0n : this.#met.find((met) => met.attempt === attempt)?.index;
    this.#met = this.#met.filter((met) => met.attempt !== attempt);
    for (const { key, value } of changes) {
      // What the journal holds is not known to be this: the next closing says it again.
      if (key === scannedKey) this.#scannedSaved = 0n;
      const other = key.slice(closedPrefix.length);
      if (value !== undefined || other === attempt) continue;
      this.#closed.add(other);
      this.#met.push({ attempt: other, index: 0n });
    }
    if (name === undefined) return;
    this.#open.add(attempt);
    if (metAt !== undefined) this.#openMet.set(attempt, metAt);
    this.#unsealed.push(name);
  }

  /** Attempts whose closing could not be sealed, once. */
  takeUnsealed(): readonly AttemptName[] {
    const unsealed = this.#unsealed;
    this.#unsealed = [];
    return unsealed;
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
}

function least(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
