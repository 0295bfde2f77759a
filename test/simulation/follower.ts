import {
  type FollowerEffect,
  type FollowerEvent,
  type FollowerState,
  initialFollower,
  stepFollower,
} from "../../src/ledger/embedded/follower-machine.ts";
import type { FollowItem } from "../../src/ledger/embedded/ports.ts";
import { appendTo, type Row, type SimBatch } from "./history.ts";
import type { Wire } from "./network.ts";
import type { Note } from "./notes.ts";
import type { SimNode } from "./node.ts";
import type { Inclusion, SimReplica } from "./replica.ts";
import type { Role } from "./role.ts";

/** Heartbeats without a newer quorum after which another source is tried. */
const quietHeartbeats = 3;
/** Heartbeats after which a better source than another member is tried again. */
const relayHeartbeats = 6;

type Work = Extract<FollowerEffect, { kind: "apply" | "head" | "final" | "term opened" }>;

/** Leaves that are to stand in the place of those from a start on. */
interface Pending {
  readonly term: number;
  readonly start: number;
  readonly rows: readonly Row[];
}

/** The driver of the follower's machine: `Follower` over simulated ports. */
export class SimFollower implements Role {
  readonly kind = "follower";
  readonly term = undefined;
  readonly #node: SimNode;
  readonly #replica: SimReplica;
  #state: FollowerState;
  #source: SimNode | undefined;
  #isSequencer = false;
  #position = 0;
  #hasNews = true;
  #directFrom: number;
  #pending: Pending | undefined;
  #wire: Wire<FollowItem> | undefined;
  #cancelWait: () => void = () => undefined;
  #cancelQuiet: () => void = () => undefined;
  #cancelRelay: () => void = () => undefined;
  #isClosed = false;
  #hasOpened = false;
  /** What was taken last had no place behind the leaves here. */
  #isUnfit = false;
  /** Leaves that did not bear what the source showed have gone. */
  #hasDropped = false;
  /** For that the source was asked once more. */
  #isAskedAgain = false;
  /** The source opened a term: it may know of later ones. */
  #isOpener = false;
  #wasFaulty = false;

