import { equalBytes } from "../../base/bytes.ts";
import { CausewayError } from "../../base/errors.ts";
import { pendingTermBytesMax } from "../../base/limits.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import type { Verifier } from "../../crypto/ports.ts";
import { openLeaf } from "../../record/leaf.ts";
import type { RegistryState, TermFact } from "../../registry/state.ts";
import type { SealedBatch } from "../ports.ts";
import type { BatchRow, ChainPlace, LedgerReader } from "../store/store.ts";
import { parseBody } from "./bodies.ts";
import { GrowingTree } from "./growing-tree.ts";
import { type Inclusion, judgeBatch } from "./judge-batch.ts";

/**
 * Leaves that stand in the place of those from a start on once the votes among them open a newer term.
 * Until then they are in memory alone: what is stored stays as it is, and nothing is lost when they lead
 * nowhere.
 */
export class PendingTerm {
  readonly start: bigint;
  /** The term that is to be opened. */
  readonly term: bigint;
  readonly #reader: LedgerReader;
  readonly #verifier: Verifier;
  readonly #tree: GrowingTree;
  readonly #rows: BatchRow[] = [];
  #state: RegistryState;
  #bytes = 0;

  /** `state` is the registry after the first `start` leaves, those of the store. */
  constructor(
    { term, state }: { readonly term: bigint; readonly state: RegistryState },
    { reader, verifier }: { readonly reader: LedgerReader; readonly verifier: Verifier },
  ) {
    this.start = state.size;
    this.term = term;
    this.#state = state;
    this.#reader = reader;
    this.#verifier = verifier;
    this.#tree = new GrowingTree(reader, state.size);
  }

  get state(): RegistryState {
    return this.#state;
  }

  get size(): bigint {
    return this.#state.size;
  }

  /** What is to be stored from the start on. */
  get rows(): readonly BatchRow[] {
    return this.#rows;
  }

  /** The appointment, once the leaf with its votes is in. */
  get opened(): TermFact | undefined {
    const fact = this.#state.terms.at(-1);
    return fact !== undefined && fact.term >= this.term && fact.since >= this.start
      ? fact
      : undefined;
  }

  rootAt(size: bigint): Uint8Array | undefined {
    return this.#tree.rootAt(size);
  }

  /** A batch from the start on. */
  batch(index: bigint): { readonly records: readonly Uint8Array[] } | undefined {
    const row = this.#rows[Number(index - this.start)];
    return row && { records: parseBody(row.body) };
  }

  /** Why a record of such a batch had no effect. */
  voidReason(index: bigint, position: number): ReasonCode | undefined {
    const row = this.#rows[Number(index - this.start)];
    return row?.voids.find((one) => one.position === position)?.reason;
  }

  /** The index of a leaf that stands here already at its place of the chain. */
  indexAt(place: ChainPlace, leafHash: Uint8Array): bigint | undefined {
    const stored = this.#reader.atPlace(place);
    if (stored !== undefined && stored.index < this.start) {
      return equalBytes(stored.leafHash, leafHash) ? stored.index : undefined;
    }
    return this.#rows.find((row) => equalBytes(row.leafHash, leafHash))?.index;
  }

  /**
   * Judges the next batch. One of a gateway that does not open the term has no place before the votes:
   * the fold makes them void then, so that the term never opens. Throws TOO_LARGE past what is held.
   */
  async include(batch: SealedBatch): Promise<Inclusion> {
    const { leaf, records } = batch;
    const { header, leafHash } = openLeaf(leaf);
    const index = this.indexAt(header, leafHash);
    if (index !== undefined) return { kind: "included", index };
    this.#bytes += leaf.length + records.reduce((bytes, record) => bytes + record.length, 0);
    if (this.#bytes > pendingTermBytesMax) {
      throw new CausewayError("TOO_LARGE", `term ${this.term} does not open in what is held of it`);
    }
    const from = { state: this.#state, tree: this.#tree };
    const judged = await judgeBatch(from, batch, this.#verifier);
    if (judged.row === undefined) return judged.inclusion;
    this.#rows.push(judged.row);
    this.#state = judged.state;
    return judged.inclusion;
  }
}
