/** What a seed makes happen between three gateways, until a rule is seen broken or all is quiet and final. */
import type { Finding } from "../../src/audit/findings.ts";
import { type ReplayResult, replayLedger } from "../../src/audit/replay.ts";
import { statusRecord } from "../support/ledger.ts";
import { fastVerifier, verifyOnce } from "./exchange-crypto.ts";
import type { SimGateway } from "./exchange-gateway.ts";
import type { ExchangeRules } from "./exchange-rules.ts";
import { missingIn } from "./exchange-settled.ts";
import { judgeFindings, pickLies } from "./exchange-lies.ts";
import { ExchangeSim } from "./exchange-sim.ts";
import {
  earlyEndS,
  type SimGrant,
  type SimMethod,
  theUniverse,
  type Universe,
} from "./exchange-universe.ts";

export interface ExchangeOutcome {
  readonly seed: number;
  readonly violation: string | undefined;
  readonly logHash: string;
  readonly lines: readonly string[];
  readonly sim: ExchangeSim;
}

const faultMs = 40_000;
/** Within this after the last fault everything is closed and final. */
const calmMs = 240_000;
/** Links are up again, and replicas have caught up. */
const probeAfterMs = 6000;
const heartbeatMs = 5000;
/** The auditor gives a closing this long: the staleness, two inclusions and the skew. */
const overdueMs = 1_030_000;

export interface ExchangeOptions {
  readonly rules?: ExchangeRules;
  readonly isTold?: boolean;
}

export interface LyingOutcome extends ExchangeOutcome {
  /** What the liar did. */
  readonly kind: string;
  /** It has lied, in a way that cannot pass without a trace. */
  readonly hasLied: boolean;
  /** What says that it lied. */
  readonly convictions: readonly string[];
}

/** A schedule in which one gateway lies about its part of the exchanges; all others are honest. */
export async function runLyingSchedule(
  seed: number,
  options: ExchangeOptions = {},
): Promise<LyingOutcome> {
  const sim = new ExchangeSim(seed, await theUniverse(), options);
  const liar = sim.world.random.chance(0.5) ? sim.provider : sim.world.random.pick(sim.consumers);
  const lies = pickLies(liar);
  liar.lies = lies;
  sim.world.note(`${liar.name} lies: ${lies.kind}`);
  const schedule = new ExchangeSchedule(sim);
  await schedule.run();
  await schedule.waitUntilOverdue(sim.gateways.filter((gateway) => gateway !== liar));
  const { checker, world } = sim;
  const { findings } = await audit(sim);
  const { convictions, wrongly } = judgeFindings(findings, liar.id);
  const [first] = wrongly;
  if (first !== undefined)
    checker.fail(`the auditor convicts the honest: ${describeFinding(first)}`);
  return {
    seed,
    violation: checker.violation,
    logHash: world.logHash,
    lines: world.lines,
    sim,
    kind: lies.kind,
    hasLied:
      (lies.count > 0 && lies.mayBeIgnored !== true) ||
      [...lies.told].some((attempt) => checker.attempts.hasJudged(attempt)),
    convictions: [...convictions, ...checker.doubts],
  };
}

/** Nothing more follows from what has happened: ticks come when all that waits for promises has run. */
const settled = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

export async function runExchangeSchedule(
  seed: number,
  options: ExchangeOptions = {},
): Promise<ExchangeOutcome> {
  const sim = new ExchangeSim(seed, await theUniverse(), options);
  await new ExchangeSchedule(sim).run();
  const { checker, world } = sim;
  if (checker.violation === undefined) {
    const { findings, attempts } = await audit(sim);
    const [first] = findings;
    if (first !== undefined) checker.fail(`the auditor finds ${describeFinding(first)}`);
    if (attempts.open > 0) checker.fail(`the auditor finds ${attempts.open} attempts open`);
  }
  const { violation } = checker;
  return { seed, violation, logHash: world.logHash, lines: world.lines, sim };
}

/** The auditor's replay of the schedule's whole ledger. */
export async function audit({ ledger, universe }: ExchangeSim): Promise<ReplayResult> {
  return replayLedger(iterate(ledger.entries), {
    networkId: universe.network.id,
    verifier: fastVerifier,
    depth: "full",
    engine: universe.engine,
    verifyBatch: verifyOnce,
  });
}

export function describeFinding({
  code,
  index,
  position,
  gateway,
  blame,
  fields,
}: Finding): string {
  const where = `${index}/${position ?? ""} of ${gateway ?? ""}`;
  return `${code} at ${where} ${JSON.stringify(fields)} ${JSON.stringify(blame ?? "")}`;
}

async function* iterate<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

type Trouble = (schedule: ExchangeSchedule) => void;

export class ExchangeSchedule {
  readonly sim: ExchangeSim;

  constructor(sim: ExchangeSim) {
    this.sim = sim;
  }

