import { equalBytes } from "../../base/bytes.ts";
import type { Clock } from "../../base/clock.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import { snapshotEveryBatches } from "../../base/limits.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import type { Verifier } from "../../crypto/ports.ts";
import { proveConsistency, proveInclusion } from "../../merkle/prove.ts";
import { openLeaf } from "../../record/leaf.ts";
import { encodeSnapshot } from "../../registry/snapshot.ts";
import type { RegistryState, RegistryView, TermFact } from "../../registry/state.ts";
import { view } from "../../registry/view.ts";
import type { FinalCheckpoint, IncludedBatch, Replica, SealedBatch } from "../ports.ts";
import type { BatchRow, Fault, LedgerReader, LedgerWriter, StoredBatch } from "../store/store.ts";
import { namedBlobs } from "./blob-names.ts";
import { formatBody, parseBody } from "./bodies.ts";
import { readFinal, readHead } from "./checkpoints.ts";
import { foldBatch } from "./fold.ts";
import { GrowingTree } from "./growing-tree.ts";
import { Listeners } from "./listeners.ts";
import type { LedgerNetwork } from "./network.ts";
import { reloadState } from "./reload.ts";
import { newestTerm, type Trust, trustOf } from "./trust.ts";
import type { ReplicaVerdict } from "./witness-machine.ts";

export interface ReplicaOptions {
  readonly network: LedgerNetwork;
  readonly store: LedgerWriter;
  readonly verifier: Verifier;
  readonly clock: Clock;
}

/** What became of one batch that was to be included. */
export type Inclusion =
  | { readonly kind: "included"; readonly index: bigint }
  | { readonly kind: "rejected"; readonly reason: ReasonCode; readonly atSize: bigint };

/**
 * The verified copy of the ledger: it folds what is included, strictly in order, stores it, and knows
 * what is final. Each group of batches is one transaction; the new state is shown only after it.
 */
export class LedgerReplica implements Replica {
  readonly network: LedgerNetwork;
  readonly #store: LedgerWriter;
  readonly #verifier: Verifier;
  readonly #clock: Clock;
  readonly #tree: GrowingTree;
  readonly #included: Listeners<IncludedBatch> = new Listeners();
  readonly #finals: Listeners<FinalCheckpoint> = new Listeners();
  readonly #faults: Listeners<Fault> = new Listeners();
  /** Batches, heads or notes came. */
  readonly #changes: Listeners<void> = new Listeners();
  #state: RegistryState;
  #view:
    | { readonly of: RegistryState; readonly size: bigint; readonly view: RegistryView }
    | undefined;
  #final: FinalCheckpoint | undefined;
  /** The frozen note that was verified last: all batches that become final together ask for the same. */
  #lastFrozen: FinalCheckpoint | undefined;
  #fault: Fault | undefined;
  #isClockBehind = false;
  /** Size up to which the registry digest was compared with the sequencer's. */
  #comparedSize: bigint = 0n;
  #work: Promise<unknown> = Promise.resolve();

  private constructor(options: ReplicaOptions, state: RegistryState) {
    this.network = options.network;
    this.#store = options.store;
    this.#verifier = options.verifier;
    this.#clock = options.clock;
    this.#state = state;
    this.#tree = new GrowingTree(options.store.reader, state.size);
    const note = options.store.reader.heartbeat();
    if (note !== undefined)
      this.#final = readFinal(this.trust(), note, { verifier: this.#verifier });
    // Two histories stay two histories: other faults are judged again by what the ledger shows now.
    this.#fault = options.store.reader.faults().findLast(({ reason }) => reason === "LEDGER_FORK");
  }

  /**
   * Loads the registry's snapshot and folds what came after it. Throws NETWORK_UNKNOWN when the store
   * is another network's, and STORAGE_FAILED when what is stored does not give the stored digests.
   */
  static async open(options: ReplicaOptions): Promise<LedgerReplica> {
    const { store, network } = options;
    const stored = store.reader.network();
    if (stored === undefined) store.setNetwork(network.id);
    else if (!equalBytes(stored, network.id)) {
      throw new CausewayError("NETWORK_UNKNOWN", "the store holds the ledger of another network");
    }
    return new LedgerReplica(options, await reloadState(options));
  }

