import type { FollowItem } from "../../src/ledger/embedded/ports.ts";
import type { Term } from "./facts.ts";
import type { SimBatch } from "./history.ts";
import type { Wire } from "./network.ts";
import type { Note } from "./notes.ts";
import type { SimNode } from "./node.ts";
import type { Published } from "./published.ts";

const pageBatches = 64;

/** What a follower holds. */
export interface Held {
  readonly fromIndex: number;
  readonly fromFinalSize: number;
  readonly term: number;
}

/**
 * A node's side of one follow stream: batches in order, each frozen note behind the last batch that it
 * covers, and the newest head and heartbeat once the follower has all that they cover. A term above the
 * follower's is opened at its start, from which on everything is sent anew. It ends when leaves are
 * dropped here.
 */
export class FollowSource {
  readonly #node: SimNode;
  readonly #published: Published;
  readonly #wire: Wire<FollowItem>;
  readonly #stop: () => void;
  readonly #generation: number;
  readonly #finalAtStart: number;
  #index: number;
  #finalSize: number;
  #term: number;
  #headSent: Note | undefined;
  #finalSent: Note | undefined;
  #isPumping = false;

  constructor(node: SimNode, published: Published, wire: Wire<FollowItem>, held: Held) {
    this.#node = node;
    this.#published = published;
    this.#wire = wire;
    this.#index = held.fromIndex;
    this.#finalSize = held.fromFinalSize;
    this.#finalAtStart = held.fromFinalSize;
    this.#term = held.term;
    this.#generation = published.generation;
    this.#stop = published.onChange(() => this.pump());
  }

  pump(): void {
    if (this.#isPumping) return;
    // What comes in one turn goes in one message.
    this.#isPumping = true;
    this.#node.after(1, () => {
      this.#isPumping = false;
      this.#pump();
    });
  }

  #pump(): void {
    const { head, final, generation } = this.#published;
    if (!this.#wire.isOpen) {
      this.#stop();
      return;
    }
    if (generation !== this.#generation) {
      this.#stop();
      this.#wire.breakOff();
      return;
    }
    const items: FollowItem[] = [];
    this.#addBatches(items);
    if (head !== undefined && head !== this.#headSent && head.size <= this.#index) {
      this.#headSent = head;
      items.push({ kind: "head", note: head.bytes, registryDigest: head.root });
    }
    if (final !== undefined && final !== this.#finalSent && final.size <= this.#index) {
      this.#finalSent = final;
      items.push({ kind: "final", note: final.bytes });
    }
    if (items.length > 0) this.#wire.send(items);
  }

  #addBatches(items: FollowItem[]): void {
    const { rows, frozen: all, facts } = this.#published;
    const frozen = all.filter(({ size }) => size > this.#finalSize);
    for (let sent = 0; sent < pageBatches; ) {
      const opening = facts.terms.find(({ term }) => term > this.#term);
      const start = opening === undefined ? undefined : startOf(opening, this.#finalAtStart);
      if (opening !== undefined && start !== undefined && start <= this.#index) {
        this.#term = opening.term;
        this.#index = start;
        items.push({ kind: "term opened", term: BigInt(opening.term), start: BigInt(start) });
        continue;
      }
      const [note] = frozen;
      if (note !== undefined && note.size <= this.#index) {
        items.push({ kind: "final", note: note.bytes });
        this.#finalSize = note.size;
        frozen.shift();
        continue;
      }
      const batch = rows[this.#index]?.batch as SimBatch | undefined;
      if (batch === undefined) return;
      items.push({ kind: "batch", index: BigInt(this.#index), batch });
      this.#index += 1;
      sent += 1;
    }
    this.pump();
  }
}

/** The appointed gateway's leaves may reach below the start that the votes gave; what is final stands. */
function startOf({ start, since }: Term, finalSize: number): number {
  if (finalSize <= start) return start;
  return Math.min(finalSize, since);
}
