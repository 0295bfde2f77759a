/**
 * Receipts that this provider has released and that the consumer has not answered yet. An answer is the
 * acknowledgement of the receipt, in-band or on the ledger, or the consumer's closing of the attempt there.
 * An agency whose gateways leave too many without one for too long gets no new exchanges.
 *
 * An acknowledgement that came in-band counts from then on, and is kept until it is final: where its leaf
 * is overdue on the ledger, its receipts are without an answer again. One under a batch key that is not final here
 * yet waits with the receipt that it names, until the ledger that its gateway had seen is reached.
 */
import { equalBytes, toHex } from "../base/bytes.ts";
import type { Clock } from "../base/clock.ts";
import { agencyOf } from "../base/ids.ts";
import {
  acknowledgementsWaitingMax,
  acknowledgementWaitingBytesMax,
  receiptsUnansweredMax,
} from "../base/limits.ts";
import type { Proof } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { Acknowledgement } from "../gen/causeway/record/v1/record_pb.ts";
import { Outcome } from "../gen/causeway/record/v1/record_pb.ts";
import type { IncludedBatch, Replica, SealedRecord } from "../ledger/ports.ts";
import { formatHandle } from "../record/handle.ts";
import { openRecord, recordHash } from "../record/record.ts";
import { attemptClosedBy } from "./consumer-closings.ts";
import type { HeldLeaf, HeldLeafListener, HeldLeaves } from "./held-leaves.ts";
import { JournalPlaces } from "./journal-places.ts";
import type { LinkEnd } from "./ports.ts";
import { checkProof, type ProofCheck } from "./proof-check.ts";
import {
  type AcknowledgementContext,
  type Released,
  Unanswered,
  type WaitingAcknowledgement,
} from "./unanswered.ts";
import { attemptKey } from "./used-attempts.ts";

export interface UnacknowledgedPorts {
  readonly clock: Pick<Clock, "nowMs">;
  readonly replica: Pick<Replica, "batch">;
  /** Runs `work` at the end of this turn of the event loop. */
  defer(work: () => void): void;
  readonly leaves: HeldLeaves;
  /** The founding document's bound on receipts without an answer. */
  unansweredMax(): number;
  /** Another leaf is final at the place of an acknowledgement's. */
  onForked(held: HeldLeaf): void;
}

/** An attempt under way: receipts of it may be sealed long before they are released. */
export interface BegunAttempt {
  /**
   * A receipt was sent to the consumer. `onAcknowledged` is called once, when it is acknowledged in-band or on the
   * ledger. `attempt` is its `attemptKey`, by which a consumer's closing finds it.
   */
  released(receipt: SealedRecord, attempt: string, onAcknowledged?: () => void): void;
  /** No further receipt of it is released. */
  over(): void;
}

/** Batches that are read before everything else has its turn. */
const batchesBetweenTurns = 16;

export class UnacknowledgedReceipts {
  readonly #ports: UnacknowledgedPorts;
  readonly #waitingMax: number;
  readonly #byHandle = new Map<string, Released>();
  /** Also of agencies that only have batches or closings of the last `closedBeforeMs`: of their attempts receipts may still come. */
  readonly #byAgency = new Map<string, Unanswered>();
  /** Of each attempt the handles that wait; by the attempt as a consumer's closing names it. */
  readonly #byAttempt = new Map<string, Set<string>>();
  /** Receipts answered in-band, by the leaf of their acknowledgement, until that is final. */
  readonly #answered = new Map<string, Released[]>();
  readonly #listener: HeldLeafListener;
  /** Held by attempts under way, receipts without an answer, and answers that are not final. */
  readonly #places = new JournalPlaces();
  #reading: Promise<void> | undefined;
  #isClosed = false;

