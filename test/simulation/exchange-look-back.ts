/**
 * What a provider does about receipts without an answer at its start and beside its calls, driven as its process drives
 * it: a restart forgives nobody what was left unanswered.
 */
import type { UnacknowledgedReceipts } from "../../src/exchange/unacknowledged.ts";
import { restoreUnanswered, unansweredState } from "../../src/exchange/unanswered-receipts.ts";
import type { SimProcess } from "./exchange-process.ts";

/** Often enough that what is saved has moved on from its start, and seldom enough that it is mostly behind. */
const saveEveryMs = 4000;

export class LookBack {
  readonly #process: SimProcess;
  readonly #waits: UnacknowledgedReceipts;
  #saveAtMs = Infinity;

  constructor(process: SimProcess, waits: UnacknowledgedReceipts) {
    this.#process = process;
    this.#waits = waits;
  }

  start(): void {
    const { gateway, replica, sim } = this.#process;
    const { reader: journal } = gateway.disk;
    const { owed } = sim.checker;
    const atStart = gateway === sim.provider ? owed.unanswered(gateway) : [];
    const found = new Set<string>();
    const turn = (): Promise<void> => new Promise((resolve) => this.#process.after(0, resolve));
    const waits = {
      lookBackFrom: (batches: number) => this.#waits.lookBackFrom(batches),
      restored: (...receipt: Parameters<UnacknowledgedReceipts["restored"]>) => {
        found.add(receipt[1]);
        this.#waits.restored(...receipt);
      },
    };
    restoreUnanswered({ journal, replica, turn }, waits).then(
      () => {
        const missed = owed.unanswered(gateway, atStart).filter(({ handle }) => !found.has(handle));
        sim.checker.lookedBack(this.#process, missed.length);
        this.#saveAtMs = gateway.nowMs;
      },
      (error: unknown) => sim.checker.internalError(this.#process, error),
    );
  }

  /** After each final checkpoint. What is saved is durable a little later, unless the process ends before. */
  save(): void {
    const { gateway, sim } = this.#process;
    if (gateway.nowMs < this.#saveAtMs) return;
    this.#saveAtMs = gateway.nowMs + saveEveryMs;
    const { disk } = gateway;
    const change = unansweredState(disk.reader, this.#waits);
    if (change === undefined) return;
    this.#process.after(sim.world.random.between(1, 300), () => disk.save([change]));
  }
}
