import type { ReasonCode } from "../../src/base/reasons.ts";
import {
  type ClosedBatch,
  type CloseEffect,
  type CloseEvent,
  createCloseState,
  stepClose,
  wantsTurn,
} from "../../src/ledger/journal/close-machine.ts";
import {
  createSubmissionState,
  stepSubmission,
  type SubmissionEffect,
  type SubmissionEvent,
} from "../../src/ledger/journal/submission-machine.ts";
import type { Recheck, Seen } from "../../src/ledger/ports.ts";
import { type Content, createBatch, rootOf, type SimBatch } from "./history.ts";
import type { JournalContent } from "./journal.ts";
import type { SimNode } from "./node.ts";
import type { SimReplica } from "./replica.ts";
import type { SimWitness } from "./witness.ts";
import { submitTo } from "./submit.ts";

/** A record on its way into the journal. */
interface Ticket {
  readonly content: Content;
  readonly onEnd: ((batch: SimBatch | undefined) => void) | undefined;
}

const limits = { recordsMax: 4, bytesMax: 64, queueBytesMax: 1024 };
const noRecord = new Uint8Array(1);
const noLeaf = new Uint8Array(32);
const submitTimeoutMs = 2000;

/** A gateway's journal and what brings it to the ledger: the drivers of the closing and the submission machine. */
export class SimGateway {
  readonly #node: SimNode;
  readonly #replica: SimReplica;
  readonly #witness: SimWitness;
  readonly #close;
  readonly #submission;
  readonly #startedAtMs: number;
  readonly #known: Set<number>;
  /** Grants whose revocation was accepted here. */
  readonly #taken = new Set<number>();
  #cancelTimer: () => void = () => undefined;
  #term: number;
  /** Why nothing is sealed. */
  halted: ReasonCode | undefined;