  constructor(ports: UnacknowledgedPorts, waitingMax: number = acknowledgementsWaitingMax) {
    this.#ports = ports;
    this.#waitingMax = waitingMax;
    this.#listener = {
      final: (held) => this.#takeAnswered(held),
      forked: (held) => {
        this.#unanswer(held);
        ports.onForked(held);
      },
      overdue: (held) => this.#unanswer(held),
      forgotten: (held) => this.#takeAnswered(held),
    };
  }

  /** An attempt of this gateway has begun. */
  begun(peer: string): BegunAttempt {
    const from = this.#places.hold();
    return {
      released: ({ leaf, leafHash, position, record }, attempt, onAcknowledged) => {
        const handle = formatHandle(leafHash, position);
        const releasedAtMs = this.#ports.clock.nowMs();
        this.#wait({ handle, leaf, peer, record, releasedAtMs, attempt, from, onAcknowledged });
      },
      over: () => this.#places.letGo(from),
    };
  }

  /**
   * The journal has so many batches. Returns from which of them on a start would have to look back, for the records of
   * all that waits or is under way: that number where there is nothing.
   */
  lookBackFrom(batches: number): number {
    return this.#places.from(batches);
  }

  /** Receipts without an answer. */
  get count(): number {
    return this.#byHandle.size;
  }

  /** A receipt of an earlier start that nothing on the ledger answers. */
  restored(
    peer: string,
    handle: string,
    receipt: {
      readonly leaf: Uint8Array;
      readonly record: Uint8Array;
      readonly sealedAtMs: number;
      readonly attempt: string;
      /** Number of the batch in which the attempt begins. */
      readonly from: number;
    },
  ): void {
    const { sealedAtMs: releasedAtMs, ...rest } = receipt;
    this.#wait({ handle, peer, releasedAtMs, onAcknowledged: undefined, ...rest });
  }

  /**
   * Checks the proof of an acknowledgement as a consumer checks a receipt's, and marks the receipt that it
   * names as answered. `false` when it is not valid, or is not of what this peer was sent. One that comes
   * again, or whose receipt is not remembered any more, changes nothing, and what was overdue on the ledger is answered
   * there alone. One whose key is not known here yet is
   * looked at again with each newer final checkpoint.
   */
  acknowledged(
    proof: Proof | undefined,
    { peer }: Pick<LinkEnd, "peer">,
    context: AcknowledgementContext,
  ): boolean {
    const checked = checkProof(proof, peer, context.replica, context.leaves);
    if (proof === undefined || checked.kind === "invalid") return false;
    const { body } = checked.proof.record;
    if (body.case !== "acknowledgement") return false;
    const named = this.#named(body.value);
    if (named === undefined) return checked.kind === "valid";
    if (!isAnswer(named, body.value, peer)) return false;
    if (checked.kind === "key-unknown") {
      return this.#waits(named, checked, { proof, peer, context });
    }
    const leaf = this.#ports.leaves.hold(proof.leaf, checked.proof.leafHash, this.#listener);
    const isOwed = named.isOwed === true || leaf.overdueSinceMs !== undefined;
    if (isOwed) this.#goesOn(named);
    else this.#answerBy(leaf, named);
    return true;
  }

  /** Whether so many receipts of an agency are overdue that it gets no new exchange. */
  overdue(agency: string, nowMs: number): boolean {
    const unanswered = this.#byAgency.get(agency);
    if (unanswered === undefined) return false;
    unanswered.age(nowMs);
    return (
      unanswered.overdue.size >= this.#ports.unansweredMax() ||
      unanswered.size >= receiptsUnansweredMax
    );
  }

  /** A batch was included: it may hold answers to what is not answered in-band. */
  onIncluded({ header, index }: Pick<IncludedBatch, "header" | "index">): void {
    this.#unansweredOf(agencyOf(header.gateway)).included(index, this.#ports.clock.nowMs());
  }

  /**
   * Keeps an acknowledgement whose key only a newer replica can know: a gateway seals under a new key once that is
   * final for it. Beyond the bounds the ledger says it: it bears the same acknowledgement within `inclusion_bound`.
   */
  #waits(
    { handle }: Released,
    { proof: { header } }: Extract<ProofCheck, { kind: "key-unknown" }>,
    waiting: WaitingAcknowledgement,
  ): boolean {
    const { context, peer, proof } = waiting;
    if ((context.replica.final()?.size ?? 0n) >= header.seenSize) return false;
    const unanswered = this.#unansweredOf(agencyOf(peer));
    const bytes = proof.record.length + proof.leaf.length;
    const isFull =
      unanswered.waiting.size >= this.#waitingMax || bytes > acknowledgementWaitingBytesMax;
    if (!isFull) unanswered.waiting.set(handle, waiting);
    return true;
  }

  #unansweredOf(agency: string): Unanswered {
    const known = this.#byAgency.get(agency);
    if (known !== undefined) return known;
    const unanswered = new Unanswered();
    this.#byAgency.set(agency, unanswered);
    return unanswered;
  }

  /** Looks on the ledger for the answers to what is overdue; after each final checkpoint. */
  onFinal(): void {
    const nowMs = this.#ports.clock.nowMs();
    for (const [agency, unanswered] of this.#byAgency) {
      unanswered.age(nowMs);
      unanswered.prune(nowMs);
      if (unanswered.idle) this.#byAgency.delete(agency);
      // What still has to wait is put there again.
      const waiting = [...unanswered.waiting.values()];
      unanswered.waiting.clear();
      for (const { proof, peer, context } of waiting) this.acknowledged(proof, { peer }, context);
    }
    if (this.#reading !== undefined || this.#isClosed) return;
    this.#reading = this.#readAnswers().finally(() => {
      this.#reading = undefined;
    });
  }

  /** Reads nothing of the ledger any more, which may be closed then. */
  close(): void {
    this.#isClosed = true;
  }

  async #readAnswers(): Promise<void> {
    for (const unanswered of [...this.#byAgency.values()]) {
      for (let read = 1; unanswered.overdue.size > 0; read++) {
        const next = unanswered.unread.shift();
        if (next === undefined) break;
        const batch = this.#ports.replica.batch(next.index);
        if (batch !== undefined) this.#readBatch(batch, unanswered, next.includedAtMs);
        if (read % batchesBetweenTurns === 0) {
          await new Promise<void>((resolve) => this.#ports.defer(resolve));
          if (this.#isClosed) return;
        }
      }
    }
  }

  /** Takes what answers receipts: acknowledgements, and the consumer's closings of attempts. */
  #readBatch(
    { header, records }: Pick<IncludedBatch, "header" | "records">,
    unanswered: Unanswered,
    includedAtMs: number,
  ): void {
    for (const bytes of records) {
      const { body } = openRecord(bytes);
      if (body.case === "acknowledgement") {
        const named = this.#named(body.value);
        if (named !== undefined && isAnswer(named, body.value, header.gateway))
          this.#answer(named, true);
        continue;
      }
      const closed = attemptClosedBy(body);
      if (closed === undefined) continue;
      this.#closed(closed.attempt, header.gateway);
      // What the provider itself has ended has no receipt to come.
      if (closed.outcome !== Outcome.REFUSED) {
        unanswered.closed(header.gateway, closed.attempt, includedAtMs);
      }
    }
  }

  #closed(attempt: string, gateway: string): void {
    for (const handle of [...(this.#byAttempt.get(attempt) ?? [])]) {
      const released = this.#byHandle.get(handle);
      if (released?.peer === gateway) this.#answer(released, false);
    }
  }

  #wait(released: Released): void {
    const { attempt, from, handle, peer } = released;
    const unanswered = this.#unansweredOf(agencyOf(peer));
    if (unanswered.isClosed(peer, attempt)) return;
    this.#places.hold(from);
    this.#byHandle.set(handle, released);
    unanswered.fresh.set(handle, released);
    const handles = this.#byAttempt.get(attempt);
    if (handles === undefined) this.#byAttempt.set(attempt, new Set([handle]));
    else handles.add(handle);
  }

  #answer(released: Released, isAcknowledged: boolean): void {
    const { attempt, from, handle, peer } = released;
    if (!this.#byHandle.delete(handle)) return;
    this.#places.letGo(from);
    this.#byAgency.get(agencyOf(peer))?.take(handle);
    const handles = this.#byAttempt.get(attempt);
    handles?.delete(handle);
    if (handles?.size === 0) this.#byAttempt.delete(attempt);
    if (isAcknowledged) released.onAcknowledged?.();
  }

  /** Answered in-band, until the ledger says what became of the leaf. */
  #answerBy({ key }: HeldLeaf, named: Released): void {
    const answered = this.#answered.get(key);
    if (answered === undefined) this.#answered.set(key, [named]);
    else answered.push(named);
    this.#places.hold(named.from);
    this.#answer(named, true);
  }

  /** Acknowledged, but only the ledger can answer it by now: the attempt itself has what it waits for. */
  #goesOn(named: Released): void {
    if (named.onAcknowledged === undefined) return;
    const heard = { ...named, onAcknowledged: undefined };
    this.#byHandle.set(named.handle, heard);
    this.#unansweredOf(agencyOf(named.peer)).put(heard);
    named.onAcknowledged();
  }

  /** The acknowledgements of this leaf are nothing that the ledger bears out. */
  #unanswer(held: HeldLeaf): void {
    for (const released of this.#takeAnswered(held)) {
      this.#wait({ ...released, onAcknowledged: undefined, isOwed: true });
    }
  }

  /** The acknowledgements of this leaf are waited for no longer. */
  #takeAnswered({ key }: HeldLeaf): readonly Released[] {
    const answered = this.#answered.get(key) ?? [];
    this.#answered.delete(key);
    for (const { from } of answered) this.#places.letGo(from);
    return answered;
  }

  #named({ receipt }: Acknowledgement): Released | undefined {
    return receipt === undefined
      ? undefined
      : this.#byHandle.get(`${toHex(receipt.leafHash)}/${receipt.position}`);
  }
}

/** Whether an acknowledgement is of this very receipt and its attempt. */
function isAnswer(
  { attempt, peer, record }: Released,
  { index, receiptRecord, tokenDigest }: Acknowledgement,
  gateway: string,
): boolean {
  return (
    peer === gateway &&
    attempt === attemptKey(tokenDigest, index) &&
    equalBytes(recordHash(record), receiptRecord)
  );
}
