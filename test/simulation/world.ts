import { Random } from "./random.ts";

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
  isCancelled: boolean;
}

/** What a process throws at itself when it ends in the middle of something. */
export class ProcessEnded extends Error {}

/** A rule of the protocol was seen broken. */
export class Violation extends Error {}

/** Runs what may break a rule; returns what was broken. */
export function violationOf(run: () => void): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof Violation) return error.message;
    throw error;
  }
}

/**
 * Virtual time: events run one after another in the order of their times, equal times in the order in
 * which they were asked for. Everything that happens goes into one running hash, so that two runs of
 * one seed can be compared.
 */
export class World {
  readonly random: Random;
  readonly #heap: Event[] = [];
  readonly #lines: string[] | undefined;
  #nowMs = 0;
  #orders = 0;
  #hash = 0x811c9dc5;
  #hash2 = 0x1000193;
  #events = 0;

  constructor(seed: number, options: { readonly isTold?: boolean } = {}) {
    this.random = new Random(seed);
    this.#lines = options.isTold === true ? [] : undefined;
  }

  /** Virtual milliseconds since the start. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get eventCount(): number {
    return this.#events;
  }

  /** Of everything noted so far. */
  get logHash(): string {
    return `${this.#hash.toString(16)}-${this.#hash2.toString(16)}-${this.#events}`;
  }

  get lines(): readonly string[] {
    return this.#lines ?? [];
  }

  note(text: string): void {
    let first = this.#hash ^ this.#nowMs;
    let second = this.#hash2;
    for (let i = 0; i < text.length; i++) {
      first = Math.imul(first ^ text.charCodeAt(i), 0x01000193);
      second = Math.imul(second + text.charCodeAt(i), 0x5bd1e995);
    }
    this.#hash = first >>> 0;
    this.#hash2 = second >>> 0;
    this.#lines?.push(`${String(this.#nowMs).padStart(7)}  ${text}`);
  }

  after(delayMs: number, run: () => void): () => void {
    const atMs = this.#nowMs + Math.max(0, Math.ceil(delayMs));
    const event = { atMs, order: this.#orders++, run, isCancelled: false };
    this.#push(event);
    return () => {
      event.isCancelled = true;
    };
  }

  /** Runs what is due until then. */
  runUntil(endMs: number): void {
    for (let next = this.#takeDue(endMs); next !== undefined; next = this.#takeDue(endMs)) {
      next.run();
    }
    this.#nowMs = endMs;
  }

  /** As `runUntil`, for what also waits for promises: `settled` resolves when nothing more follows from an event. */
  async runTurnsUntil(endMs: number, settled: () => Promise<void>): Promise<void> {
    for (let next = this.#takeDue(endMs); next !== undefined; next = this.#takeDue(endMs)) {
      next.run();
      await settled();
    }
    this.#nowMs = endMs;
  }

  #takeDue(endMs: number): Event | undefined {
    for (let next = this.#heap[0]; next !== undefined; next = this.#heap[0]) {
      if (next.atMs > endMs) return undefined;
      this.#pop();
      if (next.isCancelled) continue;
      this.#nowMs = next.atMs;
      this.#events += 1;
      return next;
    }
    return undefined;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(event, heap[above] as Event)) break;
      heap[at] = heap[above] as Event;
      at = above;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      const right = heap[below + 1];
      if (right !== undefined && isBefore(right, heap[below] as Event)) below += 1;
      if (!isBefore(heap[below] as Event, last)) break;
      heap[at] = heap[below] as Event;
      at = below;
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}
