/** A map of at most `entriesMax` entries that forgets the one that was not read for longest. */
export class LruMap<Value> {
  readonly #entriesMax: number;
  // A Map iterates in the order of insertion: the first key is the oldest.
  readonly #entries: Map<string, Value> = new Map();

  constructor(entriesMax: number) {
    if (!Number.isSafeInteger(entriesMax) || entriesMax < 1) {
      throw new RangeError("an LruMap holds at least one entry");
    }
    this.#entriesMax = entriesMax;
  }

  get entryCount(): number {
    return this.#entries.size;
  }

  get(key: string): Value | undefined {
    const value = this.#entries.get(key);
    if (value === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, value);
    return value;
  }

  set(key: string, value: Value): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#entriesMax) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}
