import type { Rules } from "./mutants.ts";
import { fair } from "./network.ts";
import type { SimNode } from "./node.ts";
import { Liar } from "./liar.ts";
import { emptyLedger } from "./replica.ts";
import { emptyWitness, type WitnessContent } from "./witness.ts";
import { Sim, type SimConfig } from "./sim.ts";
import { violationOf } from "./world.ts";

export interface Outcome {
  readonly seed: number;
  readonly violation: string | undefined;
  readonly logHash: string;
  readonly lines: readonly string[];
  readonly finalSize: number;
}

const faultMs = 30_000;
/** Within this after the last fault everything sealed is final. */
const calmMs = 90_000;
const recklessMs = 20_000;
/** Records go on coming for so long after the last fault. */
const workMs = 3000;

export const fourCities: SimConfig = {
  cities: 4,
  founding: 4,
  quorum: 3,
  faults: 1,
  heartbeatMs: 2000,
  skewMs: 2500,
  inclusionBoundMs: 5000,
  maxStalenessMs: 10_000,
  quietMs: 600,
  witnessWaitMs: 2000,
};
/** Two of the four cities give way to two others. */
export const sixCities: SimConfig = { ...fourCities, cities: 6 };
const twoCities: SimConfig = { ...fourCities, cities: 2, founding: 2, quorum: 2, faults: 0 };

/** What a seed makes happen, until a rule is seen broken or everything has become final. */
export function runSchedule(
  seed: number,
  options: { readonly rules?: Rules; readonly isTold?: boolean } = {},
): Outcome {
  const sim = new Sim(seed, configOf(seed), options);
  const violation = violationOf(() => new Schedule(sim, seed % 5 === 4).run());
  const { world } = sim;
  return {
    seed,
    violation,
    logHash: world.logHash,
    lines: world.lines,
    finalSize: sim.checker.final.length,
  };
}

function configOf(seed: number): SimConfig {
  if (seed % 8 === 7) return twoCities;
  return seed % 8 === 5 ? sixCities : fourCities;
}

type Trouble = (schedule: Schedule) => void;

class Schedule {
  readonly sim: Sim;
  #grants = 0;
  #isCalm = false;
  hasLostWitness = false;
  hasLostLedger = false;
  /** More is lost than a network recovers from: what it does not lose then is its one history. */
  readonly isReckless: boolean;
  witnessCopy: Map<SimNode, WitnessContent> | undefined;

  constructor(sim: Sim, isReckless: boolean) {
    this.sim = sim;
    this.isReckless = isReckless;
  }

  run(): void {
    const { world, nodes, checker } = this.sim;
    for (const node of nodes) world.after(world.random.int(500), () => node.start());
    this.#work();
    this.#greet();
    const { random } = world;
    const isChanging = this.sim.config.cities > this.sim.config.founding;
    if (this.sim.config.faults > 0 && random.chance(isChanging ? 0.7 : 0.4)) {
      const city = isChanging || random.chance(0.6) ? 0 : random.int(nodes.length);
      this.sim.liar = new Liar(this.sim, city);
      world.note(`city${city} lies`);
    }
    const kinds = troubles.filter(() => random.chance(0.4));
    if (isChanging) {
      world.after(random.between(1000, faultMs - 5000), () => membership(this));
    }
    const count = random.between(2, 12);
    for (let i = 0; i < count && kinds.length > 0; i++) {
      const trouble = random.pick(kinds);
      world.after(random.int(faultMs), () => trouble(this));
    }
    world.runUntil(faultMs);
    this.#calm();
    for (let ms = faultMs + 1000; ; ms += 1000) {
      world.runUntil(ms);
      const missing = ms < faultMs + workMs ? "work" : checker.missing();
      if (missing === undefined) return;
      if (this.#mayStand() && ms >= faultMs + recklessMs) return;
      if (ms >= faultMs + calmMs) checker.fail(`when all is well again: ${missing}`);
    }
  }

  /**
   * Whether no progress is owed: more is lost than a network recovers from, its first sequencer never let
   * it be founded, the cities chose the liar themselves, or half of the cities change
   * between two final sizes, so that the start of a term in between may not be told.
   */
  #mayStand(): boolean {
    const { config, checker, liar } = this.sim;
    const isFounded = checker.final.length > 0;
    const isLiarAppointed = (liar?.node.logKeys.size ?? 0) > (liar?.city === 0 ? 1 : 0);
    if (isLiarAppointed) return true;
    return this.isReckless || config.cities > config.founding || !isFounded;
  }

  pickNode(): SimNode {
    return this.sim.world.random.pick(this.sim.nodes);
  }

