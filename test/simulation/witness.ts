import { toHex } from "../../src/base/bytes.ts";
import type { HeldBatch } from "../../src/ledger/embedded/held-batches.ts";
import type { WitnessAnswer } from "../../src/ledger/embedded/ports.ts";
import { witnessAnswer } from "../../src/ledger/embedded/witness-answers.ts";
import { initialWitness, stepWitness } from "../../src/ledger/embedded/witness-machine.ts";
import type {
  CheckpointReading,
  PromisedHead,
  SettledTerms,
  TermPromise,
  WitnessEffect,
  WitnessEvent,
  WitnessState,
} from "../../src/ledger/embedded/witness-types.ts";
import type { ChainPlace, LostState } from "../../src/ledger/store/store.ts";
import type { VerifiedBatch } from "../../src/registry/verify-batch.ts";
import { appendTo, type SimBatch } from "./history.ts";
import { type Line, type Note, originOf, promisedHead } from "./notes.ts";
import type { SimNode } from "./node.ts";
import type { SimReplica } from "./replica.ts";
import { openingOf, settledIn } from "./opening.ts";
import { submitTo } from "./submit.ts";

/** What a witness's file holds. */
export interface WitnessContent {
  readonly promises: ReadonlyMap<string, PromisedHead>;
  readonly promisedTerm: bigint;
  readonly lost: LostState | undefined;
}

export const emptyWitness: WitnessContent = {
  promises: new Map(),
  promisedTerm: 0n,
  lost: undefined,
};

/** An answer, with the cosignature or the shown note where it is one. */
export interface Witnessed {
  readonly answer: WitnessAnswer;
  readonly line?: Line;
  readonly shown?: Note;
}

type Effect<Kind extends WitnessEffect["kind"]> = Extract<WitnessEffect, { kind: Kind }>;

/** The driver of the witness's machine: `Witness` over simulated ports. */
export class SimWitness {
  readonly #node: SimNode;
  readonly #replica: SimReplica;
  readonly #answers = new Map<number, (answer: Witnessed) => void>();
  readonly #promises = new Map<number, (result: TermPromise) => void>();
  #state: WitnessState;
  #nextId = 0;
  #size: number;
  #generation: number;
  #finalSize = 0;
  #term: number;
  #cancelWake: () => void = () => undefined;

