import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type DiskMode, FailingDisk, whyNoFailingDisk } from "./failing-disk.ts";
import { FinalLedger } from "./final-ledger.ts";
import { Load } from "./load.ts";
import { type FaultNetwork, type GatewayProcess, startNetwork } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { Moments, rounds, seed } from "./rounds.ts";
import { assertHandedOver, settled } from "./settled.ts";

const skip: string | false = whyNoFailingDisk() ?? false;
/** Failures of each kind at each gateway. */
const failures = rounds(1);
const storageFailedExit = 70;

describe(`a disk that fails under load, seed ${seed}`, { skip }, () => {
  let network: FaultNetwork;
  const disks = new Map<GatewayProcess, FailingDisk>();
  const moments = new Moments(seed);
  let load: Load;

  before(async () => {
    network = await startNetwork({ program: "product" });
    await Promise.all(
      network.gateways.map(async (gateway) => {
        disks.set(gateway, new FailingDisk());
        await gateway.end("SIGTERM");
        await startOnDisk(gateway);
      }),
    );
    load = new Load(network, { callers: 3, writes: true });
  });

  after(async () => {
    await load?.stop();
    await network?.close();
    for (const disk of disks.values()) disk.remove();
  });

  const diskOf = (gateway: GatewayProcess): FailingDisk => disks.get(gateway) as FailingDisk;
  const folderOf = ({ member }: GatewayProcess): string => join(member.folder, "data");

  async function startOnDisk(gateway: GatewayProcess): Promise<void> {
    diskOf(gateway).become("well");
    gateway.environment = diskOf(gateway).environment(folderOf(gateway));
    await gateway.start("product");
  }

  async function goesOn(): Promise<void> {
    await load.goesOn(5);
    await moments.wait(150);
  }

  /** Only what had reached the disk is there when the machine is on again. */
  async function comesBack(gateway: GatewayProcess): Promise<void> {
    diskOf(gateway).cutPower(folderOf(gateway));
    await startOnDisk(gateway);
  }

  const kinds: readonly (readonly [string, DiskMode])[] = [
    ["fsync fails and what was not synced is lost", "fsync"],
    ["writes fail", "write"],
    ["it is full", "full"],
  ];
  for (const [what, mode] of kinds) {
    it(`ends the process when ${what}; it recovers and goes on`, async () => {
      for (let round = 0; round < failures; round++) {
        for (const gateway of network.gateways) {
          await goesOn();
          diskOf(gateway).become(mode);
          assert.equal(await gateway.endsByItself(), storageFailedExit);
          await comesBack(gateway);
        }
      }
      await goesOn();
    });
  }

  it("may lose its power at any moment", async () => {
    const { gateways } = network;
    for (let round = 0; round < failures; round++) {
      for (const gateway of gateways) {
        await goesOn();
        await gateway.end("SIGKILL");
        await comesBack(gateway);
      }
      // And with all of them in one place.
      await goesOn();
      await Promise.all(gateways.map((gateway) => gateway.end("SIGKILL")));
      await Promise.all(gateways.map(comesBack));
    }
    await goesOn();
  });

  it("loses nothing that was handed over, doubles nothing, and replays without a finding", async (t) => {
    t.diagnostic(`seed ${seed}`);
    await load.stop();
    const ledger = new FinalLedger(network.consumer.member.addresses.http);
    const attempts = await settled(network, ledger);
    for (const answer of load.answers) assertHandedOver(answer, attempts);
    const acknowledged = attempts.filter(({ consumer }) => consumer === "match").length;
    assert.ok(acknowledged >= load.answered, "an answer was handed over without acknowledgement");
    await assertReplays(network);
  });
});
