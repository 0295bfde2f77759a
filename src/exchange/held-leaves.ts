/**
 * Leaves of other gateways whose records came in-band, until the ledger says what became of them: the leaf
 * is final, another one is final at its place of the chain, or it is overdue.
 *
 * A leaf is overdue when `inclusion_bound` has passed, by the times of final checkpoints, since something
 * that another gateway sealed later became final without it. So a ledger that stands still, or
 * is late for everyone, makes nothing overdue; and what waited for it has one more bound to come in.
 */
import { equalBytes, toHex } from "../base/bytes.ts";
import { heldLeavesMax } from "../base/limits.ts";
import type { FinalCheckpoint, IncludedBatch } from "../ledger/ports.ts";
import { openLeaf } from "../record/leaf.ts";

/** A place in a gateway's chain. */
export interface LeafPlace {
  readonly gateway: string;
  readonly epoch: bigint;
  readonly seq: bigint;
}

export interface HeldLeaf {
  /** Leaf hash in hex. */
  readonly key: string;
  readonly leafHash: Uint8Array;
  readonly leaf: Uint8Array;
  readonly place: LeafPlace;
  readonly sealedAtMs: number;
  /** Set once `overdue` was told of it: since when, in Unix milliseconds. */
  readonly overdueSinceMs: number | undefined;
}

/** What is told of a leaf. `overdue` comes once and before the others, after which it is not held any more. */
export interface HeldLeafListener {
  final(held: HeldLeaf): void;
  /** Another leaf is final at its place. */
  forked(held: HeldLeaf): void;
  overdue(held: HeldLeaf, sinceMs: number): void;
  /** There was no room to hold it for longer. */
  forgotten?(held: HeldLeaf): void;
}

export interface HeldLeavesPorts {
  /** What is included at a place of a chain. */
  leafAt(place: LeafPlace): { readonly index: bigint; readonly leafHash: Uint8Array } | undefined;
  /** Milliseconds of the network's `inclusion_bound`. */
  inclusionBoundMs(): number;
}

interface Held extends HeldLeaf {
  readonly listeners: Set<HeldLeafListener>;
  /** Index of what was included at its place: this leaf, or another. */
  index: bigint | undefined;
  /** Unix milliseconds of the first final checkpoint with something that another sealed later. */
  overtakenMs: number | undefined;
  overdueSinceMs: number | undefined;
}

interface Included {
  readonly index: bigint;
  readonly gateway: string;
  readonly sealedAtMs: number;
}

export class HeldLeaves {
  readonly #ports: HeldLeavesPorts;
  readonly #max: number;
  readonly #byHash = new Map<string, Held>();
  /** Leaves by their place: two of one place are a fork already. */
  readonly #byPlace = new Map<string, Set<Held>>();
  readonly #placed = new Set<Held>();
  #included: Included[] = [];
  /** For each gateway the newest seal among what is final. */
  readonly #finalSeals = new Map<string, number>();

  constructor(ports: HeldLeavesPorts, max: number = heldLeavesMax) {
    this.#ports = ports;
    this.#max = max;
  }

  get count(): number {
    return this.#byHash.size;
  }

  /** The gateway that signed the held leaf of this hash. */
  gatewayOf(leafHash: Uint8Array): string | undefined {
    return this.#byHash.get(toHex(leafHash))?.place.gateway;
  }

  /** Holds a leaf whose signature is verified; again with another listener when it is held already. */
  hold(leaf: Uint8Array, leafHash: Uint8Array, listener: HeldLeafListener): HeldLeaf {
    const key = toHex(leafHash);
    const known = this.#byHash.get(key);
    if (known !== undefined) {
      known.listeners.add(listener);
      return known;
    }
    const { gateway, epoch, seq, sealedAt } = openLeaf(leaf).header;
    const held: Held = {
      key,
      leafHash,
      leaf,
      place: { gateway, epoch, seq },
      sealedAtMs: Number(sealedAt),
      listeners: new Set([listener]),
      index: undefined,
      overtakenMs: undefined,
      overdueSinceMs: undefined,
    };
    const [oldest] = this.#byHash.values();
    if (oldest !== undefined && this.#byHash.size >= this.#max) {
      this.#forget(oldest);
      for (const listener of oldest.listeners) listener.forgotten?.(oldest);
    }
    this.#byHash.set(key, held);
    const place = formatPlace(held.place);
    const there = this.#byPlace.get(place);
    if (there === undefined) this.#byPlace.set(place, new Set([held]));
    else there.add(held);
    this.#placeAt(held, this.#ports.leafAt(held.place)?.index);
    return held;
  }

  onIncluded({ index, header }: Pick<IncludedBatch, "index" | "header">): void {
    const { gateway, sealedAt } = header;
    this.#included.push({ index, gateway, sealedAtMs: Number(sealedAt) });
    for (const held of this.#byPlace.get(formatPlace(header)) ?? []) this.#placeAt(held, index);
  }

  /** After each newer final checkpoint, heartbeats included. */
  onFinal({ size, timeMs }: Pick<FinalCheckpoint, "size" | "timeMs">): void {
    this.#included = this.#included.filter(({ index, gateway, sealedAtMs }) => {
      if (index >= size) return true;
      this.#finalSeals.set(gateway, Math.max(sealedAtMs, this.#finalSeals.get(gateway) ?? 0));
      return false;
    });
    for (const held of this.#placed) {
      if (held.index !== undefined && held.index < size) this.#judge(held, size);
    }
    this.#findOverdue(timeMs);
  }

  #placeAt(held: Held, index: bigint | undefined): void {
    held.index = index;
    if (index !== undefined) this.#placed.add(held);
  }

  /** A change of term takes back what was included: what stands now is what counts. */
  #judge(held: Held, size: bigint): void {
    const there = this.#ports.leafAt(held.place);
    if (there === undefined || there.index >= size) {
      held.index = there?.index;
      if (there === undefined) this.#placed.delete(held);
      return;
    }
    this.#forget(held);
    const isSame = equalBytes(there.leafHash, held.leafHash);
    for (const listener of held.listeners) {
      if (isSame) listener.final(held);
      else listener.forked(held);
    }
  }

  #findOverdue(timeMs: number): void {
    const boundMs = this.#ports.inclusionBoundMs();
    const [first, second] = [...this.#finalSeals].toSorted(([, a], [, b]) => b - a);
    for (const held of this.#byHash.values()) {
      if (held.overdueSinceMs !== undefined) continue;
      const newest = first?.[0] === held.place.gateway ? second : first;
      if (newest !== undefined && newest[1] > held.sealedAtMs) held.overtakenMs ??= timeMs;
      if (held.overtakenMs === undefined) continue;
      const sinceMs = Math.max(held.overtakenMs, held.sealedAtMs) + boundMs;
      if (timeMs <= sinceMs) continue;
      held.overdueSinceMs = sinceMs;
      for (const listener of held.listeners) listener.overdue(held, sinceMs);
    }
  }

  #forget(held: Held): void {
    this.#byHash.delete(held.key);
    this.#placed.delete(held);
    const place = formatPlace(held.place);
    const there = this.#byPlace.get(place);
    there?.delete(held);
    if (there?.size === 0) this.#byPlace.delete(place);
  }
}

function formatPlace({ gateway, epoch, seq }: LeafPlace): string {
  return `${gateway}/${epoch}/${seq}`;
}
