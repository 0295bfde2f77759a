import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { appendIntervalMs } from "../../src/base/limits.ts";
import { parseConflict } from "../../src/ledger/embedded/witness-answers.ts";
import {
  initialSequencer,
  type SequencerEffect,
  type SequencerEvent,
  type SequencerState,
  stepSequencer,
} from "../../src/ledger/embedded/sequencer-machine.ts";
import { rulesOf } from "./facts.ts";
import { appendTo, type Row, rootOf, type SimBatch } from "./history.ts";
import { cityOf, originOf, type Line, type LogKey, type Note } from "./notes.ts";
import type { SimNode } from "./node.ts";
import type { Inclusion, SimReplica } from "./replica.ts";
import type { Role } from "./role.ts";
import type { SimWitness, Witnessed } from "./witness.ts";

interface Waiting {
  readonly batch: SimBatch;
  readonly answer: (result: Inclusion) => void;
}

const askTimeoutMs = 3000;

/** The driver of the sequencer's machine: `Sequencer` and `Submissions` over simulated ports. */
export class SimSequencer implements Role {
  readonly kind = "sequencer";
  readonly #node: SimNode;
  readonly #replica: SimReplica;
  readonly #key: LogKey;
  readonly term: number;
  #state: SequencerState;
  #head: Note | undefined;
  #queue: Waiting[] = [];
  #isPaused = false;
  #cancelWake: () => void = () => undefined;
  #isServing = false;
  isStopped = false;

  constructor(node: SimNode, replica: SimReplica, _witness: SimWitness, key: LogKey) {
    this.#node = node;
    this.#replica = replica;
    this.#key = key;
    this.term = key.term;
    replica.comparedSize = replica.size;
    const { heartbeatMs, quietMs } = node.sim.config;
    const { final } = replica;
    this.#state = initialSequencer(
      {
        heartbeatMs,
        quietMs: node.sim.rules.sequencerIsQuiet ? quietMs : 0,
        rules: (sizes) => roundRules(replica, sizes),
        rootAt: (size) => replica.rootAt(Number(size)),
        outside: [],
      },
      {
        finalSize: BigInt(replica.finalSize),
        quorumTimeMs: final === undefined ? undefined : replica.timeOf(final),
      },
    );
  }

  start(): void {
    const { rules } = this.#node.sim;
    this.#replica.onChange(() => {
      if (this.#replica.fault !== undefined && !this.isStopped) this.#stop("LEDGER_FORK");
    });
    if (this.#replica.fault !== undefined) {
      this.#stop("LEDGER_FORK");
      return;
    }
    this.#replica.comparedSize = this.#replica.size;
    if (!rules.sequencerPolls) this.#state = { ...this.#state, phase: "serving" };
    this.#isServing = !rules.sequencerPolls;
    const size = BigInt(this.#replica.size);
    this.#take(rules.sequencerPolls ? { kind: "start", size } : { kind: "persisted", size });
  }

  close(): void {
    this.isStopped = true;
    this.#cancelWake();
  }

  head(): Note | undefined {
    return this.#head;
  }

  submit(batch: SimBatch, answer: (result: Inclusion) => void): void {
    if (this.isStopped || !this.#isServing) return;
    this.#queue.push({ batch, answer });
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#node.after(this.#node.sim.world.random.between(1, appendIntervalMs), () => this.#group());
  }

  #group(): void {
    this.#isPaused = false;
    if (this.isStopped) return;
    const group = this.#queue.splice(0);
    const fresh: Waiting[] = [];
    for (const waiting of group) {
      const known = this.#known(waiting.batch);
      if (known !== undefined) waiting.answer(known);
      else if (fresh.some(({ batch }) => isSamePlace(batch, waiting.batch)))
        this.#queue.push(waiting);
      else fresh.push(waiting);
    }
    const before = this.#replica.size;
    if (!this.#node.sim.rules.signAfterPersist) this.#signAhead(fresh);
    const results = this.#replica.include(
      fresh.map(({ batch }) => batch),
      "skip",
    );
    if (this.#replica.size > before) this.#stored();
    for (const [i, { answer }] of fresh.entries()) answer(results[i] as Inclusion);
    const [again] = this.#queue.splice(0, 1);
    if (again !== undefined) this.submit(again.batch, again.answer);
  }

  #known(batch: SimBatch): Inclusion | undefined {
    const row = this.#replica.rows.find((candidate) => isSamePlace(candidate.batch, batch));
    if (row === undefined) return undefined;
    return row.batch.id === batch.id ? { index: row.index } : { reason: "CHAIN_FORK" };
  }

  /** What a sequencer must not do: to sign a size that is not stored. */
  #signAhead(fresh: readonly Waiting[]): void {
    const { sim } = this.#node;
    let rows = this.#replica.rows;
    for (const { batch } of fresh) {
      const row = appendTo(rows.at(-1), batch, sim);
      if (typeof row !== "string") rows = [...rows, row];
    }
    const note = sim.notes.sign(this.#key, rows.length, rootOf(rows, rows.length));
    sim.checker.signed(this.#node, note, rows);
  }

  #stored(): void {
    this.#replica.comparedSize = this.#replica.size;
    this.#take({ kind: "persisted", size: BigInt(this.#replica.size) });
    this.#replica.changed();
  }

  #take(event: SequencerEvent): void {
    if (this.isStopped) return;
    const now = { nowMs: this.#node.clockMs, monotonicMs: this.#node.sim.world.nowMs };
    const { state, effects } = stepSequencer(this.#state, event, now);
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: SequencerEffect): void {
    switch (effect.kind) {
      case "sign":
        this.#sign(Number(effect.size));
        return;
      case "ask":
        this.#ask(effect);
        return;
      case "quorum":
        this.#freeze(Number(effect.size), effect.lines as readonly Line[]);
        return;
      case "poll":
        this.#poll(effect.city);
        return;
      case "serve":
        this.#isServing = true;
        return;
      case "ask outside":
      case "ahead":
        return;
      case "fork":
        this.#replica.distrust({
          reason: "LEDGER_FORK",
          shown: this.#node.sim.notes.read(effect.shown),
        });
        return;
      case "ended":
        this.#end();
        return;
      case "stop":
        this.#stop(effect.reason);
        return;
      case "wake":
        this.#cancelWake();
        this.#cancelWake = this.#node.after(effect.delayMs, () => this.#take({ kind: "tick" }));
    }
  }

  #sign(size: number): void {
    if (this.#head?.size === size) return;
    const { sim } = this.#node;
    const note = sim.notes.sign(this.#key, size, this.#replica.rootAt(size) as Uint8Array);
    sim.checker.signed(this.#node, note, this.#replica.rows);
    this.#replica.setHead(note);
    this.#head = note;
    this.#replica.changed();
  }

  #ask({ city, size, oldSize }: Extract<SequencerEffect, { kind: "ask" }>): void {
    const { sim } = this.#node;
    const head = this.#head;
    if (head === undefined || BigInt(head.size) !== size) {
      this.#take({ kind: "failed", city });
      return;
    }
    const proof = this.#replica.consistencyProof(Number(oldSize), Number(size));
    const request = formatAddCheckpoint({ oldSize, proof, checkpoint: head.bytes });
    sim.network.call<Witnessed>({
      from: this.#node,
      to: sim.nodes[cityOf(city)] as SimNode,
      timeoutMs: askTimeoutMs,
      serve: (server, answer) => server.process?.witness.addCheckpoint(request, answer),
      done: (answer) => this.#take(eventOf(city, size, head, answer)),
    });
  }

  #poll(city: string): void {
    const { sim } = this.#node;
    sim.network.call<Witnessed>({
      from: this.#node,
      to: sim.nodes[cityOf(city)] as SimNode,
      timeoutMs: askTimeoutMs,
      serve: (server, answer) => server.process?.witness.show(originOf(this.#key.term), answer),
      done: (answer) => this.#take(toldEvent(city, this.#key, answer)),
    });
  }

  /** Another sequences now: this node goes looking for it. */
  #end(): void {
    this.close();
    this.#node.sim.world.note(`${this.#node.name} sequences no more: its term has ended`);
    this.#node.endedTerm = this.term;
    this.#node.sim.operator.sawStopped(this.#node);
    this.#node.lookAtRole();
  }

  #freeze(size: number, lines: readonly Line[]): void {
    if (this.#head?.size !== size) return;
    const { sim } = this.#node;
    const note = sim.notes.join(this.#head, lines);
    const taken = this.#replica.takeFinal(note);
    if (taken !== "taken") return;
    const timeMs = this.#replica.timeOf(note) ?? 0;
    this.#take({ kind: "stored", size: BigInt(size), timeMs });
  }

  #stop(reason: string): void {
    this.isStopped = true;
    this.#cancelWake();
    this.#node.sim.world.note(`${this.#node.name} sequences nothing: ${reason}`);
    this.#node.sim.operator.sawStopped(this.#node);
    // By this key for ever; the next term is another's.
    this.#node.endedTerm = this.term;
    this.#node.after(0, () => this.#node.lookAtRole());
  }
}

