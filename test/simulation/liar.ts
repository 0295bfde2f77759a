import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { parseConflict, witnessAnswer } from "../../src/ledger/embedded/witness-answers.ts";
import type { FollowItem } from "../../src/ledger/embedded/ports.ts";
import { proveConsistency } from "../../src/merkle/prove.ts";
import { FollowSource, type Held } from "./follow-source.ts";
import { appendTo, readerOf, type Row, type Rows, type SimBatch } from "./history.ts";
import type { Wire } from "./network.ts";
import type { Line, LogKey, Note } from "./notes.ts";
import type { SimNode } from "./node.ts";
import type { Published } from "./published.ts";
import { type Inclusion, satisfiesRules, type SimReplica } from "./replica.ts";
import type { Role } from "./role.ts";
import type { Sim } from "./sim.ts";
import type { Witnessed } from "./witness.ts";

const tickMs = 300;
const askTimeoutMs = 2500;

/** One of the histories that a lying sequencer shows, and to whom. */
class Face implements Published {
  rows: Rows;
  frozen: readonly Note[];
  head: Note | undefined;
  final: Note | undefined;
  readonly generation = 0;
  readonly members = new Set<number>();
  readonly lines = new Map<number, Line>();
  /** Size that each witness cosigned last, as it says. */
  readonly sizes = new Map<number, number>();
  readonly queue: { readonly batch: SimBatch; readonly answer: (result: Inclusion) => void }[] = [];
  readonly #listeners = new Set<() => void>();

  constructor(from: {
    readonly rows: Rows;
    readonly frozen: readonly Note[];
    readonly final: Note | undefined;
  }) {
    this.rows = from.rows;
    this.frozen = from.frozen;
    this.final = from.final;
  }

