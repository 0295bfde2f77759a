/** Numbers in the order in which they were added, 8 bytes each. */
export class NumberList {
  #numbers = new Float64Array(16);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  push(number: number): void {
    if (this.#count === this.#numbers.length) {
      const grown = new Float64Array(2 * this.#count);
      grown.set(this.#numbers);
      this.#numbers = grown;
    }
    this.#numbers[this.#count++] = number;
  }

  at(position: number): number | undefined {
    return position >= 0 && position < this.#count ? this.#numbers[position] : undefined;
  }

  /** How many of the first are at most `bound`, in a list that never descends. */
  countUpTo(bound: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#numbers[middle] as number) > bound) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
