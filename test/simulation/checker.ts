import { toHex } from "../../src/base/bytes.ts";
import { satisfies } from "./facts.ts";
import type { Row, Rows, SimBatch } from "./history.ts";
import type { LogKey, Note } from "./notes.ts";
import { isOmitted } from "./witness.ts";
import type { SimNode } from "./node.ts";
import type { Sim } from "./sim.ts";
import { Violation } from "./world.ts";

/** Time on the wires and at the machines that the bound of a revocation does not count. */
const boundSlackMs = 3000;

/** Sees everything, and takes no part: what must never happen ends the schedule. */
export class Checker {
  readonly #sim: Sim;
  /** The one final history. */
  readonly final: Row[] = [];
  readonly #cosigned = new Map<number, Set<number>>();
  readonly #signed = new Map<LogKey, Row[]>();
  readonly #places = new Map<string, number>();
  /** Journals that a fault set back and nobody has recovered. */
  readonly setBack: Set<SimNode> = new Set();
  readonly #newest = new Map<SimNode, SimBatch>();
  /** Released batches that are not final. */
  readonly unfinished: Map<number, SimBatch> = new Map();
  /** The batch that revokes a grant. */
  readonly #revocations = new Map<number, SimBatch>();
  clockErrorMs = 0;
  readonly #restoredLogs = new Set<LogKey>();
  readonly #lostWitnesses = new Set<number>();

  constructor(sim: Sim) {
    this.#sim = sim;
  }

  /** An honest node's ledger has other leaves: those that it knows to be final are among them. */
  included(node: SimNode): void {
    const replica = node.process?.replica;
    if (node.isLiar || replica === undefined) return;
    const { finalSize, rows } = replica;
    if (finalSize > 0 && rows[finalSize - 1] !== this.final[finalSize - 1]) {
      this.fail(`${node.name} dropped what is final`);
    }
  }

  /** An honest node holds a final checkpoint. */
  tookFinal(node: SimNode, note: Note): void {
    if (node.isLiar) return;
    const row = node.process?.replica.rows[note.size - 1] as Row;
    if (row.root !== note.root && note.rootHex !== "") this.#sameRoot(row, note);
    this.#makeFinal(row, `${node.name} took`);
  }

  /** An honest witness's cosignature is out. */
  cosigned(node: SimNode, note: Note, rows: Rows): void {
    if (node.isLiar) return;
    const cities = this.#cosigned.get(note.headId) ?? new Set<number>();
    cities.add(node.city);
    this.#cosigned.set(note.headId, cities);
    const row = rows[note.size - 1];
    if (row === undefined) return;
    const { liar } = this.#sim;
    const willing = liar === undefined ? cities : new Set([...cities, liar.city]);
    // Whoever could take it holds as final what its tree has of the final history.
    let from = Math.min(this.final.length, note.size);
    while (from > 0 && ancestor(row, from - 1) !== this.final[from - 1]) from -= 1;
    if (satisfies(row.facts, { from, to: note.size }, willing)) {
      this.#makeFinal(row, `a quorum with ${node.name} cosigned`);
    }
  }

  /** An honest log key has signed a head. */
  signed(node: SimNode, note: Note, rows: Rows): void {
    if (node.isLiar) return;
    const row = rows[note.size - 1];
    const signed = this.#signed.get(note.key) ?? [];
    for (const earlier of signed) {
      const [small, large] =
        row !== undefined && earlier.index <= row.index ? [earlier, row] : [row, earlier];
      const isFork =
        small === undefined || large === undefined || ancestor(large, small.index) !== small;
      if (isFork && (!this.#restoredLogs.has(note.key) || this.#couldBeTold(note.key, earlier))) {
        this.fail(`the log of term ${note.key.term} signed two histories`);
      }
    }
    if (row !== undefined) signed.push(row);
    this.#signed.set(note.key, signed);
  }

  /** Whether every quorum has an honest city that cosigned this head. */
  #couldBeTold(key: LogKey, row: Row): boolean {
    const { notes, config } = this.#sim;
    const cosigned =
      this.#cosigned.get(notes.sign(key, row.index + 1, row.root).headId) ?? new Set();
    const honest = [...cosigned].filter((city) => !this.#lostWitnesses.has(city)).length;
    const silent = config.founding - honest;
    return silent < config.quorum;
  }

  /** A header leaves its gateway. */
  released(node: SimNode, batch: SimBatch): void {
    if (node.isLiar) return;
    const durable = node.disks.journal.durable.batches;
    if (durable.at(-1)?.id !== batch.id && !durable.some(({ id }) => id === batch.id)) {
      this.fail(`${node.name} released a header that is not durable`);
    }
    const place = `${batch.gateway}/${batch.epoch}/${batch.seq}`;
    const other = this.#places.get(place);
    if (other !== undefined && other !== batch.id && !this.setBack.has(node)) {
      this.fail(`${node.name} signed two leaves at ${place}`);
    }
    this.#places.set(place, batch.id);
    this.#newest.set(node, batch);
    if (!this.setBack.has(node)) this.unfinished.set(batch.id, batch);
    this.#checkReceipts(node, batch);
    for (const content of batch.contents) {
      if (content.kind === "revocation") this.#revocations.set(content.grant, batch);
      if (content.kind === "receipt") this.#checkBound(node, content.grant);
    }
  }

  /**
   * A revocation that every honest witness holds binds within the inclusion bound and the staleness,
   * whatever the sequencer does. One that does not hold it could keep a checkpoint young: with its own new
   * cosignature, the liar's, and an old one of a city that withholds.
   */
  #checkBound(node: SimNode, grant: number): void {
    const batch = this.#revocations.get(grant);
    if (batch === undefined) return;
    const { nodes, config, world } = this.#sim;
    const leafHash = toHex(batch.leafHash);
    const boundMs =
      config.inclusionBoundMs + config.maxStalenessMs + boundSlackMs + this.clockErrorMs;
    const holders = nodes.filter((one) => {
      const held = one.isLiar ? undefined : one.process?.witness.state.held.get(leafHash);
      const replica = one.process?.replica;
      if (replica === undefined || !isOmitted(replica, batch, replica.finalSize)) return false;
      return held?.isForwarded === true && world.nowMs - held.heldAtMs > boundMs;
    });
    const honest = nodes.filter(({ isLiar, city }) => !isLiar && city < config.founding).length;
    if (config.cities === config.founding && holders.length === honest) {
      this.fail(`${node.name} sealed a receipt long after grant ${grant} was revoked`);
    }
  }