  constructor(node: SimNode, replica: SimReplica, witness: SimWitness) {
    this.#node = node;
    this.#replica = replica;
    this.#witness = witness;
    const { batches, finalCount } = this.journal;
    const tip = batches.at(-1);
    this.#close = createCloseState<Ticket>({
      limits,
      ...(tip && {
        sealedAtMs: tip.sealedAtMs,
        seen: { size: BigInt(tip.seenSize), root: tip.seenRoot },
      }),
    });
    this.#submission = createSubmissionState({ sealedCount: batches.length, finalCount });
    this.#startedAtMs = node.clockMs;
    this.#known = new Set(batches.map(({ id }) => id));
    for (const content of batches.flatMap(({ contents }) => contents)) {
      if (content.kind === "revocation") this.#taken.add(content.grant);
    }
    this.#term = replica.term;
  }

  get journal(): JournalContent {
    return this.#node.disks.journal.content;
  }

  get unfinishedCount(): number {
    return this.journal.batches.length - this.#submission.finalCount;
  }

  start(): void {
    this.#replica.onChange(() => this.#look());
    this.#look();
    for (const batch of this.journal.batches.slice(this.#submission.finalCount)) {
      this.#witness.hold(batch);
    }
    this.#submit({ kind: "sealed", count: this.journal.batches.length });
    // A journal that waits for its new epoch opens it with what it seals first.
    if (this.journal.epoch > (this.journal.batches.at(-1)?.epoch ?? 0)) this.#openEpoch();
  }

  /** Whether the newest final checkpoint is young enough for receipts. */
  isFresh(): boolean {
    const { final } = this.#replica;
    if (final === undefined) return false;
    const { rules, config } = this.#node.sim;
    const finalMs = this.#replica.timeOf(final) ?? 0;
    const fromMs = rules.budgetSurvivesRestart ? finalMs : Math.max(finalMs, this.#startedAtMs);
    return this.#node.clockMs - fromMs <= config.maxStalenessMs;
  }

  /** Whether a call under this grant is let through: its receipt comes later, when its answer does. */
  permits(grant: number): boolean {
    return this.halted === undefined && this.#refusal(grant) === undefined;
  }

  /** Takes a record; `onEnd` hears the batch that holds it once that is durable, `undefined` when it is refused. */
  put(content: Content, onEnd?: (batch: SimBatch | undefined) => void): void {
    if (this.halted !== undefined) return onEnd?.(undefined);
    const recheck = (): Recheck => {
      if (content.kind !== "receipt" || !this.#node.sim.rules.recheckAtClose)
        return { kind: "stands" };
      return this.#refusal(content.grant) === undefined ? { kind: "stands" } : { kind: "dropped" };
    };
    const kind = content.kind === "receipt" ? "evidence" : "governance";
    const nowMs = this.#node.clockMs;
    const record = { kind, record: noRecord, decidedAtMs: nowMs, states: [], recheck } as const;
    if (content.kind === "revocation") this.#taken.add(content.grant);
    this.#closing({ kind: "queued", record, ticket: { content, onEnd }, nowMs });
    // What arrives until the next turn of the event loop shares a batch.
    this.#node.after(this.#node.sim.world.random.between(0, 2), () => this.#turn());
  }

  halt(code: ReasonCode): void {
    if (this.halted !== undefined) return;
    this.halted = code;
    this.#node.sim.world.note(`${this.#node.name} seals nothing: ${code}`);
    this.#closing({ kind: "halted", code });
    this.#node.sim.operator.sawHalted(this.#node, code);
  }

  /** A peer shows the newest header of this gateway that it holds, and that verifies. */
  shown(batch: SimBatch): void {
    if (this.#known.has(batch.id) || batch.gateway !== this.#node.city) return;
    // The statement that began the present epoch says what may be lost before it.
    if (batch.epoch < this.journal.epoch) return;
    if (this.#replica.rows.some((row) => row.batch.id === batch.id)) return;
    this.halt("JOURNAL_ROLLED_BACK");
  }

  /** Why no receipt under this grant is sealed now. */
  #refusal(grant: number): ReasonCode | undefined {
    const { facts } = this.#replica;
    // What takes authority away acts before it is final.
    if (facts.revoked.has(grant) || this.#taken.has(grant)) return "GRANT_REVOKED";
    return this.isFresh() ? undefined : "LEDGER_BEHIND";
  }

  #seen(): Seen {
    const { finalSize, rows } = this.#replica;
    return { size: BigInt(finalSize), root: rootOf(rows, finalSize) };
  }

  #turn(): void {
    if (!wantsTurn(this.#close)) return;
    this.#closing({ kind: "turn", nowMs: this.#node.clockMs, seen: this.#seen() });
  }

  #closing(event: CloseEvent<Ticket, SimBatch>): void {
    for (const effect of stepClose(this.#close, event)) this.#perform(effect);
  }

  #perform(effect: CloseEffect<Ticket, SimBatch>): void {
    switch (effect.kind) {
      case "post":
        this.#seal(effect.batch);
        return;
      case "release":
        this.#release(effect.result, effect.batch);
        this.#turn();
        return;
      case "drop":
      case "reject":
        effect.ticket.onEnd?.(undefined);
        return;
      case "exit":
      case "stopped":
        throw effect;
    }
  }

  /** The seal worker's part: header, one transaction, and only after its COMMIT the result. */
  #seal(closed: ClosedBatch<Ticket>): void {
    const { sim } = this.#node;
    const batch = this.#batchOf(closed);
    if (!sim.rules.releaseAfterCommit) this.#send(batch);
    const { random } = sim.world;
    // A disk is slow at times, and what comes meanwhile waits.
    const sealMs = random.chance(0.15) ? random.between(50, 1500) : random.between(0, 3);
    this.#node.after(sealMs, () => {
      this.#node.step("before a journal commit");
      const { journal } = this.#node.disks;
      const finalCount = this.#submission.finalCount;
      journal.commit({
        ...journal.content,
        batches: [...journal.content.batches, batch],
        finalCount,
      });
      this.#node.step("after a journal commit");
      this.#known.add(batch.id);
      this.#closing({ kind: "sealed", result: batch });
    });
  }

  #batchOf(closed: ClosedBatch<Ticket>): SimBatch {
    const { sim, city } = this.#node;
    const { batches, epoch } = this.journal;
    const tip = batches.at(-1);
    const isFirst = tip === undefined || tip.epoch < epoch;
    return createBatch(sim.nextBatch(), {
      gateway: city,
      epoch,
      seq: isFirst ? 0 : tip.seq + 1,
      prev: tip?.leafHash ?? noLeaf,
      seenSize: Number(closed.seen.size),
      seenRoot: closed.seen.root,
      sealedAtMs: closed.sealedAtMs,
      contents: closed.records.map(({ ticket }) => ticket.content),
    });
  }

  #release(batch: SimBatch, closed: ClosedBatch<Ticket>): void {
    const { sim } = this.#node;
    if (sim.rules.releaseAfterCommit) this.#send(batch);
    for (const { ticket } of closed.records) ticket.onEnd?.(batch);
    this.#witness.hold(batch);
    this.#submit({ kind: "sealed", count: this.journal.batches.length });
  }

  /** The proof leaves in-band: a peer holds the header until it is final. */
  #send(batch: SimBatch): void {
    const { sim } = this.#node;
    sim.checker.released(this.#node, batch);
    const peer = sim.world.random.pick(sim.nodes);
    if (peer !== this.#node) peer.sim.peers.hold(peer, batch);
  }

  #openEpoch(): void {
    const after = this.journal.batches.at(-1)?.leafHash ?? noLeaf;
    this.put({ kind: "epoch", epoch: this.journal.epoch, after });
  }

  /** The replica has more, or another term. */
  #look(): void {
    const { term } = this.#replica;
    if (term !== this.#term) {
      this.#term = term;
      if (this.#node.sim.rules.resubmitAfterTerm) this.#submit({ kind: "term-changed" });
    }
    this.#findFinal();
  }

  #findFinal(): void {
    const { finalSize, rows } = this.#replica;
    const { batches } = this.journal;
    for (;;) {
      const number = this.#submission.finalCount;
      const batch = batches[number];
      if (batch === undefined) return;
      const index = indexOf(rows, batch);
      if (index === undefined || index >= finalSize) return;
      const size = BigInt(finalSize);
      this.#submit({ kind: "final", number, index: BigInt(index), term: BigInt(this.#term), size });
    }
  }

  #submit(event: SubmissionEvent): void {
    for (const effect of stepSubmission(this.#submission, event)) this.#performSubmit(effect);
  }

  #performSubmit(effect: SubmissionEffect): void {
    switch (effect.kind) {
      case "submit":
        this.#call(effect.number);
        return;
      case "mark":
        return;
      case "timer":
        this.#cancelTimer();
        this.#cancelTimer = this.#node.after(effect.afterMs, () => this.#submit({ kind: "timer" }));
        return;
      case "refused":
        this.halt(effect.reason);
    }
  }

  #call(number: number): void {
    const batch = this.journal.batches[number] as SimBatch;
    const term = BigInt(this.#term);
    submitTo(this.#node, this.#replica, batch, {
      timeoutMs: submitTimeoutMs,
      done: (result) => {
        if (result === undefined) this.#submit({ kind: "unavailable", number });
        else if ("index" in result) {
          this.#submit({ kind: "included", number, index: BigInt(result.index), term });
        } else this.#submit({ kind: "rejected", number, reason: result.reason as ReasonCode });
      },
    });
  }
}

function indexOf(rows: SimReplica["rows"], batch: SimBatch): number | undefined {
  for (let i = rows.length - 1; i >= 0; i--) if (rows[i]?.batch.id === batch.id) return i;
  return undefined;
}
