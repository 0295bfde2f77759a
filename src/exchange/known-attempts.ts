/**
 * The attempts of this consumer gateway that it has closed and whose provider's closing it has not met
 * on the ledger yet, and how far it has looked. Kept in the journal's own state, in the transaction that
 * seals a closing.
 *
 * An attempt is forgotten together with the index below which its provider's closing was met: a restart
 * looks again from that index, and would otherwise take the attempt for an unknown one.
 */
import { emptyBytes, u64be } from "../base/bytes.ts";
import type { StateChange } from "../ledger/ports.ts";

const closedPrefix = "consumer/closed/";
const scannedKey = "consumer/scanned";

export class KnownAttempts {
  readonly #closed = new Set<string>();
  readonly #open = new Set<string>();
  /** Matched in the batch that is being scanned, and in those before. */
  #matchedNow: string[] = [];
  #matched: string[] = [];
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
    const changes: StateChange[] = [{ key: closedPrefix + attempt, value: emptyBytes }];
    if (this.#scanned > this.#scannedSaved) {
      this.#scannedSaved = this.#scanned;
      changes.push({ key: scannedKey, value: u64be(this.#scanned) });
    }
    for (const key of this.#matched) changes.push({ key: closedPrefix + key });
    this.#matched = [];
    return changes;
  }

  /** The provider's closing of this attempt stands in the batch that is being scanned. */
  matched(attempt: string): void {
    if (this.#closed.delete(attempt)) this.#matchedNow.push(attempt);
  }

  /** Every batch below `index` has been scanned. */
  scannedTo(index: bigint): void {
    this.#scanned = index;
    this.#matched.push(...this.#matchedNow);
    this.#matchedNow = [];
  }
}
