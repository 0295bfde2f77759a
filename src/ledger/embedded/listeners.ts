/** Functions to be called on an event, in the order in which they came. */
export class Listeners<T> {
  readonly #listeners = new Set<{ readonly run: (value: T) => void }>();

  /** Returns how to stop. */
  add(run: (value: T) => void): () => void {
    const entry = { run };
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  call(value: T): void {
    for (const { run } of [...this.#listeners]) run(value);
  }
}
