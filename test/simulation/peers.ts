import type { SimBatch } from "./history.ts";
import type { SimNode } from "./node.ts";
import type { Sim } from "./sim.ts";

/**
 * The links between gateways: each keeps the headers that others proved to it until they are final, and
 * shows the newest one to its gateway on a new link.
 */
export class Peers {
  readonly #sim: Sim;
  /** Headers by holder, in the memory of its process. */
  readonly #held = new Map<SimNode, Map<number, SimBatch>>();

  constructor(sim: Sim) {
    this.#sim = sim;
  }

  hold(holder: SimNode, batch: SimBatch): void {
    const from = this.#sim.nodes[batch.gateway] as SimNode;
    if (!holder.isUp || this.#sim.network.isCut(from, holder)) return;
    const held = this.#held.get(holder) ?? new Map<number, SimBatch>();
    const newest = held.get(batch.gateway);
    const isNewer =
      newest === undefined ||
      batch.epoch > newest.epoch ||
      (batch.epoch === newest.epoch && batch.seq > newest.seq);
    if (isNewer) held.set(batch.gateway, batch);
    this.#held.set(holder, held);
  }

  forget(holder: SimNode): void {
    this.#held.delete(holder);
  }

  /** Every link says Hello now and then. */
  greet(): void {
    const { nodes, network } = this.#sim;
    for (const [holder, held] of this.#held) {
      for (const batch of held.values()) {
        const owner = nodes[batch.gateway] as SimNode;
        if (!holder.isUp || network.isCut(holder, owner)) continue;
        owner.run(() => owner.process?.gateway.shown(batch));
      }
    }
    for (const node of nodes) {
      const { process } = node;
      if (process === undefined) continue;
      // A replica shows the own chain's newest leaf as well.
      const tip = process.replica.rows.findLast(({ batch }) => batch.gateway === node.city);
      if (tip !== undefined) node.run(() => this.#compare(node, tip.batch));
    }
  }

  #compare(node: SimNode, tip: SimBatch): void {
    const gateway = node.process?.gateway;
    if (gateway === undefined || gateway.halted !== undefined) return;
    if (gateway.journal.batches.every(({ id }) => id !== tip.id))
      gateway.halt("JOURNAL_ROLLED_BACK");
  }
}
