import type { Scheduler } from "../../base/clock.ts";
import { AssertionError, CausewayError } from "../../base/errors.ts";
import type { SealedBatch } from "../ports.ts";
import { fetchBlobs } from "./fetch-blobs.ts";
import {
  type FollowerEffect,
  type FollowerEvent,
  type FollowerState,
  initialFollower,
  stepFollower,
} from "./follower-machine.ts";
import type { PendingTerm } from "./pending-term.ts";
import type { FollowStream, LedgerClient } from "./ports.ts";
import type { LedgerReplica } from "./replica.ts";
import type { LedgerReport } from "./sequencer.ts";

/** A member whose copy of the ledger is followed. */
export interface FollowSource {
  readonly client: LedgerClient;
  /** The sequencer speaks for its own order; from another member batches prove nothing by themselves. */
  readonly isSequencer: boolean;
}

export interface FollowerOptions {
  readonly replica: LedgerReplica;
  /** Asked before each stream, the best first; the same value for the same member. */
  sources(): readonly FollowSource[];
  readonly scheduler: Scheduler;
  readonly onReport: (report: LedgerReport) => void;
  /** The store failed, or an invariant is broken: the process has to end. */
  readonly onFatal: (error: unknown) => void;
}

/** Heartbeats without a newer quorum after which another source is tried. */
const quietHeartbeats = 3;
/** Heartbeats after which a better source than another member is tried again. */
const relayHeartbeats = 6;

type Work = Extract<FollowerEffect, { kind: "apply" | "head" | "final" | "term opened" }>;

/** Keeps a replica up with the ledger, and believes nothing that it has not verified. */
export class Follower {
  readonly #options: FollowerOptions;
  #state: FollowerState;
  #source: FollowSource | undefined;
  #stream: FollowStream | undefined;
  /** Place of the source among those that were asked for last. */
  #position = 0;
  #hasNews = true;
  /** From this index on everything here came from the sequencer itself. */
  #directFrom: bigint;
  #pending: PendingTerm | undefined;
  /** The term that was pending is open, by what was taken last. */
  #hasOpened = false;
  /** What was taken last had no place behind the leaves here. */
  #isUnfit = false;
  /** Leaves that did not bear what the source showed have gone. */
  #hasDropped = false;
  /** For that the source was asked once more. */
  #isAskedAgain = false;
  /** The source opened a term: it may know of later ones. */
  #isOpener = false;
  #cancelWait: () => void = () => undefined;
  #cancelQuiet: () => void = () => undefined;
  #cancelRelay: () => void = () => undefined;
  #work: Promise<void> = Promise.resolve();
  readonly #stopListening: (() => void)[] = [];

  constructor(options: FollowerOptions) {
    this.#options = options;
    const { replica } = options;
    const { size } = replica.state();
    this.#directFrom = size;
    this.#state = initialFollower({ size, finalSize: replica.final()?.size ?? 0n });
  }

