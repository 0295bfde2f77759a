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
import { parseBody } from "./bodies.ts";
import { CheckedNotes, type OwnLedger, type ShownDigest } from "./checked-notes.ts";
import type { SignedHead } from "./checkpoints.ts";
import { GrowingTree } from "./growing-tree.ts";
import { type Inclusion, judgeBatch } from "./judge-batch.ts";
import { Listeners } from "./listeners.ts";
import type { LedgerNetwork } from "./network.ts";
import { PendingTerm } from "./pending-term.ts";
import { refoldTo, reloadState } from "./reload.ts";
import { assertKeepsStart } from "./term-opening.ts";
import { newestTerm, type Trust, trustOf } from "./trust.ts";
import type { ReplicaVerdict } from "./witness-types.ts";

export interface ReplicaOptions {
  readonly network: LedgerNetwork;
  readonly store: LedgerWriter;
  readonly verifier: Verifier;
  readonly clock: Clock;
}

/**
 * The verified copy of the ledger: it folds what is included, strictly in order, stores it, and knows
 * what is final. Each group of batches is one transaction; the new state is shown only after it.
 */
export class LedgerReplica implements Replica {
  readonly network: LedgerNetwork;
  readonly #store: LedgerWriter;
  readonly #verifier: Verifier;
  #tree: GrowingTree;
  readonly #included: Listeners<IncludedBatch> = new Listeners();
  readonly #terms: Listeners<TermFact> = new Listeners();
  readonly #drops: Listeners<bigint> = new Listeners();
  /** Batches, heads or notes came. */
  readonly #changes: Listeners<void> = new Listeners();
  #state: RegistryState;
  #view:
    | { readonly of: RegistryState; readonly size: bigint; readonly view: RegistryView }
    | undefined;
  readonly #notes: CheckedNotes;
  #generation = 0;
  #work: Promise<unknown> = Promise.resolve();

  private constructor(options: ReplicaOptions, state: RegistryState) {
    this.network = options.network;
    this.#store = options.store;
    this.#verifier = options.verifier;
    this.#state = state;
    this.#tree = new GrowingTree(options.store.reader, state.size);
    const own: OwnLedger = {
      trust: () => this.trust(),
      size: () => this.#state.size,
      rootAt: (size) => this.rootAt(size),
    };
    this.#notes = new CheckedNotes(own, { ...options, onChange: () => this.#changes.call() });
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
    const size = this.#finalSize();
    if (this.#view?.of !== of || this.#view.size !== size) {
      this.#view = { of, size, view: view(of, size) };
    }
    return this.#view.view;
  }

  final(): FinalCheckpoint | undefined {
    return this.#notes.final();
  }

