import { equalBytes } from "../../base/bytes.ts";
import type { Clock } from "../../base/clock.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import type { Verifier } from "../../crypto/ports.ts";
import { isSizeOfTerm } from "../../registry/cosigning.ts";
import type { TermFact } from "../../registry/state.ts";
import type { FinalCheckpoint } from "../ports.ts";
import type { Fault, LedgerWriter } from "../store/store.ts";
import { readFinal, readHead, type SignedHead } from "./checkpoints.ts";
import { Listeners } from "./listeners.ts";
import { newestTerm, type Trust } from "./trust.ts";

/** The own tree and registry that notes are held against. */
export interface OwnLedger {
  trust(): Trust;
  /** Leaves included here. */
  size(): bigint;
  /** Root of the first `size` leaves, up to the included ones. */
  rootAt(size: bigint): Uint8Array | undefined;
}

/** The registry digest that came with a head. Its log has not signed it. */
export interface ShownDigest {
  readonly registryDigest: Uint8Array;
  /** The sequencer itself said so: from anyone else it proves nothing against its log. */
  readonly isSequencers: boolean;
}

/**
 * The heads and final notes that were shown for one ledger: what is final, how far a log has vouched for
 * the order, and whether it is still trusted. Notes come and are stored in order; nothing here is folded.
 */
export class CheckedNotes {
  readonly finals: Listeners<FinalCheckpoint> = new Listeners();
  readonly faults: Listeners<Fault> = new Listeners();
  readonly #own: OwnLedger;
  readonly #store: LedgerWriter;
  readonly #verifier: Verifier;
  readonly #clock: Clock;
  readonly #onChange: () => void;
  #final: FinalCheckpoint | undefined;
  /** The frozen note that was verified last: all batches that become final together ask for the same. */
  #lastFrozen: FinalCheckpoint | undefined;
  #fault: Fault | undefined;
  #isClockBehind = false;
  /** Size up to which the registry digest was compared with the sequencer's. */
  #comparedSize = 0n;

  constructor(
    own: OwnLedger,
    options: {
      readonly store: LedgerWriter;
      readonly verifier: Verifier;
      readonly clock: Clock;
      readonly onChange: () => void;
    },
  ) {
    const { store, verifier } = options;
    this.#own = own;
    this.#store = store;
    this.#verifier = verifier;
    this.#clock = options.clock;
    this.#onChange = options.onChange;
    const note = store.reader.heartbeat();
    if (note !== undefined) this.#final = readFinal(own.trust(), note, { verifier });
    // Two histories stay two histories: other faults are judged again by what the ledger shows now.
    const newest = newestTerm(own.trust());
    this.#fault = store.reader
      .faults()
      .findLast((fault) => fault.reason === "LEDGER_FORK" && !isOver(fault, newest));
  }

  final(): FinalCheckpoint | undefined {
    return this.#final;
  }

  fault(): Fault | undefined {
    return this.#fault;
  }

  isClockBehind(): boolean {
    return this.#isClockBehind;
  }

  /** Size up to which the registry digest is the one that the sequencer has. */
  get comparedSize(): bigint {
    return this.#comparedSize;
  }