  constructor(node: SimNode, replica: SimReplica) {
    this.#node = node;
    this.#replica = replica;
    this.#size = replica.size;
    this.#generation = replica.generation;
    this.#term = replica.term;
    const { witnessWaitMs: waitMs, inclusionBoundMs } = node.sim.config;
    this.#state = initialWitness(
      {
        readCheckpoint: (bytes) => this.#read(bytes),
        waitMs,
        inclusionBoundMs,
        key: `${node.name} ${node.witnessKey}`,
      },
      node.disks.witness.content,
    );
  }

  /** What its machine knows; for those who check. */
  get state(): WitnessState {
    return this.#state;
  }

  start(): void {
    for (const note of this.#replica.content.frozen) this.#lookForOwn(note);
    this.#replica.onChange(() => this.#look());
    this.#replica.onFinal.add(() => this.#lookForOwn(this.#replica.final as Note));
  }

  addCheckpoint(body: Uint8Array, answer: (answer: Witnessed) => void): void {
    const lie = this.#node.isLiar ? this.#node.sim.liar?.addCheckpoint(body) : undefined;
    if (lie !== undefined) return answer(lie);
    const id = this.#nextId++;
    this.#answers.set(id, answer);
    this.#take({ kind: "request", id, body });
  }

  show(origin: string, answer: (answer: Witnessed) => void): void {
    const lie = this.#node.isLiar ? this.#node.sim.liar?.show() : undefined;
    if (lie !== undefined) return answer(lie);
    const id = this.#nextId++;
    this.#answers.set(id, answer);
    this.#take({ kind: "show", id, origin });
  }

  hold(batch: SimBatch): void {
    const row = this.#replica.rows.findLast((one) => one.batch.id === batch.id);
    if (row !== undefined && row.index < this.#replica.finalSize) return;
    const { leafHash, gateway, epoch, seq } = batch;
    const header = { gateway: `city${gateway}`, epoch: BigInt(epoch), seq: BigInt(seq) };
    const verified = { kind: "verified", header, leafHash } as unknown as VerifiedBatch;
    const index = row === undefined ? undefined : BigInt(row.index);
    this.#take({ kind: "hold", id: this.#nextId++, batch, verified, index });
  }

  promiseTerm(term: number, done: (result: TermPromise) => void): void {
    const id = this.#nextId++;
    this.#promises.set(id, done);
    const currentTerm = BigInt(this.#replica.term);
    const settled = this.#settled();
    this.#take({ kind: "promise term", id, term: BigInt(term), currentTerm, settled });
  }

  #settled(): SettledTerms | undefined {
    const { rules, notes } = this.#node.sim;
    const { final } = this.#replica;
    if (!rules.votesPassOver || final === undefined) return undefined;
    return settledIn(this.#replica, promisedHead(notes.headOf(final)), rules);
  }

  #read(bytes: Uint8Array): CheckpointReading {
    const { sim } = this.#node;
    const note = sim.notes.read(bytes);
    const { terms } = this.#replica.facts;
    const known = terms.find(({ term }) => term === note.key.term);
    if (known === undefined) {
      return { kind: note.key.term < this.#replica.term ? "ended" : "origin unknown" };
    }
    if (known.key !== note.key) return { kind: "not signed" };
    if (known !== terms.at(-1) && sim.rules.witnessLeavesTerm) return { kind: "ended" };
    const { size, root, key } = note;
    const origin = originOf(key.term);
    const term = BigInt(key.term);
    return { kind: "signed", checkpoint: { term, origin, size: BigInt(size), root, note: bytes } };
  }

  /** The replica has changed. */
  #look(): void {
    const { rows, finalSize, term, generation, droppedTo } = this.#replica;
    const size = BigInt(droppedTo);
    if (generation !== this.#generation) {
      this.#generation = generation;
      this.#size = Math.min(this.#size, droppedTo);
      this.#take({ kind: "dropped", size });
    }
    if (term !== this.#term) {
      this.#term = term;
      this.#take({ kind: "term began", term: BigInt(term), size });
    }
    const { held } = this.#state;
    if (held.size > 0) {
      for (const row of rows.slice(this.#size)) {
        const leafHash = toHex(row.batch.leafHash);
        if (held.has(leafHash)) {
          this.#take({ kind: "included", leafHash, index: BigInt(row.index) });
        }
      }
    }
    this.#size = rows.length;
    if (finalSize > this.#finalSize && held.size > 0) {
      const tips: ChainPlace[] = [];
      for (const tip of finalTips(rows, finalSize)) {
        tips.push({
          gateway: `city${tip.gateway}`,
          epoch: BigInt(tip.epoch),
          seq: BigInt(tip.seq),
        });
      }
      this.#take({ kind: "final", size: BigInt(finalSize), tips });
    }
    this.#finalSize = finalSize;
    if (this.#state.waiting.size > 0) this.#take({ kind: "changed" });
  }

  #lookForOwn(note: Note): void {
    const { city } = this.#node;
    if (note.key.term < this.#term) return;
    const own = note.lines.find(
      (line) => line.city === city && line.keyId === this.#node.witnessKey,
    );
    if (own === undefined) return;
    const { term } = note.key;
    const size = BigInt(note.size);
    this.#take({ kind: "own cosignature", term: BigInt(term), origin: originOf(term), size });
  }

  #take(event: WitnessEvent): void {
    const before = this.#node.sim.rules.witnessLeavesTerm
      ? this.#state
      : {
          ...this.#state,
          promisedTerm: event.kind === "promise term" ? this.#state.promisedTerm : 0n,
        };
    const { state, effects } = stepWitness(before, event, this.#node.sim.world.nowMs);
    this.#state = state;
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: WitnessEffect): void {
    switch (effect.kind) {
      case "answer":
        this.#answer(effect.id, { answer: effect.answer });
        return;
      case "ask replica":
        this.#askReplica(effect);
        return;
      case "promise":
        this.#promise(effect);
        return;
      case "cosign":
        this.#cosign(effect);
        return;
      case "show":
        this.#answer(effect.id, {
          answer: witnessAnswer(200, ""),
          shown: this.#node.sim.notes.read(effect.checkpoint.note),
        });
        return;
      case "store term":
        this.#storeTerm(effect);
        return;
      case "term promised":
        this.#promises.get(effect.id)?.(effect.result);
        this.#promises.delete(effect.id);
        return;
      case "store lost":
        this.#commit({ ...this.#stored, lost: effect.lost });
        return;
      case "forward":
        this.#forward(effect.held);
        return;
      case "report":
        this.#node.sim.world.note(`${this.#node.name} reports ${effect.reason} at ${effect.size}`);
        return;
      case "fork": {
        const { notes } = this.#node.sim;
        const held = effect.held === undefined ? undefined : notes.read(effect.held);
        this.#replica.distrust({ reason: "LEDGER_FORK", held, shown: notes.read(effect.shown) });
        return;
      }
      case "wake":
        this.#cancelWake();
        this.#cancelWake = this.#node.after(effect.delayMs, () => this.#take({ kind: "tick" }));
    }
  }

  get #stored(): WitnessContent {
    return this.#node.disks.witness.content;
  }

  #commit(content: WitnessContent): void {
    this.#node.step("before a witness commit");
    this.#node.disks.witness.commit(content);
    this.#node.step("after a witness commit");
  }

  #askReplica({ id, size, openingOf: term, overdue }: Effect<"ask replica">): void {
    const { rules } = this.#node.sim;
    const replica = this.#replica;
    const checkpoint = this.#state.waiting.get(id)?.checkpoint;
    const verdict =
      rules.witnessAsksReplica || checkpoint === undefined
        ? replica.vouch(size)
        : ({ kind: "stands", root: checkpoint.root } as const);
    const isAgain =
      checkpoint !== undefined && this.#state.promises.get(checkpoint.origin)?.size === size;
    const isAsked = rules.withholdsOmitted && (rules.withholdsHeartbeats || !isAgain);
    const omits =
      isAsked &&
      verdict.kind === "stands" &&
      overdue.some(({ batch }) => isOmitted(replica, batch as SimBatch, Number(size)));
    this.#take({
      kind: "replica",
      id,
      verdict,
      finalSize: BigInt(rules.witnessAsksReplica ? replica.finalSize : 0),
      omits,
      opening: term === undefined ? undefined : openingOf(replica, Number(term), rules),
    });
  }

  /** Compare and replace in one durable step. */
  #promise({ id, term, origin, before, after }: Effect<"promise">): void {
    const { rules, world } = this.#node.sim;
    const store = (): void => {
      const stored = this.#stored;
      const isNew =
        !rules.witnessAtomic ||
        (isSameHead(stored.promises.get(origin), before) &&
          (stored.promisedTerm <= term || !rules.witnessLeavesTerm));
      if (isNew) {
        const promises = new Map(stored.promises).set(origin, { term, ...after });
        const promisedTerm = stored.promisedTerm > term ? stored.promisedTerm : term;
        this.#commit({ ...stored, promises, promisedTerm });
      }
      const { promises, promisedTerm } = this.#stored;
      if (rules.promiseBeforeAnswer) {
        this.#take({ kind: "promised", id, latest: promises.get(origin), promisedTerm, isNew });
      }
    };
    if (!rules.witnessAtomic) {
      this.#node.after(world.random.between(0, 40), store);
      return;
    }
    if (!rules.promiseBeforeAnswer) {
      this.#node.after(world.random.between(1, 500), store);
      this.#take({ kind: "promised", id, latest: after, promisedTerm: term, isNew: true });
      return;
    }
    store();
  }

  #storeTerm({ id, term }: Effect<"store term">): void {
    const { rules, world } = this.#node.sim;
    const isNew = this.#stored.promisedTerm < term;
    const store = (): void => this.#commit({ ...this.#stored, promisedTerm: term });
    if (rules.termPromiseDurable) {
      if (isNew) store();
    } else if (isNew && world.random.chance(0.2)) this.#node.after(5000, store);
    const promisedTerm = isNew ? term : this.#stored.promisedTerm;
    const settled = this.#settled();
    this.#take({ kind: "term stored", id, promisedTerm, isNew, settled });
  }

  #cosign({ id, checkpoint }: Effect<"cosign">): void {
    const { sim, city, clockMs, witnessKey } = this.#node;
    const note = sim.notes.read(checkpoint.note);
    const line = sim.notes.cosign(city, note, { timeMs: clockMs, keyId: witnessKey });
    sim.checker.cosigned(this.#node, note, this.#replica.rows);
    this.#answer(id, { answer: witnessAnswer(200, ""), line });
  }

  /** To the sequencer, and to every other city's witness. */
  #forward({ batch }: HeldBatch): void {
    const { sim } = this.#node;
    const one = batch as SimBatch;
    submitTo(this.#node, this.#replica, one, { timeoutMs: 1000, done: () => undefined });
    for (const other of sim.nodes) {
      if (other === this.#node) continue;
      sim.network.call<undefined>({
        from: this.#node,
        to: other,
        timeoutMs: 1000,
        serve: (server) => server.process?.witness.hold(one),
        done: () => undefined,
      });
    }
  }

  #answer(id: number, answer: Witnessed): void {
    this.#answers.get(id)?.(answer);
    this.#answers.delete(id);
  }
}

function isSameHead(
  a: PromisedHead | undefined,
  b: { readonly size: bigint; readonly root: Uint8Array } | undefined,
): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.size === b.size && toHex(a.root) === toHex(b.root);
}

/** Whether the tree of `size` leaves is without a batch that its next leaf could be. */
export function isOmitted(replica: SimReplica, batch: SimBatch, size: number): boolean {
  const { rows, facts } = replica;
  const index = rows.findLast((row) => row.batch.id === batch.id)?.index;
  if (index !== undefined && index < size) return false;
  if (batch.seenSize > size) return false;
  const tip = facts.chains[batch.gateway];
  if (index === undefined && tip !== undefined && tip.index >= size) return false;
  return typeof appendTo(rows[size - 1], batch, replica.sim) !== "string";
}

function finalTips(rows: SimReplica["rows"], finalSize: number): readonly SimBatch[] {
  const tips = new Map<number, SimBatch>();
  for (const { batch } of rows.slice(0, finalSize)) tips.set(batch.gateway, batch);
  return [...tips.values()];
}
