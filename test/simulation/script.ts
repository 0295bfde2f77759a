/** Schedules that are written down instead of drawn: all is well but for what their steps do. */
import type { Content, SimBatch } from "./history.ts";
import { Liar, type Lies } from "./liar.ts";
import type { Rules } from "./mutants.ts";
import type { SimNode } from "./node.ts";
import { fourCities } from "./schedule.ts";
import { Sim, type SimConfig } from "./sim.ts";
import { violationOf } from "./world.ts";

/** What happens, and when; delays alone are left to chance. */
export interface Script {
  readonly config?: SimConfig;
  /** The first sequencer is its city's. */
  readonly lies?: Lies;
  readonly play: (stage: Stage) => void;
  /** What is seen broken without the rule. */
  readonly breaks: RegExp;
}

/** After it everybody follows, and nobody waits for anything. */
const settledMs = 3000;

/** Plays it with the delays that a seed gives; returns what was seen broken. */
export function playScript(
  script: Script,
  seed: number,
  options: { readonly rules?: Rules } = {},
): string | undefined {
  return violationOf(() => {
    const sim = new Sim(seed, script.config ?? fourCities, options);
    if (script.lies !== undefined) sim.liar = new Liar(sim, 0, script.lies);
    for (const node of sim.nodes) node.start();
    const stage = new Stage(sim);
    stage.await("batch 0 is final", 10_000, () => sim.checker.final.length > 0);
    stage.wait(settledMs);
    script.play(stage);
  });
}

export class Stage {
  readonly sim: Sim;

  constructor(sim: Sim) {
    this.sim = sim;
  }

  node(city: number): SimNode {
    return this.sim.nodes[city] as SimNode;
  }

  termAt(city: number): number | undefined {
    return this.node(city).process?.replica.term;
  }

  wait(ms: number): void {
    const { world } = this.sim;
    world.runUntil(world.nowMs + ms);
  }

  /** Goes on until it is so. That it is not so in time is a violation. */
  await(what: string, withinMs: number, isSo: () => boolean): void {
    for (let ms = 0; !isSo(); ms++) {
      if (ms >= withinMs) this.sim.checker.fail(`not in time: ${what}`);
      this.wait(1);
    }
  }

  /** It must not be so now. */
  never(what: string, isSo: boolean): void {
    if (isSo) this.sim.checker.fail(what);
  }

  /** Nothing passes between a city and the others any more, until the network heals. */
  isolate(city: number): void {
    const { network, nodes } = this.sim;
    const alone = this.node(city);
    for (const other of nodes) {
      if (other === alone) continue;
      network.cut(alone, other);
      network.cut(other, alone);
    }
  }

  heal(): void {
    this.sim.network.heal();
  }

  /** The cities appoint a gateway, once they are done with the appointment before. */
  appoint(city: number): void {
    const { operator } = this.sim;
    this.await("nobody is being appointed", 30_000, () => !operator.isAppointing);
    operator.appoint(this.node(city));
  }

  /** Has a gateway seal a record; returns its batch once that is durable. */
  seal(city: number, content: Content): SimBatch {
    let sealed: SimBatch | undefined;
    const node = this.node(city);
    node.run(() =>
      node.process?.gateway.put(content, (batch) => {
        sealed = batch;
      }),
    );
    this.await(`city${city} seals`, 5000, () => sealed !== undefined);
    return sealed as unknown as SimBatch;
  }

  /** A call whose answer comes at once, if it is let through. */
  call(city: number, grant: number): void {
    const node = this.node(city);
    const decidedAtMs = node.clockMs;
    if (node.process?.gateway.permits(grant) !== true) return;
    node.run(() => node.process?.gateway.put({ kind: "receipt", grant, decidedAtMs }));
  }

  /** Whether a city's witness has promised a checkpoint of the term. */
  hasCosignedIn(city: number, term: number): boolean {
    const { promises } = this.node(city).disks.witness.content;
    return [...promises.values()].some((head) => head.term === BigInt(term));
  }

  /** Whether a city's witness has promised so many leaves. */
  hasCosignedAt(city: number, size: number): boolean {
    const { promises } = this.node(city).disks.witness.content;
    return [...promises.values()].some((head) => head.size >= BigInt(size));
  }

  /** A machine is gone until it is restarted. */
  stop(city: number): void {
    const node = this.node(city);
    node.isHeld = true;
    node.crash({ isPowerLost: true, restart: false });
  }

  restart(city: number): void {
    const node = this.node(city);
    node.isHeld = false;
    node.start();
  }

  /** Whether a city's ledger has the batch. */
  holds(city: number, { id }: SimBatch): boolean {
    return this.node(city).process?.replica.rows.some(({ batch }) => batch.id === id) === true;
  }

  /** Whether a city takes the batch for final. */
  isFinalAt(city: number, { id }: SimBatch): boolean {
    const replica = this.node(city).process?.replica;
    return replica?.rows.slice(0, replica.finalSize).some(({ batch }) => batch.id === id) === true;
  }

  /** Goes on until all that are up take the batch for final. */
  finalise(batch: SimBatch): void {
    const nodes = this.sim.nodes.filter(({ isUp }) => isUp);
    const isFinal = (): boolean => nodes.every(({ city }) => this.isFinalAt(city, batch));
    this.await(`batch ${batch.id} is final`, 20_000, isFinal);
  }
}
