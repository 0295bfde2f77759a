import { equalBytes } from "../../src/base/bytes.ts";
import type { ReplicaVerdict } from "../../src/ledger/embedded/witness-types.ts";
import { proveConsistency } from "../../src/merkle/prove.ts";
import type { Disk } from "./disk.ts";
import { type Facts, satisfies } from "./facts.ts";
import {
  appendTo,
  factsOf,
  readerOf,
  type Row,
  type Rows,
  rootOf,
  type SimBatch,
} from "./history.ts";
import type { Note } from "./notes.ts";
import type { SimNode } from "./node.ts";
import type { Published } from "./published.ts";
import type { Sim } from "./sim.ts";

export interface Fault {
  readonly reason: string;
  readonly held?: Note;
  readonly shown?: Note;
  /** Of the log that is trusted no more. */
  readonly term: number;
}

/** What a ledger's file holds. */
export interface LedgerContent {
  readonly rows: Rows;
  readonly frozen: readonly Note[];
  readonly heartbeat: Note | undefined;
  readonly head: Note | undefined;
  readonly faults: readonly Fault[];
  /** Leaves that a change of term took away. */
  readonly dropped: readonly Row[];
}

export const emptyLedger: LedgerContent = {
  rows: [],
  frozen: [],
  heartbeat: undefined,
  head: undefined,
  faults: [],
  dropped: [],
};

export type Taken = "taken" | "known" | "fork" | "not now";
export type Inclusion = { readonly index: number } | { readonly reason: string };

/** A node's verified copy of the ledger: the drivers' counterpart of `LedgerReplica`. */
export class SimReplica implements Published {
  readonly #node: SimNode;
  readonly #disk: Disk<LedgerContent>;
  readonly #listeners = new Set<() => void>();
  readonly onFinal: Set<() => void> = new Set();
  /** What was left when leaves went last. */
  droppedTo = 0;
  /** Another number once leaves that were here are no more. */
  generation = 0;
  /** Sizes up to this are compared with a head of the log. */
  comparedSize = 0;

  constructor(node: SimNode) {
    this.#node = node;
    this.#disk = node.disks.ledger;
  }

  get sim(): Sim {
    return this.#node.sim;
  }

  get content(): LedgerContent {
    return this.#disk.content;
  }

  get rows(): Rows {
    return this.#disk.content.rows;
  }

  get size(): number {
    return this.rows.length;
  }

  get facts(): Facts {
    // Before batch 0 the founding document is what is known.
    return this.size === 0 ? this.#node.sim.founded.facts : factsOf(this.rows);
  }

  get term(): number {
    return this.facts.terms.at(-1)?.term ?? 0;
  }

  get frozen(): readonly Note[] {
    return this.content.frozen;
  }

  /** That followers are shown: the sequencer's newest, or the one that was compared here. */
  get head(): Note | undefined {
    return this.#node.process?.role.head() ?? this.content.head;
  }

  get final(): Note | undefined {
    return this.content.heartbeat;
  }

  get finalSize(): number {
    return this.final?.size ?? 0;
  }

