/**
 * The attempts of this consumer gateway that it has closed and whose provider's closing it has not met
 * on the ledger yet. Kept in the journal's own state, in the transaction that seals the closing.
 */
import { emptyBytes } from "../base/bytes.ts";
import type { StateChange } from "../ledger/ports.ts";

const prefix = "consumer/closed/";
/** Index up to which the ledger was scanned for attempts that this gateway does not know. */
export const scannedKey: string = "consumer/scanned";

export class KnownAttempts {
  readonly #closed = new Set<string>();
  readonly #open = new Set<string>();
  #matched: string[] = [];

  /** Takes over the journal's state at start. */
  load(keys: Iterable<string>): void {
    for (const key of keys) if (key.startsWith(prefix)) this.#closed.add(key.slice(prefix.length));
  }

  has(attempt: string): boolean {
    return this.#open.has(attempt) || this.#closed.has(attempt);
  }

  opened(attempt: string): void {
    this.#open.add(attempt);
  }

  /** State changes that go with the record that closes an attempt; those of matched ones ride along. */
  closing(attempt: string): StateChange[] {
    this.#open.delete(attempt);
    this.#closed.add(attempt);
    const matched = this.#matched;
    this.#matched = [];
    return [
      { key: prefix + attempt, value: emptyBytes },
      ...matched.map((key) => ({ key: prefix + key })),
    ];
  }

  /** The provider's closing of this attempt is final: it need not be remembered any more. */
  matched(attempt: string): void {
    if (this.#closed.delete(attempt)) this.#matched.push(attempt);
  }
}
