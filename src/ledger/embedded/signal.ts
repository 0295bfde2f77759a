/** Wakes those who wait for something new. A wake between two looks is never missed. */
export class Signal {
  #version = 0;
  #waiting = new Set<() => void>();

  get version(): number {
    return this.#version;
  }

  raise(): void {
    this.#version++;
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const wake of waiting) wake();
  }

  /** Resolves once the version is not `seen` any more, or when `abort` is raised. */
  wait(seen: number, abort: AbortSignal): Promise<void> {
    if (this.#version !== seen || abort.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        abort.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      abort.addEventListener("abort", wake);
    });
  }
}