  async run(): Promise<void> {
    const { world, gateways } = this.sim;
    const { random } = world;
    for (const gateway of gateways) world.after(random.int(300), () => gateway.start());
    this.#cosign();
    this.#calls();
    const kinds = troubles.filter(() => random.chance(0.5));
    if (random.chance(0.08)) world.after(random.between(500, 5000), () => leaveBehind(this));
    if (random.chance(0.3)) this.#streamsAtTheEnd();
    const count = random.between(0, 10);
    for (let i = 0; i < count && kinds.length > 0; i++) {
      const trouble = random.pick(kinds);
      world.after(random.between(500, faultMs), () => trouble(this));
    }
    await world.runTurnsUntil(faultMs, settled);
    this.#calm();
    const { checker } = this.sim;
    for (let ms = faultMs + 2000; checker.violation === undefined; ms += 2000) {
      await world.runTurnsUntil(ms, settled);
      const missing = missingIn(this.sim);
      if (missing === undefined) return;
      if (ms >= faultMs + calmMs) checker.fail(`when all is well again: ${missing}`);
    }
  }

  /** What was to be closed is overdue by the ledger's own times: the honest go on, and so does the ledger. */
  async waitUntilOverdue(honest: readonly SimGateway[]): Promise<void> {
    const { world } = this.sim;
    await world.runTurnsUntil(world.nowMs + overdueMs, settled);
    for (const { process, nowMs: decidedAtMs } of honest) {
      const queued = { kind: "evidence", record: statusRecord(), decidedAtMs, states: [] } as const;
      process?.journal.seal(queued).catch(() => undefined);
    }
    await world.runTurnsUntil(world.nowMs + 10_000, settled);
  }

  pickGateway(): SimGateway {
    return this.sim.world.random.pick(this.sim.gateways);
  }

  /** Agency systems call, in groups and alone. */
  #calls(): void {
    const { world, consumers, universe } = this.sim;
    const { random } = world;
    world.after(random.between(20, 12_000), () => {
      if (world.nowMs > faultMs) return;
      const consumer = random.pick(consumers);
      for (let i = random.chance(0.3) ? random.between(2, 4) : 1; i > 0; i--) {
        consumer.process?.call(random.pick(universe.methods));
      }
      this.#calls();
    });
  }

  /** Streams that are open when the grant of theirs ends. */
  #streamsAtTheEnd(): void {
    const { world, consumers, universe } = this.sim;
    const consumer = consumers[1] as SimGateway;
    for (let i = 3; i > 0; i--) {
      world.after(world.random.between(earlyEndS * 1000 - 3000, earlyEndS * 1000 + 500), () => {
        consumer.process?.call(world.random.pick(streamsOf(universe)));
      });
    }
  }

  #cosign(): void {
    const { world, ledger, universe } = this.sim;
    world.after(world.random.between(100, 900), () => {
      ledger.cosign(universe.startMs + world.nowMs, heartbeatMs);
      this.#cosign();
    });
  }

  #calm(): void {
    const { sim } = this;
    sim.isCalm = true;
    sim.world.note("calm");
    sim.ledger.isStalled = false;
    for (const gateway of sim.gateways) {
      gateway.isDeaf = false;
      gateway.isSlow = false;
      gateway.process?.journal.lift("CLOCK_OFF");
      gateway.start();
      gateway.follow();
    }
    if (!sim.isLying) sim.world.after(probeAfterMs, () => this.#probe());
  }

  /** Once all is well, a call gets an end without its caller's giving up, also where the answer is large. */
  #probe(): void {
    const { consumers, universe, world } = this.sim;
    const reading = universe.methods.filter(
      ({ client, server, writes }) => !client && !server && !writes,
    );
    world.random.pick(consumers).process?.call(world.random.pick(reading), true);
    this.sim.isProbed = true;
  }

  /** For some time, unless the faults are over before. */
  during(ms: number, undo: () => void): void {
    this.sim.world.after(ms, () => {
      if (!this.sim.isCalm) undo();
    });
  }
}

const crash: Trouble = (schedule) => {
  const gateway = schedule.pickGateway();
  gateway.crash();
  // A machine that is down for longer than a batch may take to be included is late for a reason.
  schedule.during(schedule.sim.world.random.between(20, 5000), () => gateway.start());
};

const shutDown: Trouble = (schedule) => {
  const gateway = schedule.pickGateway();
  gateway.process?.provider.interruptAll();
  schedule.sim.world.note(`${gateway.name} shuts down`);
  schedule.during(schedule.sim.world.random.between(1, 200), () => {
    gateway.crash();
    schedule.during(300, () => gateway.start());
  });
};

const breakLink: Trouble = ({ sim }) => {
  const links = [...sim.links];
  if (links.length === 0) return;
  sim.world.note("a link breaks");
  sim.world.random.pick(links).break();
};

const breakStream: Trouble = ({ sim }) => {
  const streams = [...sim.links].flatMap((link) => [...link.streams]);
  if (streams.length === 0) return;
  sim.world.note("a stream breaks");
  sim.world.random.pick(streams).break();
};