  #finalSize(): bigint {
    return this.#notes.final()?.size ?? 0n;
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
    return this.#notes.frozenNote(index);
  }

  blob(sha256: Uint8Array): Uint8Array | undefined {
    return this.reader.blob(sha256);
  }

  voidReason(index: bigint, position: number): ReasonCode | undefined {
    return this.reader.voidReason(index, position);
  }

  onFinal(listener: (checkpoint: FinalCheckpoint) => void): () => void {
    return this.#notes.finals.add(listener);
  }

  onIncluded(listener: (batch: IncludedBatch) => void): () => void {
    return this.#included.add(listener);
  }

  /** Called once when the ledger is trusted no more, and why. */
  onFault(listener: (fault: Fault) => void): () => void {
    return this.#notes.faults.add(listener);
  }

  /** Called when a newer appointment of a sequencer is included here. Returns how to stop. */
  onTerm(listener: (fact: TermFact) => void): () => void {
    return this.#terms.add(listener);
  }

  /** Called with the size that is left when leaves that were included here are no more. Returns how to stop. */
  onDropped(listener: (size: bigint) => void): () => void {
    return this.#drops.add(listener);
  }

  /** Raised when leaves that were included here are no more: what was read before is of another tree. */
  get generation(): number {
    return this.#generation;
  }

  /** Called after anything that may change what `vouch` says or what is to be sent to followers. */
  onChange(listener: () => void): () => void {
    return this.#changes.add(listener);
  }

  /** Why this ledger is trusted no more; `undefined` while it is. */
  fault(): Fault | undefined {
    return this.#notes.fault();
  }

  /** Whether the newest final checkpoint that was shown is ahead of the own clock by more than the skew. */
  isClockBehind(): boolean {
    return this.#notes.isClockBehind();
  }

  /** The own tree at a size, for a witness that is asked to cosign it. */
  vouch(size: bigint): ReplicaVerdict {
    if (this.fault() !== undefined) return { kind: "distrusted" };
    if (size > this.#state.size || size > this.#notes.comparedSize) return { kind: "behind" };
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
        const judged = await judgeBatch({ state, tree: this.#tree }, batch, this.#verifier);
        inclusions.push(judged.inclusion);
        if (judged.row === undefined) {
          if (onRejection === "stop") break;
          continue;
        }
        rows.push(judged.row);
        state = judged.state;
      }
      if (rows.length > 0) {
        this.#store.append(rows);
        await this.#store.synced();
      }
    } catch (error) {
      this.#tree.rollback();
      throw error;
    }
    this.#tree.commit();
    this.#advance(state, rows);
    return inclusions;
  }

  #advance(state: RegistryState, rows: readonly BatchRow[]): void {
    if (rows.length === 0) return;
    const every = BigInt(snapshotEveryBatches);
    const isSnapshotDue = state.size / every > this.#state.size / every;
    const before = this.term();
    this.#state = state;
    if (isSnapshotDue) {
      const snapshot = { size: state.size, state: encodeSnapshot(state) };
      this.#store.setSnapshot(snapshot, this.#finalSize());
    }
    const term = this.term();
    this.#notes.lookAtTerm();
    for (const row of rows) this.#included.call(toIncluded(row));
    if (term.term > before.term) this.#terms.call(term);
    this.#changes.call();
  }

  /**
   * Begins what a newer term may put in the place of the leaves from `start` on; `openTerm` does.
   * Throws LEDGER_BEHIND when there are fewer leaves here, and LEDGER_FORK when something final would be
   * dropped: whoever asks for it is not followed.
   */
  async beginTerm(term: bigint, start: bigint): Promise<PendingTerm> {
    await this.settled();
    this.#assertMayDrop(start);
    const { reader } = this;
    const verifier = this.#verifier;
    const state =
      start === this.#state.size
        ? this.#state
        : await refoldTo(start, { network: this.network, reader, verifier });
    return new PendingTerm({ term, state }, { reader, verifier });
  }

  /**
   * Stores what a term has put in the place of the leaves from its start on, in one transaction: those
   * that were there are dropped, the registry is the one after the new ones.
   * Throws as `beginTerm` does when more became final meanwhile, and TERM_INVALID when leaves would be
   * dropped up to which the votes' checkpoints agree.
   */
  openTerm(pending: PendingTerm): Promise<void> {
    const run = this.#work.then(() => this.#openTerm(pending));
    this.#work = run.catch(() => undefined);
    return run;
  }

  #openTerm(pending: PendingTerm): void {
    const { start, state, rows } = pending;
    const { opened } = pending;
    assertInvariant(opened !== undefined, "a term is opened by its votes");
    this.#assertMayDrop(start);
    assertKeepsStart(this, pending, this.#verifier);
    this.#truncate(start, { term: opened.term, rows });
    this.#advance(state, rows);
  }

  /**
   * Drops the leaves that are neither final nor covered by a head of this term's log: somebody else than
   * its sequencer may have made them up.
   */
  dropUnconfirmed(term: bigint): Promise<void> {
    const run = this.#work.then(async () => {
      const start = this.confirmedSize(term);
      if (start >= this.#state.size) return;
      const { reader, network } = this;
      const state = await refoldTo(start, { network, reader, verifier: this.#verifier });
      this.#truncate(start, { term: this.term().term, rows: [] });
      this.#state = state;
      this.#changes.call();
    });
    this.#work = run.catch(() => undefined);
    return run;
  }

  #truncate(
    start: bigint,
    { term, rows }: { readonly term: bigint; readonly rows: readonly BatchRow[] },
  ): void {
    this.#store.truncateAndAppend({ start, term }, rows);
    this.#tree = new GrowingTree(this.reader, start + BigInt(rows.length));
    this.#notes.dropFrom(start);
    if (start === this.#state.size) return;
    this.#generation++;
    this.#drops.call(start);
  }

  #assertMayDrop(start: bigint): void {
    const fields = { start: String(start) };
    if (start > this.#state.size) {
      throw new CausewayError("LEDGER_BEHIND", `there are no ${start} leaves here`, { fields });
    }
    if (start < this.#finalSize()) {
      throw new CausewayError("LEDGER_FORK", "a term would drop what is final", { fields });
    }
  }

  /** Takes the sequencer's own word for its digests: for the process that is the sequencer. */
  compareAll(): void {
    this.#notes.compareAll();
  }

  /**
   * Compares a head that the log signed with the own tree and registry. A head of another root ends the
   * trust in this log: `false`; so does, when the sequencer itself shows it, one of a smaller size than
   * one seen before, or with another digest. A head of an earlier term says nothing any more.
   * Throws when the note is not a head of this log, CHECKPOINT_INVALID for one below the opening of its
   * term, LEDGER_BEHIND when it is ahead of this replica, and DIGEST_DIVERGES for another member's digest.
   */
  takeHead(note: Uint8Array, shown: ShownDigest): boolean {
    return this.#notes.takeHead(note, shown);
  }

  /**
   * Takes a final checkpoint: the first note of a new size is frozen for ever, a later one of the newest
   * size is its heartbeat; anything older changes nothing. `false` when it contradicts the own tree.
   * Throws what `readFinal` throws, LEDGER_BEHIND when it is ahead of this replica, and CLOCK_OFF when
   * there is a quorum only for a clock that is ahead of the own one by more than the skew.
   */
  takeFinal(note: Uint8Array): boolean {
    return this.#notes.takeFinal(note);
  }

  /** Size up to which the leaves are final, or of a head that the log of this term has signed. */
  confirmedSize(term: bigint): bigint {
    return this.#notes.confirmedSize(term);
  }

  /** The head of a note, and whether this replica has its root; `undefined` when it is ahead. */
  compare(note: Uint8Array): SignedHead & { readonly stands: boolean | undefined } {
    return this.#notes.compare(note);
  }

  /** Ends the trust in this ledger; the evidence is kept. Only the first fault counts. */
  distrust(fault: Omit<Fault, "atMs">): void {
    this.#notes.distrust(fault);
  }
}

function toIncluded(stored: StoredBatch): IncludedBatch {
  const { index, leaf, leafHash, body } = stored;
  return { index, leaf, leafHash, records: parseBody(body), header: openLeaf(leaf).header };
}