  frozenNote(index: bigint): FinalCheckpoint | undefined {
    const { reader } = this.#store;
    const frozen = reader.frozenAfter(index);
    if (frozen === undefined) return undefined;
    const last = this.#lastFrozen;
    if (last !== undefined && equalBytes(last.note, frozen.note)) return last;
    const from = reader.frozenBefore(frozen.size)?.size ?? 0n;
    const reading = { verifier: this.#verifier, from };
    this.#lastFrozen = readFinal(this.#own.trust(), frozen.note, reading);
    return this.#lastFrozen;
  }

  /** Takes the sequencer's own word for its digests: for the process that is the sequencer. */
  compareAll(): void {
    this.#comparedSize = this.#own.size();
  }

  /** Leaves from `start` on have gone. */
  dropFrom(start: bigint): void {
    if (start < this.#comparedSize) this.#comparedSize = start;
  }

  /** A newer term may have begun: the log of an earlier one matters no more. */
  lookAtTerm(): void {
    const newest = newestTerm(this.#own.trust());
    if (this.#fault !== undefined && isOver(this.#fault, newest)) this.#fault = undefined;
  }

  /**
   * Size up to which the leaves are those of a tree that is final, or that the log of this term signed.
   * What only another log signed may be of another history.
   */
  confirmedSize(term: bigint): bigint {
    const finalSize = this.#final?.size ?? 0n;
    const held = this.#heldHead();
    return held !== undefined && held.term === term && held.size > finalSize
      ? held.size
      : finalSize;
  }

  /** The head of a note, and whether this tree bears it; `undefined` when it is ahead. */
  compare(note: Uint8Array): SignedHead & { readonly stands: boolean | undefined } {
    const head = readHead(this.#own.trust(), note, this.#verifier);
    const stands = head.size > this.#own.size() ? undefined : this.#hasRoot(head.size, head.root);
    return { ...head, stands };
  }

  takeHead(note: Uint8Array, shown: ShownDigest): boolean {
    const { term, size, stands } = this.compare(note);
    const newest = newestTerm(this.#own.trust());
    if (term < newest.term) return true;
    if (!isSizeOfTerm(newest, size)) {
      throw new CausewayError("CHECKPOINT_INVALID", "a head without the leaf that opened its term");
    }
    if (stands === undefined) {
      throw new CausewayError("LEDGER_BEHIND", "a head without its batches");
    }
    const held = this.#heldHead();
    const fork = { reason: "LEDGER_FORK", term } as const;
    if (!stands) return this.#contradict(fork, held?.note, note);
    if (held !== undefined && held.term === term && size < held.size) {
      // Whoever is behind shows an old head of a log that did not shrink.
      return shown.isSequencers ? this.#contradict(fork, held.note, note) : true;
    }
    if (size > 0n && !equalBytes(this.#digestAt(size), shown.registryDigest)) {
      if (shown.isSequencers) {
        return this.#contradict({ reason: "DIGEST_DIVERGES", term }, held?.note, note);
      }
      throw new CausewayError("DIGEST_DIVERGES", "a member shows another registry digest");
    }
    if (held === undefined || size > held.size || term > held.term) {
      this.#store.setHead({ size, note });
    }
    if (size > this.#comparedSize) this.#comparedSize = size;
    this.#onChange();
    return true;
  }

  takeFinal(note: Uint8Array): boolean {
    const { size, term, stands } = this.compare(note);
    // Whose cosignatures a size needs follows from its leaves.
    if (stands === undefined) {
      throw new CausewayError("LEDGER_BEHIND", "a final checkpoint ahead of this replica", {
        fields: { size: String(size) },
      });
    }
    const final = this.#readNewFinal(note);
    const newest = this.#final;
    if (!stands) {
      // Two final histories: no later term mends them.
      const isForGood = newest !== undefined && size <= newest.size;
      const held = newest?.note ?? this.#store.reader.head()?.note;
      const reason = "LEDGER_FORK" as const;
      return this.#contradict(isForGood ? { reason } : { reason, term }, held, note);
    }
    if (newest === undefined || final.size > newest.size) {
      this.#store.freeze({ size: final.size, note });
    } else if (final.size === newest.size && final.timeMs > newest.timeMs) {
      this.#store.setHeartbeat(note);
    } else {
      return true;
    }
    this.#final = final;
    this.finals.call(final);
    this.#onChange();
    return true;
  }

  distrust(fault: Omit<Fault, "atMs">): void {
    if (this.#fault !== undefined) return;
    const head = this.#store.reader.head()?.note ?? this.#final?.note;
    this.#fault = {
      ...(fault.held === undefined && head !== undefined ? { held: head } : {}),
      ...fault,
      atMs: this.#clock.nowMs(),
    };
    this.#store.addFault(this.#fault);
    this.faults.call(this.#fault);
    this.#onChange();
  }

  #heldHead():
    | { readonly term: bigint; readonly size: bigint; readonly note: Uint8Array }
    | undefined {
    const head = this.#store.reader.head();
    if (head === undefined) return undefined;
    return { ...head, term: readHead(this.#own.trust(), head.note, this.#verifier).term };
  }

  #readNewFinal(note: Uint8Array): FinalCheckpoint {
    const trust = this.#own.trust();
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
        { cause: error, fields: { aheadMs: String(timeMs - nowMs) } },
      );
    }
  }

  #hasRoot(size: bigint, root: Uint8Array): boolean {
    const own = this.#own.rootAt(size);
    assertInvariant(own !== undefined, "a root is compared at or below the own size");
    return equalBytes(own, root);
  }

  #digestAt(size: bigint): Uint8Array {
    return this.#store.reader.registryDigest(size - 1n) as Uint8Array;
  }

  #contradict(
    fault: Pick<Fault, "reason" | "term">,
    held: Uint8Array | undefined,
    shown: Uint8Array,
  ): false {
    this.distrust({ ...fault, shown, ...(held === undefined ? {} : { held }) });
    return false;
  }
}

/** Whether a fault is of a log whose term has ended: another goes on from what it had right. */
function isOver({ term }: Fault, newest: TermFact): boolean {
  return term !== undefined && term < newest.term;
}
