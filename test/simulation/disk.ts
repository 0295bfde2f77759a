/** How the next commit goes wrong: nothing is written, or rows show that the disk does not have. */
export type DiskFault = "write fails" | "fsync fails";

/** A commit did not succeed: the process has to end. */
export class DiskFailed extends Error {}

/**
 * One database file. Its content is a value that a commit replaces. After a failed fsync the page cache
 * shows rows that are not on the disk, and no later fsync writes them: power loss takes them and all
 * that was committed behind them. Copying everything into the file again at the start, as
 * `wal_checkpoint` does, makes what shows durable.
 */
export class Disk<T> {
  #shown: T;
  #durable: T;
  #isTorn = false;
  fault: DiskFault | undefined;

  constructor(content: T) {
    this.#shown = content;
    this.#durable = content;
  }

  /** What a process reads. */
  get content(): T {
    return this.#shown;
  }

  /** What power loss leaves. */
  get durable(): T {
    return this.#durable;
  }

  commit(content: T): void {
    const { fault } = this;
    this.fault = undefined;
    if (fault === "write fails") throw new DiskFailed(fault);
    this.#shown = content;
    if (fault === "fsync fails") {
      this.#isTorn = true;
      throw new DiskFailed(fault);
    }
    if (!this.#isTorn) this.#durable = content;
  }

  open(options: { readonly isCheckpointed: boolean }): T {
    if (options.isCheckpointed) {
      this.#durable = this.#shown;
      this.#isTorn = false;
    }
    return this.#shown;
  }

  losePower(): void {
    this.#shown = this.#durable;
    this.#isTorn = false;
  }

  /** The file is replaced, by an empty one or an old copy. */
  replace(content: T): void {
    this.#shown = content;
    this.#durable = content;
    this.#isTorn = false;
    this.fault = undefined;
  }
}
