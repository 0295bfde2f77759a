/** What one machine has applied of the ledger, and what a process on it sees of that. */
import { toHex } from "../../src/base/bytes.ts";
import type { FinalCheckpoint, IncludedBatch, Replica } from "../../src/ledger/ports.ts";
import type { RegistryState, RegistryView } from "../../src/registry/state.ts";
import { view } from "../../src/registry/view.ts";
import type { SimLedger } from "./exchange-ledger.ts";

/** What was looked at of a state, by the size that is final: all gateways look at the same, and all schedules begin alike. */
const views = new WeakMap<RegistryState, Map<bigint, RegistryView>>();

function viewOnce(state: RegistryState, seenSize: bigint): RegistryView {
  const ofState = views.get(state) ?? new Map<bigint, RegistryView>();
  views.set(state, ofState);
  const known = ofState.get(seenSize) ?? view(state, seenSize);
  ofState.set(seenSize, known);
  return known;
}

/** On disk: it never goes back, and a restart does not make it younger. */
export class Applied {
  readonly ledger: SimLedger;
  size: number;
  final: FinalCheckpoint;
  /** Of the ledger's events. */
  next = 0;

  constructor(ledger: SimLedger) {
    this.ledger = ledger;
    this.size = ledger.size;
    this.final = ledger.final;
  }
}

export class SimReplica implements Replica {
  readonly #applied: Applied;
  readonly #blobs: ReadonlyMap<string, Uint8Array>;
  readonly #onFinal = new Set<(checkpoint: FinalCheckpoint) => void>();
  readonly #onIncluded = new Set<(batch: IncludedBatch) => void>();

  constructor(applied: Applied, blobs: ReadonlyMap<string, Uint8Array>) {
    this.#applied = applied;
    this.#blobs = blobs;
  }

  /** Applies one event of the ledger, and tells. */
  follow(): void {
    const applied = this.#applied;
    const event = applied.ledger.events[applied.next++];
    if (event === undefined) return;
    if (event.kind === "batch") {
      applied.size = event.index + 1;
      const batch = applied.ledger.batches[event.index] as IncludedBatch;
      for (const listener of [...this.#onIncluded]) listener(batch);
    } else {
      applied.final = event.final;
      for (const listener of [...this.#onFinal]) listener(event.final);
    }
  }

  state(): RegistryState {
    return this.#applied.ledger.states[this.#applied.size] as RegistryState;
  }

  view(): RegistryView {
    return viewOnce(this.state(), this.#applied.final.size);
  }

  final(): FinalCheckpoint {
    return this.#applied.final;
  }

  rootAt(size: bigint): Uint8Array | undefined {
    return size <= BigInt(this.#applied.size)
      ? this.#applied.ledger.roots[Number(size)]
      : undefined;
  }

  batch(index: bigint): IncludedBatch | undefined {
    return index < BigInt(this.#applied.size)
      ? this.#applied.ledger.batches[Number(index)]
      : undefined;
  }

  indexOfLeaf(leafHash: Uint8Array): bigint | undefined {
    const index = this.#applied.ledger.indexOfLeaf(leafHash);
    return index !== undefined && index < this.#applied.size ? BigInt(index) : undefined;
  }

  inclusionProof(): never {
    throw new TypeError("the exchange asks for no inclusion proof");
  }

  frozenNote(index: bigint): FinalCheckpoint | undefined {
    const note = this.#applied.ledger.finals.find(({ size }) => size > index);
    return note !== undefined && note.size <= this.#applied.final.size ? note : undefined;
  }

  blob(sha256: Uint8Array): Uint8Array | undefined {
    return this.#blobs.get(toHex(sha256));
  }

  voidReason(): undefined {
    return undefined;
  }

  onFinal(listener: (checkpoint: FinalCheckpoint) => void): () => void {
    this.#onFinal.add(listener);
    return () => this.#onFinal.delete(listener);
  }

  onIncluded(listener: (batch: IncludedBatch) => void): () => void {
    this.#onIncluded.add(listener);
    return () => this.#onIncluded.delete(listener);
  }

  /** What is included at a place of a chain. */
  atPlace(place: {
    readonly gateway: string;
    readonly epoch: bigint;
    readonly seq: bigint;
  }): { readonly index: bigint; readonly leafHash: Uint8Array } | undefined {
    const { ledger, size } = this.#applied;
    for (let at = size - 1; at >= 0; at--) {
      const { header, index, leafHash } = ledger.batches[at] as IncludedBatch;
      if (header.gateway !== place.gateway || header.epoch !== place.epoch) continue;
      if (header.seq === place.seq) return { index, leafHash };
      if (header.seq < place.seq) return undefined;
    }
    return undefined;
  }
}