  /** Gateways have something to record all the time. */
  #work(): void {
    const { world, nodes } = this.sim;
    const { random } = world;
    world.after(random.between(50, 1500), () => {
      if (world.nowMs > faultMs + workMs) return;
      const node = random.pick(nodes);
      if (random.chance(0.08)) {
        const grant = this.#grants++;
        node.run(() => node.process?.gateway.put({ kind: "revocation", grant }));
      } else this.#call(node, Math.max(0, this.#grants - 2) + random.int(4));
      this.#work();
    });
  }

  /** A call that is let through is answered some time later. */
  #call(node: SimNode, grant: number): void {
    const { random } = this.sim.world;
    const decidedAtMs = node.clockMs;
    if (node.process?.gateway.permits(grant) !== true) return;
    node.after(random.chance(0.3) ? random.int(3000) : random.int(50), () =>
      node.process?.gateway.put({ kind: "receipt", grant, decidedAtMs }),
    );
  }

  #greet(): void {
    this.sim.world.after(1000, () => {
      this.sim.peers.greet();
      this.#greet();
    });
  }

  #calm(): void {
    const { network, nodes, world } = this.sim;
    this.#isCalm = true;
    world.note("calm");
    world.after(3000, () => this.sim.operator.look());
    network.heal();
    network.weather = fair;
    for (const node of nodes) {
      node.clockOffsetMs = 0;
      node.stepsToLive = undefined;
      node.isHeld = false;
      for (const disk of Object.values(node.disks)) disk.fault = undefined;
      node.start();
    }
  }

  /** For some time, unless the faults are over before. */
  during(ms: number, undo: () => void): void {
    this.sim.world.after(ms, () => {
      if (!this.#isCalm) undo();
    });
  }
}

const weather: Trouble = (schedule) => {
  const { network, world } = schedule.sim;
  const { random } = world;
  network.weather = {
    loss: random.pick([0, 0.05, 0.3]),
    duplication: random.pick([0, 0.1, 0.5]),
    slow: random.pick([0, 0.1, 0.5]),
    slowMs: random.pick([200, 1500, 5000]),
  };
  world.note("the weather changes");
  schedule.during(random.between(500, 10_000), () => {
    network.weather = fair;
  });
};

const partition: Trouble = (schedule) => {
  const { network, nodes, world } = schedule.sim;
  const { random } = world;
  const isOneWay = random.chance(0.3);
  const side = nodes.filter(() => random.chance(0.4));
  world.note(`cut off: ${side.map(({ name }) => name).join(" ")}`);
  for (const one of side) {
    for (const other of nodes) {
      if (side.includes(other)) continue;
      network.cut(one, other);
      if (!isOneWay) network.cut(other, one);
    }
  }
  schedule.during(random.between(500, 14_000), () => {
    network.heal();
    world.note("the wires are whole");
  });
};

const crash: Trouble = (schedule) => {
  const node = schedule.pickNode();
  node.crash({ isPowerLost: schedule.sim.world.random.chance(0.5) });
};

const kill: Trouble = (schedule) => {
  schedule.pickNode().stepsToLive = schedule.sim.world.random.between(1, 12);
};

const down: Trouble = (schedule) => {
  const { world } = schedule.sim;
  const node = schedule.pickNode();
  node.isHeld = true;
  node.crash({ isPowerLost: world.random.chance(0.5), restart: false });
  schedule.during(world.random.between(1000, 15_000), () => {
    node.isHeld = false;
    node.start();
  });
};

const failingDisk: Trouble = (schedule) => {
  const { random } = schedule.sim.world;
  const node = schedule.pickNode();
  const disk = random.pick(Object.values(node.disks));
  disk.fault = random.pick(["write fails", "fsync fails"]);
  schedule.sim.world.note(`${node.name}: the next ${disk.fault}`);
  if (random.chance(0.5)) {
    schedule.during(random.between(500, 5000), () => node.crash({ isPowerLost: true }));
  }
};

const clockStep: Trouble = (schedule) => {
  const { world, checker } = schedule.sim;
  const node = schedule.pickNode();
  node.clockOffsetMs = world.random.between(-6000, 6000);
  checker.clockErrorMs = 12_000;
  world.note(`${node.name}: the clock is off by ${node.clockOffsetMs}`);
  schedule.during(world.random.between(500, 8000), () => {
    node.clockOffsetMs = 0;
  });
};

