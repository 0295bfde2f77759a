/** The machine of one gateway: disks that stay, and one process after another. */
import { parseHex } from "../../src/base/bytes.ts";
import type { TestGateway } from "../support/network.ts";
import { HeldDisk } from "./exchange-held.ts";
import { JournalDisk } from "./exchange-journal.ts";
import type { Lies } from "./exchange-lies.ts";
import { SimProcess } from "./exchange-process.ts";
import { Applied } from "./exchange-replica.ts";
import type { ExchangeSim } from "./exchange-sim.ts";

export class SimGateway {
  readonly sim: ExchangeSim;
  readonly keys: TestGateway;
  readonly id: string;
  readonly name: string;
  readonly tlsKey: Uint8Array;
  readonly applied: Applied;
  readonly disk: JournalDisk;
  readonly heldDisk: HeldDisk = new HeldDisk();
  readonly clockOffsetMs: number;
  process: SimProcess | undefined;
  /** Of the start before this one: the first was before the schedule. */
  formerBoot: Uint8Array;
  lies: Lies | undefined;
  /** Hears nothing of the ledger. */
  isDeaf = false;
  /** Its disk is slow. */
  isSlow = false;
  #isFollowing = false;

  constructor(sim: ExchangeSim, keys: TestGateway) {
    this.sim = sim;
    this.keys = keys;
    this.id = keys.id;
    this.name = keys.id.slice(0, keys.id.indexOf("/"));
    this.tlsKey = parseHex(keys.body.tls[0] as string) as Uint8Array;
    this.formerBoot = sim.bytes(16);
    this.applied = new Applied(sim.ledger);
    this.disk = new JournalDisk(this.applied);
    this.clockOffsetMs = sim.world.random.between(-400, 400);
    for (const batch of sim.universe.ledger.batches) {
      if (batch.header.gateway === keys.id) this.disk.commit(batch, []);
    }
    this.disk.submitted = this.disk.batches.length;
    sim.ledger.onEvent(() => this.follow());
  }

  get nowMs(): number {
    return this.sim.universe.startMs + this.sim.world.nowMs + this.clockOffsetMs;
  }

  start(): void {
    if (this.process !== undefined) return;
    this.process = new SimProcess(this);
    this.process.start();
    this.follow();
  }

  /** The process is gone, with all that it has not committed. */
  crash(): void {
    const { process } = this;
    if (process === undefined) return;
    this.sim.world.note(`${this.name} crashes`);
    this.formerBoot = process.self.boot;
    process.end();
    this.process = undefined;
    this.#isFollowing = false;
    for (const link of [...this.sim.links]) if (link.has(process)) link.break();
  }

  /** Takes what the ledger has, a little later. */
  follow(): void {
    const { process } = this;
    if (process === undefined || this.#isFollowing || this.isDeaf) return;
    if (this.applied.next >= this.sim.ledger.events.length) return;
    this.#isFollowing = true;
    process.after(this.sim.latencyMs() * 2, () => {
      this.#isFollowing = false;
      if (this.isDeaf) return;
      const { length } = this.sim.ledger.events;
      while (this.applied.next < length) process.replica.follow();
      this.follow();
    });
  }

  sealDelays(): { readonly commitMs: number; readonly releaseMs: number } {
    const { random } = this.sim.world;
    const commitMs = this.isSlow ? random.between(100, 1500) : random.between(1, 12);
    return { commitMs, releaseMs: random.chance(0.8) ? 0 : random.between(1, 20) };
  }
}
