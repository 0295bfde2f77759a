import { rulesOf } from "./facts.ts";
import type { Vote } from "./history.ts";
import { cityOf, type LogKey } from "./notes.ts";
import type { SimNode } from "./node.ts";
import { openTerm } from "./open-term.ts";
import type { Sim } from "./sim.ts";

/** How long the cities take to vote, and after which an appointment that went wrong is begun anew. */
const voteMs = 1500;
const againMs = 6000;

/** The people behind the machines: they recover journals and appoint sequencers. */
export class Operator {
  readonly #sim: Sim;
  readonly #recoveries = new Map<SimNode, number>();
  #term = 0;
  #isAppointing = false;

  constructor(sim: Sim) {
    this.#sim = sim;
  }

  /** Whether an appointment is under way: no other one is begun meanwhile. */
  get isAppointing(): boolean {
    return this.#isAppointing;
  }

  /** A sequencer serves no more, or a log is trusted no more: another is appointed after a while. */
  sawStopped(node: SimNode): void {
    const { world } = this.#sim;
    world.after(world.random.between(500, 4000), () => {
      const newest = this.#newestTerm();
      if (newest.gateway === node.city) this.appoint(this.#another(newest.gateway));
    });
  }

  /** Looks after everything once the faults are over. */
  look(): void {
    const { nodes, liar, world } = this.#sim;
    const { gateway, term } = this.#newestTerm();
    const isLying = liar?.city === gateway;
    const isFaulty = nodes.some(
      (node) => !node.isLiar && (node.process?.replica.fault?.term ?? -1) >= term,
    );
    const promised = Math.max(
      ...nodes.map((node) => (node.isLiar ? 0 : Number(node.disks.witness.content.promisedTerm))),
    );
    if (isLying || isFaulty || promised > term) this.appoint(this.#another(gateway));
    world.after(4000, () => this.look());
  }

  /** Every city is asked for its vote on one gateway; with enough of them it opens its term. */
  appoint(node: SimNode): void {
    // Before batch 0 is final there is no network that could vote.
    if (this.#isAppointing || this.#sim.checker.final.length === 0) return;
    const { world, nodes, notes } = this.#sim;
    this.#isAppointing = true;
    const term = Math.max(this.#term, ...nodes.map((one) => one.process?.replica.term ?? 0)) + 1;
    this.#term = term;
    const key = notes.makeKey(term, node.city);
    node.logKeys.set(term, key);
    world.note(`${node.name} is to be appointed for term ${term}`);
    const votes: Vote[] = [];
    const cities = this.#electors();
    for (const voter of nodes.filter(({ city }) => cities.includes(city))) {
      world.after(world.random.between(1, voteMs), () =>
        this.#ask(voter, { node, term, key }, votes),
      );
    }
    world.after(voteMs + 100, () => this.#open(node, term, votes, 0));
  }

  #ask(
    voter: SimNode,
    { node, term, key }: { readonly node: SimNode; readonly term: number; readonly key: LogKey },
    votes: Vote[],
  ): void {
    const { liar, notes } = this.#sim;
    const vote = { city: voter.city, term, gateway: node.city, key };
    if (liar !== undefined && voter.city === liar.city) {
      votes.push({ ...vote, highest: liar.highest() });
      return;
    }
    voter.run(() =>
      voter.process?.witness.promiseTerm(term, (result) => {
        if (result.kind !== "promised") return;
        const { highest } = result;
        votes.push({
          ...vote,
          highest: highest === undefined ? undefined : notes.read(highest.note),
        });
      }),
    );
  }

  #open(node: SimNode, term: number, votes: readonly Vote[], tries: number): void {
    const { world } = this.#sim;
    if (this.#newestTerm().term >= term || tries > 3) {
      this.#isAppointing = false;
      return;
    }
    node.run(() => openTerm(node, term, votes));
    world.after(againMs / 2, () => this.#open(node, term, votes, tries + 1));
  }

  /** The newest term that any honest node holds. */
  #newestTerm(): { readonly term: number; readonly gateway: number } {
    let newest = { term: 0, gateway: 0 };
    for (const node of this.#sim.nodes) {
      if (node.isLiar) continue;
      const own = node.disks.ledger.content.rows.at(-1)?.facts.terms.at(-1);
      if (own !== undefined && own.term > newest.term) newest = own;
    }
    return newest;
  }

  /** Those in force, as far as it is final. */
  #cities(): readonly number[] {
    const { checker, founded } = this.#sim;
    const row = checker.final.at(-1) ?? founded;
    const size = row.index + 1;
    return rulesOf(row.facts, size, size).flatMap((rule) => rule.cities.map(cityOf));
  }

  /** Cities that some rule between what is final and what is included counts. */
  #electors(): readonly number[] {
    const ledgers = this.#sim.nodes.filter(({ isLiar }) => !isLiar);
    const included = ledgers.flatMap(({ disks }) => {
      const row = disks.ledger.content.rows.at(-1);
      if (row === undefined) return [];
      const size = row.index + 1;
      return rulesOf(row.facts, size, size).flatMap((rule) => rule.cities.map(cityOf));
    });
    return [...new Set([...this.#cities(), ...included])];
  }

  /** An honest gateway, best one other than this one, of a city in force. */
  #another(gateway: number): SimNode {
    const { nodes, world, checker } = this.#sim;
    const cities = this.#cities();
    const honest = nodes.filter(({ city, isLiar }) => !isLiar && cities.includes(city));
    const others = honest.filter(({ city }) => city !== gateway);
    const isWell = ({ process }: SimNode): boolean =>
      process !== undefined &&
      process.gateway.halted === undefined &&
      process.replica.fault === undefined &&
      process.replica.finalSize >= checker.final.length;
    const canSeal = ({ process }: SimNode): boolean =>
      process !== undefined && process.gateway.halted === undefined;
    const isUp = ({ process }: SimNode): boolean => process !== undefined;
    const best = [
      others.filter(isWell),
      honest.filter(isWell),
      others.filter(canSeal),
      honest.filter(canSeal),
      others.filter(isUp),
      honest,
    ];
    return world.random.pick(best.find((some) => some.length > 0) as SimNode[]);
  }

  /** `causeway ledger recover`, some time after a gateway stopped sealing. */
  sawHalted(node: SimNode, _code: string): void {
    const { world } = this.#sim;
    world.after(world.random.between(1000, 5000), () => this.recover(node));
  }

  /** The own chain is loaded from the ledger; it goes on in a new epoch once its tip is final. */
  recover(node: SimNode): void {
    const { world, rules, checker } = this.#sim;
    const replica = node.process?.replica;
    if (node.process !== undefined && node.process.gateway.halted === undefined) return;
    if (replica === undefined || replica.fault !== undefined) {
      world.after(3000, () => this.recover(node));
      return;
    }
    const own = replica.rows.filter(({ batch }) => batch.gateway === node.city);
    const tip = own.at(-1);
    if (tip !== undefined && tip.index >= replica.finalSize) {
      world.after(1000, () => this.recover(node));
      return;
    }
    const before = this.#recoveries.get(node) ?? 0;
    this.#recoveries.set(node, before + 1);
    // A chain of which the ledger has no leaf begins anew.
    const epoch = rules.epochAfterLoss && tip !== undefined ? before + 1 : (tip?.batch.epoch ?? 0);
    world.note(`${node.name} is recovered, epoch ${epoch}`);
    const batches = own.map(({ batch }) => batch);
    node.crash({ isPowerLost: false, restart: false });
    node.disks.journal.replace({ batches, finalCount: batches.length, epoch });
    checker.recovered(node, tip !== undefined);
    node.start();
  }
}