  start(): void {
    const { replica } = this.#options;
    // A witness beside this replica may find the fork before the stream shows it.
    this.#stopListening.push(
      replica.onFault(() => this.#distrust()),
      replica.onFinal(() => this.#heard()),
    );
    if (replica.fault() !== undefined) this.#distrust();
    else this.#take({ kind: "start" });
  }

  /** Another source may be the better one: the stream is begun anew with the first. */
  lookAgain(): void {
    this.#hasNews = true;
    this.#take({ kind: "stale", stream: this.#state.stream });
  }

  /** The sequencer is at hand: from nobody else comes what is new as soon. */
  hearSequencer(): void {
    if (this.#source?.isSequencer === false) this.lookAgain();
  }

  /** Resolves when nothing is being stored any more. */
  async close(): Promise<void> {
    for (const stop of this.#stopListening.splice(0)) stop();
    this.#take({ kind: "stop" });
    for (const cancel of [this.#cancelWait, this.#cancelQuiet, this.#cancelRelay]) cancel();
    await this.#work;
  }

  /** Two final histories are mended by nothing; a log that lied is followed by that of a later term. */
  #distrust(): void {
    const isForGood = this.#options.replica.fault()?.term === undefined;
    this.#take({ kind: isForGood ? "stop" : "distrusted" });
  }

  #heard(): void {
    // A heartbeat of what is final is no news of a later term.
    if (!this.#state.isPending) this.#hasNews = true;
    this.#watchQuiet();
  }

  #take(event: FollowerEvent): void {
    const { state, effects } = stepFollower(this.#state, event);
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: FollowerEffect): void {
    switch (effect.kind) {
      case "connect":
        this.#connect(effect);
        return;
      case "disconnect":
        this.#stream?.cancel();
        this.#stream = undefined;
        return;
      case "pause":
        this.#stream?.pause();
        return;
      case "resume":
        this.#stream?.resume();
        return;
      case "wait":
        this.#cancelWait();
        this.#cancelWait = this.#options.scheduler.after(effect.delayMs, () =>
          this.#take({ kind: "retry" }),
        );
        return;
      case "apply":
      case "head":
      case "final":
      case "term opened":
        this.#work = this.#judge(effect);
    }
  }

  #connect(effect: Extract<FollowerEffect, { kind: "connect" }>): void {
    const { replica, scheduler } = this.#options;
    const { stream, fromIndex, fromFinalSize } = effect;
    const source = this.#nextSource();
    this.#pending = undefined;
    if (source === undefined) {
      this.#take({ kind: "ended", stream });
      return;
    }
    if (source.isSequencer && (this.#source !== source || fromIndex < this.#directFrom)) {
      this.#directFrom = fromIndex;
    }
    this.#source = source;
    this.#watchQuiet();
    this.#cancelRelay();
    const relayMs = relayHeartbeats * replica.network.heartbeatMs;
    this.#cancelRelay = source.isSequencer
      ? () => undefined
      : scheduler.after(relayMs, () => this.#take({ kind: "stale", stream }));
    this.#stream = source.client.follow(
      { fromIndex, fromFinalSize, term: replica.term().term },
      {
        onItem: (item, hasMore = false) => this.#take({ kind: "item", stream, item, hasMore }),
        onEnd: () => this.#take({ kind: "ended", stream }),
      },
    );
  }

  /** The best source, unless the last one brought nothing new: then the one after it. */
  #nextSource(): FollowSource | undefined {
    const sources = this.#options.sources();
    this.#isAskedAgain = this.#hasDropped && !this.#isAskedAgain;
    this.#hasDropped = false;
    // Who has begun the term is asked for it once more, from what is final on; who made leaves go, for its own. Who
    // opened one is asked for the next: its sequencer may be gone, and others may have leaves from before it alone.
    const isKept = this.#isAskedAgain || this.#state.isDoubtful || this.#isOpener;
    this.#isOpener = false;
    if (isKept && this.#source !== undefined && sources.includes(this.#source)) return this.#source;
    this.#position = this.#hasNews ? 0 : this.#position + 1;
    this.#hasNews = false;
    return sources[this.#position % Math.max(1, sources.length)];
  }

  #watchQuiet(): void {
    const { replica, scheduler } = this.#options;
    this.#cancelQuiet();
    this.#cancelQuiet = scheduler.after(quietHeartbeats * replica.network.heartbeatMs, () => {
      this.#watchQuiet();
      this.#take({ kind: "stale", stream: this.#state.stream });
    });
  }

  async #judge(effect: Work): Promise<void> {
    const { replica } = this.#options;
    const { stream } = this.#state;
    try {
      if (!(await this.#isTrusted(effect, stream))) {
        this.#fail();
        return;
      }
    } catch (cause) {
      if (isFatal(cause)) {
        this.#take({ kind: "stop" });
        this.#options.onFatal(cause);
        return;
      }
      // Bytes that anyone on the way could have sent prove nothing against the log: the stream is begun anew.
      const reason = cause instanceof CausewayError ? cause.code : "LEDGER_UNAVAILABLE";
      this.#options.onReport({ event: "follow interrupted", reason, cause });
      this.#fail();
      return;
    }
    const storedSize = replica.state().size;
    if (storedSize > this.#state.storedSize) this.#hasNews = true;
    if (this.#state.isWary && replica.fault() === undefined) this.#take({ kind: "trusted" });
    this.#take({
      kind: "done",
      size: this.#pending?.size ?? storedSize,
      storedSize,
      finalSize: replica.final()?.size ?? 0n,
      isPending: this.#isPendingOn(stream),
    });
    // Notes that were passed over come again on another stream.
    if (this.#hasOpened) {
      this.#isOpener = true;
      this.#take({ kind: "stale", stream: this.#state.stream });
    }
    this.#hasOpened = false;
  }

  /** Whether what this stream brings belongs to a term that is not open. */
  #isPendingOn(stream: number): boolean {
    if (this.#pending !== undefined) return true;
    return stream === this.#state.stream && this.#state.isPending && !this.#hasOpened;
  }

  /** What could not be taken is no news: another source may have better. */
  #fail(): void {
    this.#hasNews = false;
    const isUnfit = this.#isUnfit;
    this.#isUnfit = false;
    this.#take({ kind: "failed", storedSize: this.#options.replica.state().size, isUnfit });
  }

  /** `false` when the trust in the log has ended with it. */
  async #isTrusted(effect: Work, stream: number): Promise<boolean> {
    const { replica } = this.#options;
    switch (effect.kind) {
      case "head":
        if (this.#state.isPending) return true;
        await this.#assertOwnTree(effect.note);
        return replica.takeHead(effect.note, {
          registryDigest: effect.registryDigest,
          isSequencers: this.#source?.isSequencer === true,
        });
      case "final":
        if (this.#isPassedOver(effect.note)) return true;
        await this.#assertOwnTree(effect.note);
        return replica.takeFinal(effect.note);
      case "apply":
        return this.#apply(effect, stream);
      case "term opened":
        return this.#beginTerm(effect, stream);
    }
  }

  /**
   * What another member sent is nobody's word: when a signed note shows another tree, the leaves that no
   * head covers are dropped and asked for again, and only the sequencer's own order proves a fork.
   */
  async #assertOwnTree(note: Uint8Array): Promise<void> {
    const { replica } = this.#options;
    const { term, stands } = replica.compare(note);
    if (stands !== false || term < replica.term().term) return;
    if (!this.#isOthersOrder(term)) return;
    await this.#dropUnconfirmed(term);
    throw new CausewayError("PROOF_INVALID", "the batches are not those of the signed head");
  }

  async #dropUnconfirmed(term: bigint): Promise<void> {
    await this.#options.replica.dropUnconfirmed(term);
    this.#hasDropped = true;
  }