  constructor(node: SimNode, replica: SimReplica) {
    this.#node = node;
    this.#replica = replica;
    this.#directFrom = replica.size;
    this.#state = initialFollower({
      size: BigInt(replica.size),
      finalSize: BigInt(replica.finalSize),
    });
  }

  start(): void {
    this.#replica.onChange(() => this.#lookForFault());
    this.#replica.onFinal.add(() => this.#heard());
    if (this.#replica.fault === undefined) this.#take({ kind: "start" });
    else this.#lookForFault();
  }

  close(): void {
    this.#isClosed = true;
    this.#take({ kind: "stop" });
    for (const cancel of [this.#cancelWait, this.#cancelQuiet, this.#cancelRelay]) cancel();
  }

  submit(_batch: SimBatch, _answer: (result: Inclusion) => void): void {}

  head(): Note | undefined {
    return undefined;
  }

  /** Another source may be the better one. */
  lookAgain(): void {
    this.#hasNews = true;
    this.#take({ kind: "stale", stream: this.#state.stream });
  }

  #lookForFault(): void {
    const isFaulty = this.#replica.fault !== undefined;
    if (isFaulty && !this.#wasFaulty) this.#take({ kind: "distrusted" });
    this.#wasFaulty = isFaulty;
  }

  #heard(): void {
    // A heartbeat of what is final is no news of a later term.
    if (!this.#state.isPending) this.#hasNews = true;
    this.#watchQuiet();
  }

  #watchQuiet(): void {
    this.#cancelQuiet();
    if (this.#isClosed) return;
    this.#cancelQuiet = this.#node.after(
      quietHeartbeats * this.#node.sim.config.heartbeatMs,
      () => {
        this.#watchQuiet();
        this.#take({ kind: "stale", stream: this.#state.stream });
      },
    );
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
        this.#wire?.close();
        return;
      case "pause":
      case "resume":
        return;
      case "wait":
        this.#cancelWait();
        this.#cancelWait = this.#node.after(effect.delayMs, () => this.#take({ kind: "retry" }));
        return;
      case "apply":
      case "head":
      case "final":
      case "term opened":
        // The verification takes its time.
        this.#node.after(this.#node.sim.world.random.between(0, 4), () => this.#judge(effect));
    }
  }

  #connect({
    stream,
    fromIndex,
    fromFinalSize,
  }: Extract<FollowerEffect, { kind: "connect" }>): void {
    const { sim } = this.#node;
    const replica = this.#replica;
    const source = this.#nextSource();
    const { term: known, finalSize: start } = replica;
    this.#pending = this.#state.isPending ? { term: known + 1, start, rows: [] } : undefined;
    const isSequencer = source.city === replica.facts.terms.at(-1)?.gateway;
    const from = Number(fromIndex);
    if (isSequencer && (this.#source !== source || from < this.#directFrom))
      this.#directFrom = from;
    this.#source = source;
    this.#isSequencer = isSequencer;
    this.#watchQuiet();
    this.#cancelRelay();
    const relayMs = relayHeartbeats * sim.config.heartbeatMs;
    if (!isSequencer) {
      this.#cancelRelay = this.#node.after(relayMs, () => this.#take({ kind: "stale", stream }));
    }
    const held = { fromIndex: from, fromFinalSize: Number(fromFinalSize), term: replica.term };
    const wire = sim.network.connect<FollowItem>({
      from: source,
      to: this.#node,
      onItems: (items) => {
        for (const item of items) this.#take({ kind: "item", stream, item });
      },
      onEnd: () => this.#take({ kind: "ended", stream }),
    });
    this.#wire = wire;
    sim.network.open(this.#node, source, {
      onOpen: () => {
        if (source.process !== undefined && wire.isOpen) sim.follow(source, wire, held, this.#node);
      },
      onFail: () => {
        wire.close();
        this.#take({ kind: "ended", stream });
      },
    });
  }

  /** The sequencer, unless the last source brought nothing new: then the one after it. */
  #nextSource(): SimNode {
    const { sim, city } = this.#node;
    const gateway = this.#replica.facts.terms.at(-1)?.gateway ?? 0;
    const others = sim.nodes.filter((node) => node.city !== city && node.city !== gateway);
    const sequencer = sim.nodes[gateway] as SimNode;
    const sources = gateway === city ? others : [sequencer, ...others];
    this.#isAskedAgain = this.#hasDropped && !this.#isAskedAgain;
    this.#hasDropped = false;
    // Who has begun the term is asked for it once more, from what is final on; who made leaves go, for its own. Who
    // opened one is asked for the next: its sequencer may be gone, and others may have leaves from before it alone.
    const isOpener = this.#isOpener && sim.rules.followersAskOpener;
    const isKept = this.#isAskedAgain || this.#state.isDoubtful || isOpener;
    this.#isOpener = false;
    if (isKept && this.#source !== undefined && sources.includes(this.#source)) return this.#source;
    this.#position = this.#hasNews || !sim.rules.followersRotate ? 0 : this.#position + 1;
    this.#hasNews = false;
    return sources[this.#position % sources.length] as SimNode;
  }

  #judge(effect: Work): void {
    if (this.#isClosed) return;
    const replica = this.#replica;
    if (!this.#isTaken(effect)) {
      const isUnfit = this.#isUnfit;
      this.#isUnfit = false;
      this.#hasNews = false;
      this.#take({ kind: "failed", storedSize: BigInt(replica.size), isUnfit });
      return;
    }
    if (replica.size > Number(this.#state.storedSize)) this.#hasNews = true;
    if (this.#state.isWary && replica.fault === undefined) this.#take({ kind: "trusted" });
    const { size, finalSize } = replica;
    const pendingSize =
      this.#pending === undefined ? size : this.#pending.start + this.#pending.rows.length;
    this.#take({
      kind: "done",
      size: BigInt(pendingSize),
      storedSize: BigInt(size),
      finalSize: BigInt(finalSize),
      isPending: this.#pending !== undefined,
    });
    // Notes that came before it was open come again on another stream.
    if (this.#hasOpened) {
      this.#isOpener = true;
      this.#take({ kind: "stale", stream: this.#state.stream });
    }
    this.#hasOpened = false;
  }

  #isTaken(effect: Work): boolean {
    const replica = this.#replica;
    const { notes } = this.#node.sim;
    switch (effect.kind) {
      case "head":
      case "final": {
        const note = notes.read(effect.note);
        // It comes again once the term is open.
        if (
          this.#pending !== undefined &&
          (effect.kind === "head" || note.size > this.#pending.start)
        )
          return true;
        if (!this.#isOwnTree(note)) return false;
        const taken = effect.kind === "head" ? replica.takeHead(note) : replica.takeFinal(note);
        return taken === "taken" || taken === "known";
      }
      case "apply":
        return this.#apply(effect.batches as readonly SimBatch[]);
      case "term opened":
        return this.#beginTerm(Number(effect.term), Number(effect.start));
    }
  }

  /** What another member sent is nobody's word: leaves that no head covers give way to a signed note. */
  #isOwnTree(note: Note): boolean {
    const replica = this.#replica;
    // What the log of an earlier term has signed says nothing of the leaves of this one.
    if (note.key.term < replica.term || replica.bears(note) !== false) return true;
    if (!this.#isOthersOrder()) return true;
    this.#dropUnconfirmed();
    return false;
  }

  #dropUnconfirmed(): void {
    this.#replica.dropUnconfirmed();
    this.#hasDropped = true;
  }

  /** Whether leaves stand here that no head covers and that did not come from the sequencer itself. */
  #isOthersOrder(): boolean {
    const { confirmedSize, size } = this.#replica;
    const isDirect = this.#isSequencer && this.#directFrom <= confirmedSize;
    return !isDirect && size > confirmedSize;
  }

  #beginTerm(term: number, start: number): boolean {
    const replica = this.#replica;
    if (term <= replica.term) return false;
    const pending = this.#pending;
    if (pending !== undefined && pending.start + pending.rows.length === start) return true;
    if (start > replica.size) return false;
    if (start < replica.finalSize && this.#node.sim.rules.followerKeepsFinal) return false;
    this.#pending = { term, start, rows: [] };
    return true;
  }

  #apply(batches: readonly SimBatch[]): boolean {
    const replica = this.#replica;
    if (this.#pending !== undefined) return this.#applyPending(this.#pending, batches);
    const last = replica.include(batches, "stop").at(-1);
    return last === undefined || "index" in last || this.#refuse(last.reason);
  }

  #applyPending(pending: Pending, batches: readonly SimBatch[]): boolean {
    const replica = this.#replica;
    let { rows } = pending;
    for (const [i, batch] of batches.entries()) {
      const before = rows.at(-1) ?? replica.rows[pending.start - 1];
      const row = appendTo(before, batch, replica.sim);
      if (typeof row === "string") return false;
      rows = [...rows, row];
      this.#pending = { ...pending, rows };
      const opened = row.facts.terms.at(-1);
      if (opened === undefined || opened.term < pending.term || opened.since < pending.start)
        continue;
      const isFinalDropped = pending.start < replica.finalSize;
      if (isFinalDropped && this.#node.sim.rules.followerKeepsFinal) return false;
      replica.openTerm(pending.start, rows);
      this.#pending = undefined;
      this.#hasOpened = true;
      this.#directFrom = replica.size;
      this.#node.lookAtRole();
      const last = replica.include(batches.slice(i + 1), "stop").at(-1);
      return last === undefined || "index" in last || this.#refuse(last.reason);
    }
    return true;
  }

  /** What structure refuses has no index on this ledger: a sequencer that gives it one is not followed. */
  #refuse(reason: string): false {
    const replica = this.#replica;
    const isOthersOrder = this.#isOthersOrder();
    if (this.#isSequencer && !isOthersOrder) {
      replica.distrust({ reason });
      return false;
    }
    // The place may be another's doing, who sent what stands before it.
    if (isOthersOrder) this.#dropUnconfirmed();
    this.#isUnfit = !isOthersOrder || this.#isAskedAgain;
    return false;
  }
}