  /** A fault of the newest term's log. */
  get fault(): Fault | undefined {
    const { term } = this;
    return this.content.faults.findLast((fault) => fault.term >= term);
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  rootAt(size: number): Uint8Array | undefined {
    return size > this.size ? undefined : rootOf(this.rows, size);
  }

  consistencyProof(size1: number, size2: number): readonly Uint8Array[] {
    if (size1 === 0) return [];
    return proveConsistency({ size1, size2, reader: readerOf(this.rows) });
  }

  vouch(size: bigint): ReplicaVerdict {
    if (this.fault !== undefined) return { kind: "distrusted" };
    if (size > BigInt(Math.min(this.size, this.comparedSize))) return { kind: "behind" };
    return { kind: "stands", root: rootOf(this.rows, Number(size)) };
  }

  /** Batches in order in one transaction; the first that is refused ends it with "stop". */
  include(batches: readonly SimBatch[], onRejection: "skip" | "stop"): readonly Inclusion[] {
    const { sim } = this.#node;
    const inclusions: Inclusion[] = [];
    let rows = this.rows;
    for (const batch of batches) {
      const row = appendTo(rows.at(-1), batch, sim);
      if (typeof row === "string") {
        inclusions.push({ reason: row });
        if (onRejection === "stop") break;
        continue;
      }
      inclusions.push({ index: row.index });
      rows = [...rows, row];
    }
    if (rows.length > this.size) {
      this.#commit({ ...this.content, rows });
      sim.checker.included(this.#node);
      this.#changed();
    }
    return inclusions;
  }

  /** Leaves up to here are final, or were compared with what the log of the newest term has signed. */
  get confirmedSize(): number {
    const { head } = this.content;
    const headSize = head !== undefined && head.key.term === this.term ? head.size : 0;
    return Math.max(this.finalSize, headSize);
  }

  /** Whether a note shows the root that this replica has at its size; `undefined` when it is ahead. */
  bears(note: Note): boolean | undefined {
    return note.size > this.size ? undefined : equalBytes(rootOf(this.rows, note.size), note.root);
  }

  /** Leaves that no head covers may be made up by somebody else than the sequencer. */
  dropUnconfirmed(): void {
    const start = this.confirmedSize;
    if (start >= this.size) return;
    const { content } = this;
    const dropped = [...content.dropped, ...content.rows.slice(start)];
    this.#commit({ ...content, rows: content.rows.slice(0, start), dropped });
    this.droppedTo = start;
    this.generation += 1;
    this.#changed();
  }

  takeHead(note: Note): Taken {
    const { facts, content } = this;
    if (!facts.terms.some(({ key }) => key === note.key)) return "not now";
    if (note.size > this.size) return "not now";
    if (note.key.term < this.term) return "known";
    const { head } = content;
    const isShrunk = head !== undefined && head.key === note.key && note.size < head.size;
    if (isShrunk && !this.#node.sim.rules.followersRotate) return this.#fork(head, note);
    if (!this.#stands(note)) return this.#fork(head ?? content.heartbeat, note);
    if (head === undefined || head.key !== note.key || note.size > head.size) {
      this.#commit({ ...content, head: note });
    }
    this.comparedSize = Math.max(this.comparedSize, note.size);
    this.#changed();
    return "taken";
  }

  takeFinal(note: Note): Taken {
    const { facts, content, size } = this;
    if (!facts.terms.some(({ key }) => key === note.key) || note.size > size) return "not now";
    const timeMs = this.timeOf(note, this.#node.clockMs);
    if (timeMs === undefined) return "not now";
    if (!this.#stands(note)) return this.#fork(content.heartbeat ?? content.head, note);
    const newest = content.heartbeat;
    if (newest === undefined || note.size > newest.size) {
      this.#commit({ ...content, heartbeat: note, frozen: [...content.frozen, note] });
    } else if (note.size === newest.size && timeMs > (this.timeOf(newest) ?? 0)) {
      this.#commit({ ...content, heartbeat: note });
    } else {
      return "known";
    }
    this.comparedSize = Math.max(this.comparedSize, note.size);
    this.#node.sim.checker.tookFinal(this.#node, note);
    for (const listener of this.onFinal) listener();
    this.#changed();
    return "taken";
  }

  /** The time of a note that a quorum has cosigned, by the lower median; `undefined` for one that it has not. */
  timeOf(note: Note, nowMs: number = Number.POSITIVE_INFINITY): number | undefined {
    const { rules, config } = this.#node.sim;
    const times = new Map<number, number>();
    for (const line of note.lines) {
      if (line.headId !== note.headId || line.timeMs > nowMs + config.skewMs) continue;
      times.set(line.city, Math.min(line.timeMs, times.get(line.city) ?? line.timeMs));
    }
    const from = Math.min(this.finalSize, note.size);
    const facts = (this.rows[note.size - 1] as Row).facts;
    if (!satisfiesRules(facts, { from, to: note.size }, new Set(times.keys()), rules))
      return undefined;
    const sorted = [...times.values()].toSorted((a, b) => a - b);
    return sorted[(sorted.length - 1) >> 1];
  }

  /** In one transaction the leaves from `start` on give way to those of the new term. */
  openTerm(start: number, rows: Rows): void {
    const { content } = this;
    const dropped = content.rows.slice(start).filter((row, i) => rows[i] !== row);
    const kept = content.rows.slice(0, start);
    const head = content.head !== undefined && content.head.size > start ? undefined : content.head;
    this.#commit({
      ...content,
      rows: [...kept, ...rows],
      head,
      dropped: [...content.dropped, ...dropped],
    });
    this.comparedSize = Math.min(this.comparedSize, start);
    this.droppedTo = start;
    this.generation += 1;
    this.#node.sim.checker.included(this.#node);
    this.#changed();
  }

  distrust(fault: {
    readonly reason: string;
    readonly held?: Note | undefined;
    readonly shown?: Note;
  }): void {
    if (this.fault !== undefined) return;
    const held = fault.held ?? this.content.head ?? this.content.heartbeat;
    const { reason, shown } = fault;
    const kept: Fault = {
      reason,
      term: Math.max(this.term, shown?.key.term ?? 0),
      ...(held === undefined ? {} : { held }),
      ...(shown === undefined ? {} : { shown }),
    };
    this.#commit({ ...this.content, faults: [...this.content.faults, kept] });
    this.#node.sim.world.note(`${this.#node.name} distrusts: ${reason}`);
    this.#changed();
  }

  setHead(note: Note): void {
    this.#commit({ ...this.content, head: note });
    this.comparedSize = Math.max(this.comparedSize, note.size);
  }

  changed(): void {
    this.#changed();
  }

  #stands(note: Note): boolean {
    if (!this.#node.sim.rules.followersCompareHeads) return true;
    return equalBytes(rootOf(this.rows, note.size), note.root);
  }

  #fork(held: Note | undefined, shown: Note): Taken {
    this.distrust({ reason: "LEDGER_FORK", held, shown });
    return "fork";
  }

  #commit(content: LedgerContent): void {
    this.#node.step("before a ledger commit");
    this.#disk.commit(content);
    this.#node.step("after a ledger commit");
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** The rules of a change of cities; a mutant leaves one side out. */
export function satisfiesRules(
  facts: Facts,
  { from, to }: { readonly from: number; readonly to: number },
  cities: ReadonlySet<number>,
  rules: { readonly oldQuorum: boolean; readonly newQuorum: boolean },
): boolean {
  if (!rules.oldQuorum) return satisfies(facts, { from: to, to }, cities);
  if (!rules.newQuorum && from > 0) return satisfies(facts, { from, to: from }, cities);
  return satisfies(facts, { from, to }, cities);
}