const lostJournal: Trouble = (schedule) => {
  const { sim } = schedule;
  const { world, checker } = sim;
  const node = schedule.pickNode();
  // One journal after another: what is in no journal and on no ledger is nowhere.
  const isOther = sim.config.faults === 0 && schedule.hasLostLedger;
  if ((checker.setBack.size > 0 || isOther) && !schedule.isReckless) return;
  // A chain of which the ledger has no leaf has nothing that a new epoch could rest on.
  const hasLeaf = checker.final.some(({ batch }) => batch.gateway === node.city);
  if (!hasLeaf && !schedule.isReckless) return;
  const { journal } = node.disks;
  const count = world.random.int(journal.content.batches.length + 1);
  const content = {
    ...journal.content,
    batches: journal.content.batches.slice(0, count),
    finalCount: Math.min(count, journal.content.finalCount),
  };
  world.note(`${node.name}: the journal is set back to ${count} batches`);
  node.crash({ isPowerLost: false });
  checker.journalSetBack(node);
  journal.replace(content);
};

/** What was the ledger of a machine comes from the others again, or is an old copy of its own. */
const lostLedger: Trouble = (schedule) => {
  const { world, checker } = schedule.sim;
  const { liar } = schedule.sim;
  const isMuch =
    // Where no city may be at fault, what a witness cosigned alone is gone with its ledger.
    schedule.sim.config.faults === 0 ||
    liar !== undefined ||
    schedule.hasLostWitness ||
    schedule.hasLostLedger ||
    checker.setBack.size > 0;
  if (isMuch && !schedule.isReckless) return;
  schedule.hasLostLedger = true;
  const { nodes } = schedule.sim;
  const sequencer = nodes.find(({ process }) => process?.role.kind === "sequencer");
  const isSequencer = sequencer !== undefined && world.random.chance(0.5);
  const node = isSequencer ? sequencer : schedule.pickNode();
  const { ledger } = node.disks;
  const { rows, frozen } = ledger.content;
  const isRecent = world.random.chance(0.5);
  const least = isRecent ? Math.max(1, rows.length - 3) : 1;
  const count = world.random.between(least, Math.max(1, rows.length));
  const kept = frozen.filter(({ size }) => size <= count);
  world.note(`${node.name}: the ledger is set back to ${count} leaves`);
  node.crash({ isPowerLost: false });
  checker.ledgerSetBack(node);
  const heartbeat = kept.at(-1);
  ledger.replace({ ...emptyLedger, rows: rows.slice(0, count), frozen: kept, heartbeat });
};

/** A city without its witness's state counts as lying: at most one, and none beside a liar. */
const lostWitness: Trouble = (schedule) => {
  const { sim } = schedule;
  if (sim.liar !== undefined || sim.config.faults === 0 || schedule.hasLostWitness) return;
  if (schedule.hasLostLedger && !schedule.isReckless) return;
  schedule.hasLostWitness = true;
  const node = schedule.pickNode();
  const { witness } = node.disks;
  const old = schedule.witnessCopy?.get(node);
  sim.world.note(
    `${node.name}: the witness's state is ${old === undefined ? "lost" : "an old one"}`,
  );
  node.crash({ isPowerLost: false });
  witness.replace(old ?? emptyWitness);
  sim.checker.witnessSetBack(node);
};

const copyWitness: Trouble = (schedule) => {
  const { nodes } = schedule.sim;
  schedule.witnessCopy = new Map(nodes.map((node) => [node, node.disks.witness.content]));
};

const membership: Trouble = ({ sim }) => {
  const { nodes, world, config } = sim;
  if (config.cities === config.founding) return;
  const cities = [0, config.founding - 1, config.founding, config.founding + 1];
  const node = world.random.pick(nodes);
  world.note(`${node.name} carries the votes on other cities`);
  const { quorum, faults } = config;
  node.run(() => node.process?.gateway.put({ kind: "membership", cities, quorum, faults }));
};

const appoint: Trouble = ({ sim }) => {
  if (sim.liar !== undefined && sim.world.random.chance(0.4)) sim.operator.appoint(sim.liar.node);
  sim.operator.appoint(sim.world.random.pick(sim.nodes));
};

/** The sequencer's machine is gone for long, and another takes its place. */
const succession: Trouble = (schedule) => {
  const { sim } = schedule;
  const [first, ...others] = sim.world.random.chance(0.7) ? sim.nodes : [...sim.nodes].reverse();
  if (first === undefined) return;
  first.isHeld = true;
  first.crash({ isPowerLost: true, restart: false });
  sim.operator.appoint(sim.world.random.pick(others));
};

const troubles: readonly Trouble[] = [
  weather,
  weather,
  partition,
  partition,
  crash,
  kill,
  down,
  failingDisk,
  clockStep,
  lostJournal,
  lostLedger,
  lostWitness,
  copyWitness,
  appoint,
  appoint,
  succession,
];