  get facts(): Row["facts"] {
    return (this.rows.at(-1) as Row).facts;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

export interface Lies {
  /** A gateway whose batches it leaves out. */
  readonly victim: number | undefined;
  /** Whether it cosigns anything. */
  readonly cosignsAll: boolean;
  /** The cities that its log shows one history, and those that it shows the next one; drawn unless told. */
  readonly sides?: readonly (readonly number[])[];
  /** How many leaves it keeps in a term that it opens, whatever was voted; its own votes name what it signed there. */
  readonly keeps?: number;
}

/** A city that does not keep to the protocol: its witness, its votes, what it shows, and its sequencer when it has the role. */
export class Liar {
  readonly city: number;
  readonly lies: Lies;
  readonly #sim: Sim;
  #faces: Face[] = [];

  constructor(sim: Sim, city: number, lies: Lies = drawLies(sim, city)) {
    this.#sim = sim;
    this.city = city;
    this.lies = lies;
  }

  get node(): SimNode {
    return this.#sim.nodes[this.city] as SimNode;
  }

  histories(): readonly Rows[] {
    return this.#faces.map(({ rows }) => rows);
  }

  /** What its vote names: nothing, anything that a log has signed, or a tree of its own. */
  highest(): Note | undefined {
    if (this.lies.keeps !== undefined) {
      const own = this.#faces[0]?.head;
      return own === undefined ? undefined : this.#sim.notes.headOf(own);
    }
    const { random } = this.#sim.world;
    const replica = this.node.process?.replica;
    const heads = [
      undefined,
      replica?.content.head,
      ...(replica?.content.frozen ?? []).slice(-2),
      ...this.#faces.map(({ head }) => head),
      ...this.#faces.map(({ head }) => head),
    ];
    const head = random.pick(heads);
    return head === undefined ? undefined : this.#sim.notes.headOf(head);
  }

  /** Its witness's answer, where it is not the honest one. */
  addCheckpoint(body: Uint8Array): Witnessed | undefined {
    if (!this.lies.cosignsAll) return undefined;
    const end = body.lastIndexOf(10);
    const note = this.#sim.notes.read(body.subarray(end + 1));
    return { answer: witnessAnswer(200, ""), line: this.#cosign(note) };
  }

  show(): Witnessed | undefined {
    if (!this.#sim.world.random.chance(0.7)) return undefined;
    return { answer: witnessAnswer(404, "") };
  }

  #cosign(note: Note): Line {
    const { clockMs, witnessKey: keyId } = this.node;
    return this.#sim.notes.cosign(this.city, note, { timeMs: clockMs, keyId });
  }

  /** Whether it serves a follow stream in a way of its own. */
  follows(wire: Wire<FollowItem>, held: Held, follower: SimNode): boolean {
    const { node } = this;
    const { random } = this.#sim.world;
    const face = this.#faces.find(({ members }) => members.has(follower.city));
    if (face !== undefined) {
      new FollowSource(node, face, wire, held).pump();
      return true;
    }
    if (node.process?.role.kind === "sequencer" || !random.chance(0.3)) return false;
    // A term's start of its own making, or leaves that nobody gave an index.
    const replica = node.process?.replica;
    if (replica === undefined) return false;
    const start = random.int(Math.max(1, replica.size));
    const term = replica.term + (random.chance(0.5) ? 0 : 1);
    const items: FollowItem[] = [];
    if (random.chance(0.6))
      items.push({ kind: "term opened", term: BigInt(term), start: BigInt(start) });
    const from = random.chance(0.5) ? start : held.fromIndex;
    for (const { index, batch } of shuffledTail(replica, from, random.int(3))) {
      items.push({ kind: "batch", index: BigInt(index), batch });
    }
    wire.send(items);
    return true;
  }

  createRole(key: LogKey): Role {
    return new LyingSequencer(this.#sim, this, key, (faces) => {
      this.#faces = faces;
    });
  }

  cosign(note: Note): Line {
    return this.#cosign(note);
  }
}

function drawLies({ world: { random }, nodes }: Sim, city: number): Lies {
  const victim = random.chance(0.5)
    ? (city + random.between(1, nodes.length - 1)) % nodes.length
    : undefined;
  return { victim, cosignsAll: random.chance(0.8) };
}

function shuffledTail(
  replica: SimReplica,
  from: number,
  skipped: number,
): readonly { readonly index: number; readonly batch: SimBatch }[] {
  const rows = replica.rows.slice(from + skipped);
  return rows.map(({ batch }, i) => ({ index: from + i, batch }));
}

/** Shows different histories to different cities, under one key. */
class LyingSequencer implements Role {
  readonly kind = "sequencer";
  readonly term: number;
  readonly #sim: Sim;
  readonly #liar: Liar;
  readonly #key: LogKey;
  readonly #faces: Face[];
  #isClosed = false;
  /** It includes nothing any more, and keeps the newest size alive. */
  #isStalling = false;

  constructor(sim: Sim, liar: Liar, key: LogKey, keep: (faces: Face[]) => void) {
    this.#sim = sim;
    this.#liar = liar;
    this.#key = key;
    this.term = key.term;
    const replica = liar.node.process?.replica;
    const { rows, frozen, heartbeat } = replica?.content ?? liar.node.disks.ledger.content;
    const from = { rows, frozen, final: heartbeat };
    const count = liar.lies.sides?.length ?? (sim.world.random.chance(0.8) ? 2 : 1);
    this.#faces = Array.from({ length: count }, () => new Face(from));
    keep(this.#faces);
  }

  start(): void {
    this.#choose();
    this.#tick();
  }

  #choose(): void {
    const { nodes, world } = this.#sim;
    const { sides } = this.#liar.lies;
    if (sides !== undefined) {
      for (const [i, cities] of sides.entries())
        for (const city of cities) this.#faces[i]?.members.add(city);
      return;
    }
    for (const node of nodes) {
      const isNew = node.city >= this.#sim.config.founding;
      const face = isNew ? this.#faces[0] : world.random.pick(this.#faces);
      face?.members.add(node.city);
    }
  }

  close(): void {
    this.#isClosed = true;
  }

  head(): Note | undefined {
    return this.#faces[0]?.head;
  }

  submit(batch: SimBatch, answer: (result: Inclusion) => void): void {
    if (this.#isClosed) return;
    const { random } = this.#sim.world;
    if (batch.gateway === this.#liar.lies.victim) return;
    const own = this.#faces.find(({ members }) => members.has(batch.gateway)) ?? this.#faces[0];
    const isStrict = this.#liar.lies.sides !== undefined;
    for (const face of this.#faces) {
      // A change of cities is for those who gain by it.
      if (face !== this.#faces[0] && batch.contents.some(({ kind }) => kind === "membership"))
        continue;
      if (face === own || (!isStrict && random.chance(0.6))) {
        face.queue.push({ batch, answer: face === own ? answer : (): void => undefined });
      }
    }
  }

  #tick(): void {
    const { world, nodes } = this.#sim;
    const { random } = world;
    this.#liar.node.after(tickMs, () => {
      if (this.#isClosed) return;
      // Now and then a city is shown the other history.
      const isMoving = this.#faces.length > 1 && random.chance(0.02);
      if (isMoving && this.#liar.lies.sides === undefined) this.#move(random.pick(nodes).city);
      for (const face of this.#faces) this.#grow(face);
      this.#tick();
    });
  }

  #move(city: number): void {
    for (const face of this.#faces) {
      if (!face.members.delete(city)) face.members.add(city);
    }
  }

  #grow(face: Face): void {
    const { notes, world } = this.#sim;
    const { random } = world;
    if (!this.#isStalling && this.#liar.lies.victim !== undefined)
      this.#isStalling = random.chance(0.004);
    const queue = this.#isStalling ? [] : face.queue.splice(0);
    if (random.chance(0.3)) queue.reverse();
    for (const { batch, answer } of queue) {
      const known = face.rows.find((row) => row.batch.id === batch.id);
      if (known !== undefined) {
        answer({ index: known.index });
        continue;
      }
      const row = appendTo(face.rows.at(-1), batch, this.#sim);
      if (typeof row === "string") continue;
      face.rows = [...face.rows, row];
      answer({ index: row.index });
    }
    if (face.head?.size !== face.rows.length) {
      face.lines.clear();
      face.head = notes.sign(this.#key, face.rows.length, (face.rows.at(-1) as Row).root);
    }
    if (random.chance(0.5)) this.#askAll(face, face.head as Note);
    face.changed();
  }

  #askAll(face: Face, head: Note): void {
    const { nodes, world, network } = this.#sim;
    face.lines.set(this.#liar.city, this.#liar.cosign(head));
    for (const node of nodes) {
      const isStrict = this.#liar.lies.sides !== undefined;
      const isAsked = face.members.has(node.city) || (!isStrict && world.random.chance(0.2));
      if (node.city === this.#liar.city || !isAsked || face.lines.has(node.city)) continue;
      const oldSize = Math.min(face.sizes.get(node.city) ?? 0, head.size);
      const proof =
        oldSize === 0
          ? []
          : proveConsistency({ size1: oldSize, size2: head.size, reader: readerOf(face.rows) });
      const body = formatAddCheckpoint({ oldSize: BigInt(oldSize), proof, checkpoint: head.bytes });
      network.call<Witnessed>({
        from: this.#liar.node,
        to: node,
        timeoutMs: askTimeoutMs,
        serve: (server, answer) => server.process?.witness.addCheckpoint(body, answer),
        done: (answer) => this.#hear(face, head, node.city, answer),
      });
    }
    this.#freeze(face, head);
  }

  #hear(face: Face, head: Note, city: number, answer: Witnessed | undefined): void {
    if (answer === undefined || this.#isClosed) return;
    const size = parseConflict(answer.answer);
    if (size !== undefined) face.sizes.set(city, Number(size));
    const { line } = answer;
    if (line === undefined || line.headId !== head.headId) return;
    face.sizes.set(city, head.size);
    if (face.head !== head) return;
    face.lines.set(city, line);
    this.#freeze(face, head);
  }

  #freeze(face: Face, head: Note): void {
    const from = Math.min(face.final?.size ?? 0, head.size);
    const { facts } = face.rows[head.size - 1] as Row;
    const cities = new Set(face.lines.keys());
    if (!satisfiesRules(facts, { from, to: head.size }, cities, this.#sim.rules)) return;
    const note = this.#sim.notes.join(head, [...face.lines.values()]);
    face.lines.clear();
    if (head.size > (face.final?.size ?? 0)) face.frozen = [...face.frozen, note];
    face.final = note;
    // What it believes itself; a face that contradicts it is for others.
    const replica = this.#liar.node.process?.replica;
    if (replica !== undefined && replica.rows[head.size - 1] === face.rows[head.size - 1])
      replica.takeFinal(note);
    face.changed();
  }
}
