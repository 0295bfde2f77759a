/**
 * The memory that one peer may take of a provider's gateway, over all its links and streams: requests that
 * no upstream has taken yet, answers that are gathered and sealed, and what a consumer neither reads nor
 * gives credit for. Beyond the bound an exchange is refused or ended with BUSY.
 *
 * A stream is held up before that: from half of the bound on its upstream is read no further until there is room.
 */
import { peerHeldBytesMax } from "../base/limits.ts";

/** Room that a stream is counted to take when it is read on: about a segment. */
const resumedBytes = 1024 * 1024;

export class PeerMemory {
  readonly #bytesMax: number;
  #held = 0;
  readonly #waiting = new Set<() => void>();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get held(): number {
    return this.#held;
  }

  /** Streams are to be held up. */
  get crowded(): boolean {
    return this.#held > this.#bytesMax / 2;
  }

  /** Whether so many more bytes may be held; they count if so. */
  hold(bytes: number): boolean {
    if (this.#held + bytes > this.#bytesMax) return false;
    this.#held += bytes;
    return true;
  }

  free(bytes: number): void {
    if (bytes === 0) return;
    this.#held -= bytes;
    if (this.#waiting.size > 0 && !this.crowded) this.#wake();
  }

  /** Calls `work` once there is room: at once, unless it is crowded. Gives what ends the wait. */
  whenRoom(work: () => void): () => void {
    if (!this.crowded) {
      work();
      return () => undefined;
    }
    this.#waiting.add(work);
    return () => this.#waiting.delete(work);
  }

  // All at once would fill it at once. What is woken holds, and frees, or nothing is held: no one waits for ever.
  #wake(): void {
    const room = Math.floor((this.#bytesMax / 2 - this.#held) / resumedBytes);
    let left = this.#held === 0 ? Infinity : Math.max(1, room);
    for (const work of [...this.#waiting]) {
      if (left-- <= 0 || this.crowded) return;
      this.#waiting.delete(work);
      work();
    }
  }
}

/** What one exchange holds of its peer's memory. */
export class Holding {
  readonly #memory: PeerMemory;
  #bytes = 0;
  #ended = false;
  #stopWaiting: (() => void) | undefined;

  constructor(memory: PeerMemory) {
    this.#memory = memory;
  }

  get crowded(): boolean {
    return this.#memory.crowded;
  }

  /** Whether so many more bytes may be held; they count if so, until they are given back or the exchange ends. */
  take(bytes: number): boolean {
    if (this.#ended || !this.#memory.hold(bytes)) return false;
    this.#bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    if (this.#ended) return;
    this.#bytes -= bytes;
    this.#memory.free(bytes);
  }

  /** So many of the bytes stay held beyond the exchange, until what this gives is called. */
  leave(bytes: number): () => void {
    if (this.#ended) return () => undefined;
    this.#bytes -= bytes;
    let left = bytes;
    return () => {
      this.#memory.free(left);
      left = 0;
    };
  }

  /** Calls `work` once there is room, unless the exchange ends before; one wait at a time. */
  whenRoom(work: () => void): void {
    this.#stopWaiting?.();
    this.#stopWaiting = this.#ended ? undefined : this.#memory.whenRoom(work);
  }

  end(): void {
    this.#stopWaiting?.();
    if (this.#ended) return;
    this.#ended = true;
    this.#memory.free(this.#bytes);
  }
}

/** The memory of each peer. */
export class PeerMemories {
  readonly #bytesMax: number;
  readonly #byPeer = new Map<string, PeerMemory>();

  constructor(bytesMax: number = peerHeldBytesMax) {
    this.#bytesMax = bytesMax;
  }

  of(peer: string): PeerMemory {
    let memory = this.#byPeer.get(peer);
    if (memory === undefined) {
      memory = new PeerMemory(this.#bytesMax);
      this.#byPeer.set(peer, memory);
    }
    return memory;
  }
}
