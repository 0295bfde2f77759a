const rowsOfChunk = 1024;

/** Byte strings of one length in the order in which they were added, without an object for each. */
export class ByteRows {
  readonly #rowBytes: number;
  readonly #chunks: Uint8Array[] = [];
  #count = 0;

  constructor(rowBytes: number) {
    this.#rowBytes = rowBytes;
  }

  get count(): number {
    return this.#count;
  }

  /** RangeError for another length. */
  push(row: Uint8Array): void {
    if (row.length !== this.#rowBytes) throw new RangeError(`a row has ${this.#rowBytes} bytes`);
    const position = this.#count % rowsOfChunk;
    if (position === 0) this.#chunks.push(new Uint8Array(rowsOfChunk * this.#rowBytes));
    this.#chunks.at(-1)?.set(row, position * this.#rowBytes);
    this.#count += 1;
  }

  /** A copy of a row. */
  at(position: number): Uint8Array | undefined {
    if (position >= this.#count) return undefined;
    const start = (position % rowsOfChunk) * this.#rowBytes;
    return this.#chunks[Math.floor(position / rowsOfChunk)]?.slice(start, start + this.#rowBytes);
  }
}