  /** A process is gone, and what its disks show now is what the next one finds. */
  ended(node: SimNode): void {
    this.#sim.peers.forget(node);
    const newest = this.#newest.get(node);
    if (node.isLiar || newest === undefined || this.setBack.has(node)) return;
    if (!node.disks.journal.content.batches.some(({ id }) => id === newest.id)) {
      this.fail(`${node.name} lost a batch that was recorded`);
    }
  }

  /** A fault took or set back the journal. */
  journalSetBack(node: SimNode): void {
    this.setBack.add(node);
    this.#dropUnfinished(node);
  }

  /** Its log may sign again what no quorum can tell it of. */
  ledgerSetBack(node: SimNode): void {
    for (const key of node.logKeys.values()) this.#restoredLogs.add(key);
  }

  /** The city counts as lying from now on. */
  witnessSetBack(node: SimNode): void {
    this.#lostWitnesses.add(node.city);
  }

  recovered(node: SimNode, hasLeaf: boolean): void {
    for (const place of hasLeaf ? [] : [...this.#places.keys()]) {
      if (place.startsWith(`${node.city}/`)) this.#places.delete(place);
    }
    this.setBack.delete(node);
    this.#newest.delete(node);
    // What the epoch statement says may be lost.
    this.#dropUnfinished(node);
  }

  /** What is still missing once the faults have stopped: everything sealed is final, and everybody knows. */
  missing(): string | undefined {
    const { nodes } = this.#sim;
    for (const node of nodes) {
      if (node.isLiar) continue;
      const { process } = node;
      if (process === undefined) return `${node.name} is down`;
      const { halted } = process.gateway;
      if (halted !== undefined) return `${node.name} is halted: ${halted}`;
      const { finalSize } = process.replica;
      if (finalSize < this.final.length) {
        return `${node.name} has ${finalSize} of ${this.final.length} final leaves`;
      }
    }
    for (const batch of this.unfinished.values()) {
      const node = nodes[batch.gateway] as SimNode;
      if (!node.isLiar) return `batch ${batch.id} of ${node.name} is not final`;
    }
    return undefined;
  }

  #dropUnfinished(node: SimNode): void {
    for (const [id, batch] of this.unfinished) {
      if (batch.gateway === node.city) this.unfinished.delete(id);
    }
  }

  fail(what: string): never {
    this.#sim.world.note(`VIOLATION ${what}`);
    throw new Violation(what);
  }

  #sameRoot(row: Row, note: Note): void {
    if (row.root.every((byte, i) => byte === note.root[i])) return;
    this.fail("a final checkpoint is not of the tree of the node that took it");
  }

  /** Nothing final is lost or put elsewhere, and there is one history. */
  #makeFinal(row: Row, how: string): void {
    const { final } = this;
    const size = row.index + 1;
    const shared = Math.min(size, final.length);
    if (shared > 0 && ancestor(row, shared - 1) !== final[shared - 1]) {
      this.fail(`${how} a second final history of ${size}`);
    }
    const added: Row[] = [];
    for (
      let at: Row | undefined = row;
      at !== undefined && at.index >= final.length;
      at = at.before
    ) {
      added.push(at);
    }
    for (const one of added.toReversed()) {
      final.push(one);
      this.unfinished.delete(one.batch.id);
      this.#checkRevoked(one);
    }
  }

  /** No receipt under a grant that its chain has seen taken, nor behind the revocation in its own chain. */
  #checkRevoked(row: Row): void {
    const { batch, before } = row;
    if (this.#sim.liar?.city === batch.gateway) return;
    for (const content of batch.contents) {
      if (content.kind !== "receipt") continue;
      const index = before?.facts.revoked.get(content.grant);
      if (index === undefined) continue;
      const isOwn = this.final[index]?.batch.gateway === batch.gateway;
      if (isOwn || batch.seenSize > index) {
        this.fail(`a receipt under revoked grant ${content.grant} is final at ${row.index}`);
      }
    }
  }

  /** The newest final checkpoint was young enough. */
  #checkReceipts(node: SimNode, batch: SimBatch): void {
    if (!batch.contents.some(({ kind }) => kind === "receipt")) return;
    const replica = node.process?.replica;
    const final = replica?.final;
    if (replica === undefined || final === undefined)
      this.fail("a receipt without a final checkpoint");
    const timeMs = replica.timeOf(final);
    if (timeMs === undefined)
      this.fail(`${node.name} rests on what the quorum of its size did not cosign`);
    const ageMs = batch.sealedAtMs - node.clockOffsetMs - timeMs;
    const { maxStalenessMs } = this.#sim.config;
    if (ageMs > maxStalenessMs + this.clockErrorMs + 100) {
      this.fail(`${node.name} sealed a receipt ${ageMs} ms after the newest final checkpoint`);
    }
  }
}

function ancestor(row: Row, index: number): Row | undefined {
  let at: Row | undefined = row;
  while (at !== undefined && at.index > index) at = at.before;
  return at;
}
