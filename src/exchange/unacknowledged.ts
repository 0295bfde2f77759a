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
import { CausewayError } from "../base/errors.ts";
import { agencyOf } from "../base/ids.ts";
import {
  acknowledgementsWaitingMax,
  acknowledgementWaitingBytesMax,
  receiptsUnansweredMax,
} from "../base/limits.ts";
import { callTokenDigest } from "../credential/call-token.ts";
import type { Proof } from "../gen/causeway/exchange/v1/link_pb.ts";
import type { Acknowledgement } from "../gen/causeway/record/v1/record_pb.ts";
import { Outcome, Side } from "../gen/causeway/record/v1/record_pb.ts";
import type { IncludedBatch, Replica, SealedRecord } from "../ledger/ports.ts";
import { formatHandle } from "../record/handle.ts";
import { openRecord, recordHash } from "../record/record.ts";
import type { HeldLeaf, HeldLeafListener, HeldLeaves } from "./held-leaves.ts";
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
  /** Attempts under way, each with how far the journal had come when it was last looked at before; the least first. */
  readonly #underWay = new Map<symbol, number>();
  #batchesSeen = 0;
  #reading: Promise<void> | undefined;
  #isClosed = false;

  constructor(ports: UnacknowledgedPorts, waitingMax: number = acknowledgementsWaitingMax) {
    this.#ports = ports;
    this.#waitingMax = waitingMax;
    this.#listener = {
      final: ({ key }) => this.#answered.delete(key),
      forked: (held) => {
        this.#unanswer(held);
        ports.onForked(held);
      },
      overdue: (held) => this.#unanswer(held),
    };
  }

  /** The one that has waited longest. */
  get oldest(): { readonly leaf: Uint8Array } | undefined {
    let oldest: Released | undefined;
    for (const { first } of this.#byAgency.values()) {
      if (first !== undefined && first.releasedAtMs < (oldest?.releasedAtMs ?? Infinity)) {
        oldest = first;
      }
    }
    return oldest;
  }

  /**
   * An attempt has begun: receipts of it may be sealed before they are released, and wait from then on. Returns how to
   * say that it is over.
   */
  begun(): () => void {
    const name = Symbol("attempt");
    this.#underWay.set(name, this.#batchesSeen);
    return () => void this.#underWay.delete(name);
  }

  /**
   * The journal has so many batches. Returns below which of them no attempt that is under way has a record: that
   * number where there is none.
   */
  underWayFrom(batches: number): number {
    const [first = batches] = this.#underWay.values();
    this.#batchesSeen = batches;
    return first;
  }

  /** Receipts without an answer. */
  get count(): number {
    return this.#byHandle.size;
  }

  /**
   * A receipt was sent to `peer`. `onAcknowledged` is called once, when it is acknowledged in-band or on the
   * ledger. `attempt` is its `attemptKey`, by which a consumer's closing finds it.
   */
  released(
    peer: string,
    { leaf, leafHash, position, record }: SealedRecord,
    onAcknowledged?: () => void,
    attempt?: string,
  ): void {
    const handle = formatHandle(leafHash, position);
    const releasedAtMs = this.#ports.clock.nowMs();
    this.#wait({ handle, leaf, peer, record, releasedAtMs, attempt, onAcknowledged });
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
    },
  ): void {
    const { leaf, record, sealedAtMs: releasedAtMs, attempt } = receipt;
    this.#wait({ handle, leaf, peer, record, releasedAtMs, attempt, onAcknowledged: undefined });
  }

  /**
   * Checks the proof of an acknowledgement as a consumer checks a receipt's, and marks the receipt that it
   * names as answered. `false` when it is not valid, or is not of what this peer was sent. One that comes
   * again, or whose receipt is not remembered any more, changes nothing. One whose key is not known here yet is
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
    const answered = this.#answered.get(leaf.key);
    if (answered === undefined) this.#answered.set(leaf.key, [named]);
    else answered.push(named);
    this.#answer(named, true);
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
      } else if (body.case === "closed" && body.value.side === Side.CONSUMER) {
        const { tokenDigest, index, outcome } = body.value;
        const attempt = attemptKey(tokenDigest, index);
        this.#closed(attempt, header.gateway);
        // What the provider itself has ended has no receipt to come.
        if (outcome !== Outcome.REFUSED) unanswered.closed(header.gateway, attempt, includedAtMs);
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
    const attempt = released.attempt ?? attemptOf(released.record);
    const waiting = { ...released, attempt };
    const agency = agencyOf(released.peer);
    const unanswered = this.#unansweredOf(agency);
    if (attempt !== undefined && unanswered.isClosed(released.peer, attempt)) return;
    this.#byHandle.set(released.handle, waiting);
    unanswered.fresh.set(released.handle, waiting);
    if (attempt === undefined) return;
    const handles = this.#byAttempt.get(attempt);
    if (handles === undefined) this.#byAttempt.set(attempt, new Set([released.handle]));
    else handles.add(released.handle);
  }

  #answer(released: Released, isAcknowledged: boolean): void {
    const { handle, attempt, peer } = released;
    if (!this.#byHandle.delete(handle)) return;
    this.#byAgency.get(agencyOf(peer))?.take(handle);
    if (attempt !== undefined) {
      const handles = this.#byAttempt.get(attempt);
      handles?.delete(handle);
      if (handles?.size === 0) this.#byAttempt.delete(attempt);
    }
    if (isAcknowledged) released.onAcknowledged?.();
  }

  /** The acknowledgements of this leaf are nothing that the ledger bears out. */
  #unanswer({ key }: HeldLeaf): void {
    const answered = this.#answered.get(key) ?? [];
    this.#answered.delete(key);
    for (const released of answered) this.#wait({ ...released, onAcknowledged: undefined });
  }

  #named({ receipt }: Acknowledgement): Released | undefined {
    return receipt === undefined
      ? undefined
      : this.#byHandle.get(`${toHex(receipt.leafHash)}/${receipt.position}`);
  }
}

/** Whether an acknowledgement is of this very receipt, and of its attempt as far as that is known here. */
function isAnswer(
  { attempt, peer, record }: Released,
  { index, receiptRecord, tokenDigest }: Acknowledgement,
  gateway: string,
): boolean {
  return (
    peer === gateway &&
    (attempt === undefined || attempt === attemptKey(tokenDigest, index)) &&
    equalBytes(recordHash(record), receiptRecord)
  );
}

/** The attempt of a receipt that holds its call; of one that follows another record it is not known here. */
function attemptOf(record: Uint8Array): string | undefined {
  try {
    const { body } = openRecord(record);
    const call =
      body.case === "receipt" && body.value.start.case === "begin"
        ? body.value.start.value.call
        : undefined;
    return call && attemptKey(callTokenDigest(call.token), call.index);
  } catch (error) {
    if (error instanceof CausewayError) return undefined;
    throw error;
  }
}
