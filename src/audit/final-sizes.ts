/** The sizes that a quorum made final, and the time of each (DESIGN.md section 3). */
import { NumberList } from "../base/number-list.ts";

export interface FinalSize {
  readonly size: bigint;
  /** Unix milliseconds: the lower median of the frozen note's cosignature times. */
  readonly timeMs: number;
  /** Whose log signed it. */
  readonly term: bigint;
}

/** They have members of their own: there is one for every quarter of a second of a ledger's life. */
export class FinalSizes {
  readonly #sizes = new NumberList();
  readonly #times = new NumberList();
  readonly #terms = new NumberList();
  /** When the first size of each term became final. */
  readonly #termsSince = new Map<bigint, number>();

  get newest(): FinalSize | undefined {
    return this.#at(this.count - 1);
  }

  get count(): number {
    return this.#sizes.count;
  }

  /** Sizes come in ascending order. */
  add(final: FinalSize): void {
    this.#sizes.push(Number(final.size));
    this.#times.push(final.timeMs);
    this.#terms.push(Number(final.term));
    if (!this.#termsSince.has(final.term)) this.#termsSince.set(final.term, final.timeMs);
  }

  /** Unix milliseconds of the first final size of a term. */
  termSinceMs(term: bigint): number | undefined {
    return this.#termsSince.get(term);
  }

  /** Whether a header may rest on the size; the empty ledger needs no checkpoint. */
  isFinal(size: bigint): boolean {
    return size === 0n || this.timeOf(size) !== undefined;
  }

  timeOf(size: bigint): number | undefined {
    const last = this.#countUpTo(size) - 1;
    return this.#sizes.at(last) === Number(size) ? this.#times.at(last) : undefined;
  }

  /** The first final size greater than `size`: for an index, the one that made its leaf final. */
  firstAbove(size: bigint): FinalSize | undefined {
    return this.#at(this.#countUpTo(size));
  }

  /** The greatest final size below `size`. */
  lastBelow(size: bigint): FinalSize | undefined {
    return size === 0n ? undefined : this.#at(this.#countUpTo(size - 1n) - 1);
  }

  /** How many final sizes are at most `size`. */
  #countUpTo(size: bigint): number {
    return this.#sizes.countUpTo(Number(size));
  }

  #at(position: number): FinalSize | undefined {
    const size = this.#sizes.at(position);
    const timeMs = this.#times.at(position);
    const term = this.#terms.at(position);
    if (size === undefined || timeMs === undefined || term === undefined) return undefined;
    return { size: BigInt(size), timeMs, term: BigInt(term) };
  }
}
