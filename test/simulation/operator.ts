import type { SimNode } from "./node.ts";
import type { Sim } from "./sim.ts";

/** The people behind the machines: they recover journals and appoint sequencers. */
export class Operator {
  readonly #sim: Sim;
  readonly #recoveries = new Map<SimNode, number>();

  constructor(sim: Sim) {
    this.#sim = sim;
  }

  sawStopped(_node: SimNode): void {}

  /** `causeway ledger recover`, some time after a gateway stopped sealing. */
  sawHalted(node: SimNode, code: string): void {
    const { world } = this.#sim;
    if (code === "SHUTTING_DOWN") return;
    world.after(world.random.between(2000, 8000), () => this.recover(node));
  }

  /** The own chain is loaded from the ledger; it goes on in a new epoch once its tip is final. */
  recover(node: SimNode): void {
    const { world, rules, checker } = this.#sim;
    const replica = node.process?.replica;
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
    const epoch = rules.epochAfterLoss ? before + 1 : (tip?.batch.epoch ?? 0);
    world.note(`${node.name} is recovered, epoch ${epoch}`);
    const batches = own.map(({ batch }) => batch);
    node.crash({ isPowerLost: false, restart: false });
    node.disks.journal.replace({ batches, finalCount: batches.length, epoch });
    checker.recovered(node);
    node.start();
  }
}