function streamsOf({ methods }: Universe): readonly SimMethod[] {
  return methods.filter(({ client, server }) => client && server);
}

/** Revoked while streams are open, of which a slow disk takes long to acknowledge what came. */
const revokeStreams: Trouble = (schedule) => {
  const { consumers, universe, world } = schedule.sim;
  const { random } = world;
  const consumer = random.pick(consumers);
  consumer.isSlow = true;
  schedule.during(6000, () => {
    consumer.isSlow = false;
  });
  for (let i = random.between(2, 4); i > 0; i--) {
    consumer.process?.call(random.pick(streamsOf(universe)));
  }
  const grant = universe.grants.findLast(
    (one) => consumer.id.startsWith(one.consumer) && one.service.endsWith("/streams"),
  );
  schedule.during(random.between(300, 3000), () => takeAway(schedule.sim, grant));
};

const revoke: Trouble = ({ sim }) => takeAway(sim, sim.world.random.pick(sim.universe.grants));

function takeAway(sim: ExchangeSim, like: SimGrant | undefined): void {
  if (like === undefined) return;
  const { grants } = sim.universe;
  const { consumer, service } = like;
  // The newest is the one that calls rest on.
  const grant = grants.findLast(
    (one) =>
      one.consumer === consumer && one.service === service && !sim.checker.isRevoked(one.jti),
  );
  if (grant === undefined) return;
  sim.world.note(`grant ${grant.jti} is revoked`);
  sim.provider.process?.revoke(grant);
}

/** Revoked, and gone before the ledger has it: what the journal holds goes on at the next start. */
const revokeAndCrash: Trouble = (schedule) => {
  const { ledger, provider, world } = schedule.sim;
  revoke(schedule);
  if (world.random.chance(0.5)) stall(schedule);
  else if (!ledger.isStalled) deafen(schedule, provider, world.random.between(500, 36_000));
  schedule.during(world.random.between(2, 60), () => {
    provider.crash();
    schedule.during(world.random.between(5, 50), () => provider.start());
  });
};

const stall: Trouble = (schedule) => {
  const { ledger, world } = schedule.sim;
  if (ledger.isStalled) return;
  ledger.isStalled = true;
  world.note("the ledger stands still");
  schedule.during(world.random.between(1000, 36_000), () => {
    ledger.isStalled = false;
  });
};

function deafen(schedule: ExchangeSchedule, gateway: SimGateway, ms: number): void {
  gateway.isDeaf = true;
  schedule.sim.world.note(`${gateway.name} hears nothing of the ledger`);
  schedule.during(ms, () => {
    gateway.isDeaf = false;
    gateway.follow();
  });
}

const deaf: Trouble = (schedule) =>
  deafen(schedule, schedule.pickGateway(), schedule.sim.world.random.between(500, 36_000));

/** For longer than the services allow a replica to be behind, with calls at its end. */
const leaveBehind: Trouble = (schedule) => {
  const { sim } = schedule;
  const { consumers, provider, universe, world } = sim;
  deafen(schedule, provider, faultMs);
  for (let i = world.random.between(2, 6); i > 0; i--) {
    world.after(world.random.between(26_000, 34_000), () => {
      world.random.pick(consumers).process?.call(world.random.pick(universe.methods));
    });
  }
};

const slowDisk: Trouble = (schedule) => {
  const gateway = schedule.pickGateway();
  gateway.isSlow = true;
  schedule.sim.world.note(`the disk of ${gateway.name} is slow`);
  schedule.during(schedule.sim.world.random.between(500, 5000), () => {
    gateway.isSlow = false;
  });
};

/** A consumer is gone with answers under way to it, for so long that its provider saves that they wait, and is gone too. */
const leaveUnanswered: Trouble = (schedule) => {
  const { consumers, provider, universe, world } = schedule.sim;
  const { random } = world;
  const consumer = random.pick(consumers);
  for (let i = random.between(2, 4); i > 0; i--) {
    consumer.process?.call(random.pick(universe.methods));
  }
  schedule.during(random.between(60, 300), () => {
    consumer.crash();
    schedule.during(12_000, () => consumer.start());
    schedule.during(random.between(3000, 9000), () => {
      provider.crash();
      schedule.during(random.between(5, 50), () => provider.start());
    });
  });
};

/** Nothing is sealed for a while, as with a clock that is off. */
const halt: Trouble = (schedule) => {
  const gateway = schedule.pickGateway();
  const { process } = gateway;
  process?.journal.halt("CLOCK_OFF");
  schedule.sim.world.note(`${gateway.name} seals nothing`);
  schedule.during(schedule.sim.world.random.between(100, 3000), () =>
    process?.journal.lift("CLOCK_OFF"),
  );
};

const troubles: readonly Trouble[] = [
  crash,
  crash,
  shutDown,
  breakLink,
  breakLink,
  breakStream,
  revoke,
  revoke,
  revokeAndCrash,
  revokeStreams,
  stall,
  deaf,
  slowDisk,
  leaveUnanswered,
  halt,
];
