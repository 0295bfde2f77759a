import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { eventually } from "../support/admin-client.ts";
import type { Answer } from "../support/agency-client.ts";
import { type DiskMode, FailingDisk, whyNoFailingDisk } from "./failing-disk.ts";
import { FinalLedger } from "./final-ledger.ts";
import { type FaultNetwork, type GatewayProcess, startNetwork } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { assertHandedOver, settled } from "./settled.ts";

const skip: string | false = whyNoFailingDisk() ?? false;
/** Failures of each kind at each gateway; more of them by the environment. */
const rounds = Number(process.env["CAUSEWAY_FAULT_ROUNDS"] ?? 1);
const seed = Number(process.env["CAUSEWAY_FAULT_SEED"] ?? randomInt(2 ** 31));
const storageFailedExit = 70;
const callers = 3;

/** Numerical Recipes' linear congruential generator: enough to spread the moments of a failure. */
function randomMs(state: { value: number }): number {
  state.value = (Math.imul(state.value, 1664525) + 1013904223) >>> 0;
  return (state.value / 2 ** 32) * 150;
}

describe(`a disk that fails under load, seed ${seed}`, { skip }, () => {
  let network: FaultNetwork;
  const disks = new Map<GatewayProcess, FailingDisk>();
  const answers: Answer<unknown>[] = [];
  const random = { value: seed };
  let load: readonly Promise<void>[] = [];
  let stopped = false;

  before(async () => {
    network = await startNetwork({ program: "product" });
    for (const gateway of network.gateways) {
      disks.set(gateway, new FailingDisk());
      await gateway.end("SIGTERM");
      await startOnDisk(gateway);
    }
    const caller = async (number: number): Promise<void> => {
      const { client } = network;
      for (let i = number; !stopped; i++) {
        const isWrite = i % 3 === 0;
        const call = isWrite ? client.reportCorrection("330106") : client.getDivision("330106");
        const answer = await call;
        answers.push(answer);
        if (answer.code !== 0) await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    load = Array.from({ length: callers }, (_, number) => caller(number));
  });

  after(async () => {
    stopped = true;
    await Promise.all(load);
    await network?.close();
    for (const disk of disks.values()) disk.remove();
  });

  const answered = (): number => answers.filter(({ code }) => code === 0).length;
  const diskOf = (gateway: GatewayProcess): FailingDisk => disks.get(gateway) as FailingDisk;
  const folderOf = ({ member }: GatewayProcess): string => join(member.folder, "data");

  async function startOnDisk(gateway: GatewayProcess): Promise<void> {
    diskOf(gateway).become("well");
    gateway.environment = diskOf(gateway).environment(folderOf(gateway));
    await gateway.start("product");
  }

  async function goesOn(): Promise<void> {
    const before = answered();
    await eventually("calls succeed", () => answered() >= before + 5, 30_000);
    await new Promise((resolve) => setTimeout(resolve, randomMs(random)));
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
      for (let round = 0; round < rounds; round++) {
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
    for (let round = 0; round < 2 * rounds; round++) {
      for (const gateway of network.gateways) {
        await goesOn();
        await gateway.end("SIGKILL");
        await comesBack(gateway);
      }
    }
    await goesOn();
  });

  it("loses nothing that was handed over, doubles nothing, and replays without a finding", async (t) => {
    t.diagnostic(`seed ${seed}`);
    stopped = true;
    await Promise.all(load);
    const ledger = new FinalLedger(network.consumer.member.addresses.http);
    const attempts = await settled(network, ledger);
    for (const answer of answers) assertHandedOver(answer, attempts);
    const acknowledged = attempts.filter(({ consumer }) => consumer === "match").length;
    assert.ok(acknowledged >= answered(), "an answer was handed over without acknowledgement");
    await assertReplays(network);
  });
});