  /** Whether leaves stand here that no head covers and that did not come from the sequencer itself. */
  #isOthersOrder(term: bigint): boolean {
    const { replica } = this.#options;
    const confirmed = replica.confirmedSize(term);
    const isDirect = this.#source?.isSequencer === true && this.#directFrom <= confirmed;
    return !isDirect && replica.state().size > confirmed;
  }

  /** What is above the start of a term that is not open yet; it comes again once it is. */
  #isPassedOver(note: Uint8Array): boolean {
    const { replica } = this.#options;
    const start = this.#pending?.start ?? replica.final()?.size ?? 0n;
    return this.#state.isPending && replica.compare(note).size > start;
  }

  async #beginTerm(
    { term, start }: Extract<Work, { kind: "term opened" }>,
    stream: number,
  ): Promise<boolean> {
    const { replica } = this.#options;
    if (term <= replica.term().term) {
      throw new CausewayError("LEDGER_BEHIND", `term ${term} has begun here already`);
    }
    // The stream that is followed from what is final has come up to the start.
    if (this.#pending?.size === start) return true;
    const pending = await replica.beginTerm(term, start);
    if (stream === this.#state.stream) this.#pending = pending;
    return true;
  }

  async #apply(effect: Extract<Work, { kind: "apply" }>, stream: number): Promise<boolean> {
    const { replica } = this.#options;
    const source = this.#source;
    for (const [i, batch] of effect.batches.entries()) {
      if (source === undefined) break;
      if (await fetchBlobs(batch, { replica, client: source.client })) continue;
      return this.#refuse(effect.from + BigInt(i), "BLOB_MISMATCH");
    }
    if (stream !== this.#state.stream) return true;
    const pending = this.#pending ?? (await this.#beginFromFinal(stream));
    if (pending !== undefined) return this.#applyPending(pending, effect.batches);
    const inclusions = await replica.include(effect.batches, "stop");
    const last = inclusions.at(-1);
    return last?.kind !== "rejected" || this.#refuse(last.atSize, last.reason);
  }

  /** The leaves behind what is final are not the ledger's, or may not be: a later term is followed up from there. */
  async #beginFromFinal(stream: number): Promise<PendingTerm | undefined> {
    const { replica } = this.#options;
    if (!this.#state.isPending) return undefined;
    const pending = await replica.beginTerm(replica.term().term + 1n, replica.final()?.size ?? 0n);
    if (stream === this.#state.stream) this.#pending = pending;
    return pending;
  }

  async #applyPending(pending: PendingTerm, batches: readonly SealedBatch[]): Promise<boolean> {
    const { replica } = this.#options;
    for (const [i, batch] of batches.entries()) {
      const inclusion = await pending.include(batch);
      if (inclusion.kind === "rejected") {
        // The term is not open: its sequencer has no log yet that could be distrusted.
        throw new CausewayError(inclusion.reason, `a batch at ${inclusion.atSize} opens no term`);
      }
      if (pending.opened === undefined) continue;
      await replica.openTerm(pending);
      this.#pending = undefined;
      this.#hasOpened = true;
      this.#directFrom = replica.state().size;
      const rest = batches.slice(i + 1);
      const last = rest.length === 0 ? undefined : (await replica.include(rest, "stop")).at(-1);
      return last?.kind !== "rejected" || this.#refuse(last.atSize, last.reason);
    }
    return true;
  }

  /** What structure refuses has no index on this ledger: a sequencer that gives it one is not followed. */
  async #refuse(index: bigint, reason: NonNullable<LedgerReport["reason"]>): Promise<false> {
    const { replica } = this.#options;
    const { term } = replica.term();
    const isOthersOrder = this.#isOthersOrder(term);
    if (this.#source?.isSequencer !== true || this.#pending !== undefined || isOthersOrder) {
      // The place may be another's doing, who sent what stands before it.
      const isMended = isOthersOrder && this.#pending === undefined;
      if (isMended) await this.#dropUnconfirmed(term);
      this.#isUnfit = !isMended || this.#isAskedAgain;
      throw new CausewayError(reason, `a batch at ${index} that has no place there`);
    }
    replica.distrust({ reason, index, term });
    return false;
  }
}

function isFatal(error: unknown): boolean {
  if (error instanceof CausewayError) return error.code === "STORAGE_FAILED";
  return (
    error instanceof AssertionError || error instanceof TypeError || error instanceof RangeError
  );
}
