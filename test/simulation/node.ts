import { Disk, DiskFailed } from "./disk.ts";
import { SimGateway } from "./gateway.ts";
import { emptyJournal, type JournalContent } from "./journal.ts";
import type { LogKey } from "./notes.ts";
import { emptyLedger, type LedgerContent, SimReplica } from "./replica.ts";
import { createRole, type Role, sequencedTerm } from "./role.ts";
import type { Sim } from "./sim.ts";
import { emptyWitness, SimWitness, type WitnessContent } from "./witness.ts";
import { ProcessEnded } from "./world.ts";

/** Milliseconds after which a process that ended is started again by its supervisor. */
const restartMs = [200, 1500] as const;

/** What runs on a city's machine, from one start to the next end. */
export interface Process {
  readonly replica: SimReplica;
  readonly witness: SimWitness;
  readonly gateway: SimGateway;
  role: Role;
}

/** The machine of one city: its disks and keys stay, its process comes and goes. */
export class SimNode {
  readonly sim: Sim;
  readonly city: number;
  readonly name: string;
  readonly disks: {
    readonly ledger: Disk<LedgerContent>;
    readonly witness: Disk<WitnessContent>;
    readonly journal: Disk<JournalContent>;
  };
  /** Log keys by term; the key folder is not on the disks that get lost. */
  readonly logKeys: Map<number, LogKey> = new Map<number, LogKey>();
  /** Number of the city's witness key. */
  witnessKey = 0;
  clockOffsetMs = 0;
  incarnation = 0;
  process: Process | undefined;
  /** The term of which this process knows that it has ended. */
  endedTerm = -1;
  /** Durable steps until the process is killed in the middle of one. */
  stepsToLive: number | undefined;
  /** An operator keeps it down. */
  isHeld = false;

  constructor(sim: Sim, city: number) {
    this.sim = sim;
    this.city = city;
    this.name = `city${city}`;
    this.disks = {
      ledger: new Disk(emptyLedger),
      witness: new Disk(emptyWitness),
      journal: new Disk(emptyJournal),
    };
  }

  get isUp(): boolean {
    return this.process !== undefined;
  }

  get isLiar(): boolean {
    return this.sim.liar?.city === this.city;
  }

  /** Unix milliseconds by the own clock. */
  get clockMs(): number {
    return 1_800_000_000_000 + this.sim.world.nowMs + this.clockOffsetMs;
  }

  start(): void {
    if (this.process !== undefined || this.isHeld) return;
    this.incarnation += 1;
    this.endedTerm = -1;
    const { rules, world } = this.sim;
    for (const disk of Object.values(this.disks))
      disk.open({ isCheckpointed: rules.checkpointAtStart });
    world.note(`${this.name} starts`);
    const replica = new SimReplica(this);
    const witness = new SimWitness(this, replica);
    const gateway = new SimGateway(this, replica, witness);
    const role = createRole(this, replica, witness);
    this.process = { replica, witness, gateway, role };
    this.run(() => {
      witness.start();
      role.start();
      gateway.start();
    });
  }

  /** The process ends between two steps; with the power goes what was not on the disk. */
  crash(options: { readonly isPowerLost: boolean; readonly restart?: boolean }): void {
    if (this.process === undefined) return;
    const { world, network } = this.sim;
    world.note(`${this.name} ends${options.isPowerLost ? " with its power" : ""}`);
    this.process = undefined;
    this.incarnation += 1;
    this.stepsToLive = undefined;
    network.dropWires(this);
    if (options.isPowerLost) for (const disk of Object.values(this.disks)) disk.losePower();
    this.sim.checker.ended(this);
    if (options.restart === false) return;
    world.after(world.random.between(...restartMs), () => this.start());
  }

  /** Runs what a process does; where it fails or is killed, it ends. */
  run(work: () => void): void {
    try {
      work();
    } catch (error) {
      if (error instanceof ProcessEnded || error instanceof DiskFailed) {
        this.crash({
          isPowerLost: error instanceof ProcessEnded && this.sim.world.random.chance(0.5),
        });
        return;
      }
      throw error;
    }
  }

  /** As `run`, unless the process is another than `incarnation` by now. */
  runIf(incarnation: number | undefined, work: () => void): void {
    if (incarnation !== undefined && incarnation !== this.incarnation) return;
    this.run(work);
  }

  /** The newest term may be another gateway's, or have become this one's. */
  lookAtRole(): void {
    const { process } = this;
    if (process === undefined) return;
    const term = sequencedTerm(this, process.replica);
    if (term === process.role.term) {
      process.role.lookAgain?.();
      return;
    }
    process.role.close();
    process.role = createRole(this, process.replica, process.witness);
    process.role.start();
  }

  after(delayMs: number, work: () => void): () => void {
    const { incarnation } = this;
    return this.sim.world.after(delayMs, () => {
      if (this.incarnation === incarnation && this.isUp) this.run(work);
    });
  }

  /** A place where a process may be killed. */
  step(what: string): void {
    if (this.stepsToLive === undefined) return;
    this.stepsToLive -= 1;
    if (this.stepsToLive > 0) return;
    this.stepsToLive = undefined;
    this.sim.world.note(`${this.name} is killed ${what}`);
    throw new ProcessEnded(what);
  }
}
