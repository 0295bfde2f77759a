/** The sizes that a quorum made final, and the time of each (DESIGN.md section 3). */
export interface FinalSize {
  readonly size: bigint;
  /** Unix milliseconds: the lower median of the frozen note's cosignature times. */
  readonly timeMs: number;
  /** Whose log signed it. */
  readonly term: bigint;
}

export class FinalSizes {
  readonly #finals: FinalSize[] = [];
  readonly #times = new Map<bigint, number>();
  /** When the first size of each term became final. */
  readonly #terms = new Map<bigint, number>();

  get newest(): FinalSize | undefined {
    return this.#finals.at(-1);
  }

  get count(): number {
    return this.#finals.length;
  }

  /** Sizes come in ascending order. */
  add(final: FinalSize): void {
    this.#finals.push(final);
    this.#times.set(final.size, final.timeMs);
    if (!this.#terms.has(final.term)) this.#terms.set(final.term, final.timeMs);
  }

  /** Unix milliseconds of the first final size of a term. */
  termSinceMs(term: bigint): number | undefined {
    return this.#terms.get(term);
  }

  /** Whether a header may rest on the size; the empty ledger needs no checkpoint. */
  isFinal(size: bigint): boolean {
    return size === 0n || this.#times.has(size);
  }

  timeOf(size: bigint): number | undefined {
    return this.#times.get(size);
  }

  /** The first final size greater than `size`: for an index, the one that made its leaf final. */
  firstAbove(size: bigint): FinalSize | undefined {
    return this.#finals[this.#countUpTo(size)];
  }

  /** The greatest final size below `size`. */
  lastBelow(size: bigint): FinalSize | undefined {
    return size === 0n ? undefined : this.#finals[this.#countUpTo(size - 1n) - 1];
  }

  /** How many final sizes are at most `size`. */
  #countUpTo(size: bigint): number {
    let low = 0;
    let high = this.#finals.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#finals[middle] as FinalSize).size > size) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