  get reader(): LedgerReader {
    return this.#store.reader;
  }

  state(): RegistryState {
    return this.#state;
  }

  /** What heads and notes are judged by here. */
  trust(): Trust {
    return trustOf(this.network, this.#state);
  }

  /** The newest appointment of a sequencer that is included here. */
  term(): TermFact {
    return newestTerm(this.trust());
  }

  view(): RegistryView {
    const of = this.#state;
    const size = this.#final?.size ?? 0n;
    if (this.#view?.of !== of || this.#view.size !== size) {
      this.#view = { of, size, view: view(of, size) };
    }
    return this.#view.view;
  }

  final(): FinalCheckpoint | undefined {
    return this.#final;
  }

  rootAt(size: bigint): Uint8Array | undefined {
    return size > this.#state.size ? undefined : this.#tree.rootAt(size);
  }

  batch(index: bigint): IncludedBatch | undefined {
    const stored = this.reader.batch(index);
    return stored === undefined ? undefined : toIncluded(stored);
  }

  indexOfLeaf(leafHash: Uint8Array): bigint | undefined {
    return this.reader.indexOfLeaf(leafHash);
  }

  inclusionProof(index: bigint, size: bigint): readonly Uint8Array[] {
    if (size > this.#state.size) throw new RangeError(`there is no tree of ${size} leaves here`);
    return proveInclusion({ index, size, reader: this.reader });
  }

  /** Proof that the tree of `size1` leaves begins that of `size2`; empty for size 0. */
  consistencyProof(size1: bigint, size2: bigint): readonly Uint8Array[] {
    if (size2 > this.#state.size) throw new RangeError(`there is no tree of ${size2} leaves here`);
    return size1 === 0n ? [] : proveConsistency({ size1, size2, reader: this.reader });
  }

  frozenNote(index: bigint): FinalCheckpoint | undefined {
    const frozen = this.reader.frozenAfter(index);
    if (frozen === undefined) return undefined;
    const last = this.#lastFrozen;
    if (last !== undefined && equalBytes(last.note, frozen.note)) return last;
    const from = this.reader.frozenBefore(frozen.size)?.size ?? 0n;
    this.#lastFrozen = readFinal(this.trust(), frozen.note, { verifier: this.#verifier, from });
    return this.#lastFrozen;
  }

  blob(sha256: Uint8Array): Uint8Array | undefined {
    return this.reader.blob(sha256);
  }

  voidReason(index: bigint, position: number): ReasonCode | undefined {
    return this.reader.voidReason(index, position);
  }

  onFinal(listener: (checkpoint: FinalCheckpoint) => void): () => void {
    return this.#finals.add(listener);
  }

  onIncluded(listener: (batch: IncludedBatch) => void): () => void {
    return this.#included.add(listener);
  }

  /** Called once when the ledger is trusted no more, and why. */
  onFault(listener: (fault: Fault) => void): () => void {
    return this.#faults.add(listener);
  }

  /** Called after anything that may change what `vouch` says or what is to be sent to followers. */
  onChange(listener: () => void): () => void {
    return this.#changes.add(listener);
  }

  /** Why this ledger is trusted no more; `undefined` while it is. */
  fault(): Fault | undefined {
    return this.#fault;
  }

  /** Whether the newest final checkpoint that was shown is ahead of the own clock by more than the skew. */
  isClockBehind(): boolean {
    return this.#isClockBehind;
  }

  /** The own tree at a size, for a witness that is asked to cosign it. */
  vouch(size: bigint): ReplicaVerdict {
    if (this.#fault !== undefined) return { kind: "distrusted" };
    if (size > this.#state.size || size > this.#comparedSize) return { kind: "behind" };
    return { kind: "stands", root: this.rootAt(size) as Uint8Array };
  }

  putBlob(sha256: Uint8Array, content: Uint8Array): void {
    this.#store.putBlob(sha256, content);
  }

  /**
   * Judges batches in order and stores those that the registry's structure accepts, in one transaction.
   * With `onRejection: "stop"` nothing is stored after the first that is rejected.
   * One group at a time: a call waits for those before it. A failure to store leaves the state as it was and is thrown.
   */
  include(
    batches: readonly SealedBatch[],
    onRejection: "skip" | "stop",
  ): Promise<readonly Inclusion[]> {
    const run = this.#work.then(() => this.#include(batches, onRejection));
    this.#work = run.catch(() => undefined);
    return run;
  }

  /** Resolves when no group is under way. */
  async settled(): Promise<void> {
    await this.#work;
  }

  async #include(
    batches: readonly SealedBatch[],
    onRejection: "skip" | "stop",
  ): Promise<readonly Inclusion[]> {
    const inclusions: Inclusion[] = [];
    const rows: BatchRow[] = [];
    let state = this.#state;
    try {
      for (const batch of batches) {
        const judged = await this.#judge(state, batch);
        inclusions.push(judged.inclusion);
        if (judged.row === undefined) {
          if (onRejection === "stop") break;
          continue;
        }
        rows.push(judged.row);
        state = judged.state;
      }
      if (rows.length > 0) this.#store.append(rows);
    } catch (error) {
      this.#tree.rollback();
      throw error;
    }
    this.#tree.commit();
    this.#advance(state, rows);
    return inclusions;
  }

  async #judge(
    state: RegistryState,
    batch: SealedBatch,
  ): Promise<{ inclusion: Inclusion; row?: BatchRow; state: RegistryState }> {
    const index = state.size;
    const folded = await foldBatch({
      state,
      batch,
      rootAt: (size) => this.#tree.rootAt(size),
      verifier: this.#verifier,
    });
    if (folded.kind === "rejected") {
      return { inclusion: { kind: "rejected", reason: folded.reason, atSize: index }, state };
    }
    const { header, leafHash, voids } = folded;
    const row: BatchRow = {
      index,
      leaf: batch.leaf,
      leafHash,
      body: formatBody(batch.records),
      place: { gateway: header.gateway, epoch: header.epoch, seq: header.seq },
      registryDigest: folded.state.digest,
      nodes: this.#tree.append(leafHash),
      voids,
      blobs: folded.isGovernance ? namedBlobs(batch.records).map(({ sha256 }) => sha256) : [],
    };
    return { inclusion: { kind: "included", index }, row, state: folded.state };
  }

  #advance(state: RegistryState, rows: readonly BatchRow[]): void {
    if (rows.length === 0) return;
    const every = BigInt(snapshotEveryBatches);
    const isSnapshotDue = state.size / every > this.#state.size / every;
    this.#state = state;
    if (isSnapshotDue) this.#store.setSnapshot({ size: state.size, state: encodeSnapshot(state) });
    for (const row of rows) this.#included.call(toIncluded(row));
    this.#changes.call();
  }

  /**
   * Takes the sequencer's own word for its digests: for the process that is the sequencer.
   */
  compareAll(): void {
    this.#comparedSize = this.#state.size;
  }

  /**
   * Compares a head that the log signed with the own tree and registry. A head of another root, of a
   * smaller size than one seen before, or with another digest ends the trust: `false`.
   * Throws when the note is not a head of this log, and LEDGER_BEHIND when it is ahead of this replica.
   */
  takeHead(note: Uint8Array, registryDigest: Uint8Array): boolean {
    const { size, root } = readHead(this.trust(), note, this.#verifier);
    const held = this.reader.head();
    if (held !== undefined && size < held.size)
      return this.#distrustHead("LEDGER_FORK", held.note, note);
    if (size > this.#state.size)
      throw new CausewayError("LEDGER_BEHIND", "a head without its batches");
    if (!this.#hasRoot(size, root)) return this.#distrustHead("LEDGER_FORK", held?.note, note);
    if (
      size > 0n &&
      !equalBytes(this.reader.registryDigest(size - 1n) as Uint8Array, registryDigest)
    ) {
      return this.#distrustHead("DIGEST_DIVERGES", held?.note, note);
    }
    if (held === undefined || size > held.size) this.#store.setHead({ size, note });
    if (size > this.#comparedSize) this.#comparedSize = size;
    this.#changes.call();
    return true;
  }

  /**
   * Takes a final checkpoint: the first note of a new size is frozen for ever, a later one of the newest
   * size is its heartbeat; anything older changes nothing. `false` when it contradicts the own tree.
   * Throws what `readFinal` throws, LEDGER_BEHIND when it is ahead of this replica, and CLOCK_OFF when
   * there is a quorum only for a clock that is ahead of the own one by more than the skew.
   */
  takeFinal(note: Uint8Array): boolean {
    const { size } = readHead(this.trust(), note, this.#verifier);
    // Whose cosignatures a size needs follows from its leaves.
    if (size > this.#state.size) {
      throw new CausewayError("LEDGER_BEHIND", "a final checkpoint ahead of this replica", {
        fields: { size: String(size) },
      });
    }
    const final = this.#readNewFinal(note);
    if (!this.#hasRoot(final.size, final.root)) {
      return this.#distrustHead("LEDGER_FORK", this.#final?.note ?? this.reader.head()?.note, note);
    }
    const newest = this.#final;
    if (newest === undefined || final.size > newest.size) {
      this.#store.freeze({ size: final.size, note });
    } else if (final.size === newest.size && final.timeMs > newest.timeMs) {
      this.#store.setHeartbeat(note);
    } else {
      return true;
    }
    this.#final = final;
    this.#finals.call(final);
    this.#changes.call();
    return true;
  }

  #readNewFinal(note: Uint8Array): FinalCheckpoint {
    const trust = this.trust();
    const reading = { verifier: this.#verifier, from: this.#final?.size ?? 0n };
    const nowMs = this.#clock.nowMs();
    try {
      const final = readFinal(trust, note, { ...reading, nowMs });
      this.#isClockBehind = false;
      return final;
    } catch (error) {
      if (!(error instanceof CausewayError) || error.code !== "QUORUM_NOT_MET") throw error;
      const { timeMs } = readFinal(trust, note, reading);
      this.#isClockBehind = true;
      throw new CausewayError(
        "CLOCK_OFF",
        "the newest final checkpoint is ahead of the own clock",
        {
          cause: error,
          fields: { aheadMs: String(timeMs - nowMs) },
        },
      );
    }
  }

  #hasRoot(size: bigint, root: Uint8Array): boolean {
    const own = this.rootAt(size);
    assertInvariant(own !== undefined, "a root is compared at or below the own size");
    return equalBytes(own, root);
  }

  #distrustHead(reason: ReasonCode, held: Uint8Array | undefined, shown: Uint8Array): false {
    this.distrust({ reason, shown, ...(held === undefined ? {} : { held }) });
    return false;
  }

  /** Ends the trust in this ledger; the evidence is kept. Only the first fault counts. */
  distrust(fault: Omit<Fault, "atMs">): void {
    if (this.#fault !== undefined) return;
    const head = this.reader.head()?.note ?? this.#final?.note;
    this.#fault = {
      ...(fault.held === undefined && head !== undefined ? { held: head } : {}),
      ...fault,
      atMs: this.#clock.nowMs(),
    };
    this.#store.addFault(this.#fault);
    this.#faults.call(this.#fault);
    this.#changes.call();
  }
}

function toIncluded(stored: StoredBatch): IncludedBatch {
  const { index, leaf, leafHash, body } = stored;
  return { index, leaf, leafHash, records: parseBody(body), header: openLeaf(leaf).header };
}