function eventOf(
  city: string,
  size: bigint,
  head: Note,
  answer: Witnessed | undefined,
): SequencerEvent {
  if (answer === undefined) return { kind: "failed", city };
  const witnessSize = parseConflict(answer.answer);
  if (witnessSize !== undefined) return { kind: "conflict", city, witnessSize };
  if (answer.answer.status === 403) return { kind: "refused", city };
  const { line } = answer;
  if (line === undefined || line.headId !== head.headId || line.name !== city) {
    return { kind: "failed", city };
  }
  return { kind: "cosigned", city, size, line };
}

function toldEvent(city: string, key: LogKey, answer: Witnessed | undefined): SequencerEvent {
  if (answer?.answer.status === 404) return { kind: "told", city, head: undefined };
  const shown = answer?.shown;
  if (shown === undefined || shown.key !== key) return { kind: "failed", city };
  const { size, root, bytes: note } = shown;
  return { kind: "told", city, head: { size: BigInt(size), root, note } };
}

/** What a size has to satisfy; a mutant leaves one side of a change out. */
function roundRules(
  replica: SimReplica,
  { from, to }: { readonly from: bigint; readonly to: bigint },
): ReturnType<typeof rulesOf> {
  const { rules } = replica.sim;
  const { facts } = replica.rows[Number(to) - 1] as Row;
  if (!rules.oldQuorum) return rulesOf(facts, Number(to), Number(to));
  if (!rules.newQuorum && from > 0n) return rulesOf(facts, Number(from), Number(from));
  return rulesOf(facts, Number(from), Number(to));
}

function isSamePlace(a: SimBatch, b: SimBatch): boolean {
  return a.gateway === b.gateway && a.epoch === b.epoch && a.seq === b.seq;
}
