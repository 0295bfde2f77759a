/** A map of at most `entriesMax` entries that drops the one used longest ago. */
export class Lru<K, V> {
  readonly #entries = new Map<K, V>();
  readonly #entriesMax: number;
  #newest: K | undefined;

  constructor(entriesMax: number) {
    if (!Number.isSafeInteger(entriesMax) || entriesMax < 1) {
      throw new RangeError(`not a number of entries: ${entriesMax}`);
    }
    this.#entriesMax = entriesMax;
  }

  get entryCount(): number {
    return this.#entries.size;
  }

  /** The value of `key`, which is the newest entry from now on. */
  get(key: K): V | undefined {
    const value = this.#entries.get(key);
    if (value === undefined || key === this.#newest) return value;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    this.#newest = key;
    return value;
  }

  /** Sets the newest entry, and drops the oldest when there is no room. */
  set(key: K, value: V): void {
    this.#entries.delete(key);
    if (this.#entries.size >= this.#entriesMax) this.takeOldest();
    this.#entries.set(key, value);
    this.#newest = key;
  }

  delete(key: K): void {
    this.#entries.delete(key);
  }

  /** Removes the oldest entry and returns its value. */
  takeOldest(): V | undefined {
    for (const [key, value] of this.#entries) {
      this.#entries.delete(key);
      return value;
    }
    return undefined;
  }
}
