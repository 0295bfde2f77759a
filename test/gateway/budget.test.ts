/** How long calls go on without the ledger is told by the newest final checkpoint, which is stored: a restart gives no time. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type FaultNetwork, type GatewayProcess, startNetwork } from "../fault/processes.ts";

describe("the budget of a service while the ledger is away", () => {
  let network: FaultNetwork;

  before(async () => {
    network = await startNetwork({ ownSequencer: true, maxStalenessS: 60 });
    await network.nextAnswer();
    await (network.sequencer as GatewayProcess).end("SIGKILL");
  });

  after(() => network?.close());

  async function restart(): Promise<void> {
    const { consumer, provider } = network;
    for (const gateway of [provider, consumer]) {
      const { finalAgeMs: ageMs } = await gateway.admin.status();
      await gateway.end("SIGKILL");
      await gateway.start();
      const { finalAgeMs } = await gateway.admin.status();
      assert.ok(finalAgeMs >= ageMs, `${finalAgeMs} ms after ${ageMs} ms`);
    }
  }

  it("is not used up by a restart within it", async () => {
    network.moveClock(20_000);
    await restart();
    await network.nextAnswer();
  });

  it("is not given again by a restart past it", async () => {
    network.moveClock(70_000);
    await restart();
    const reasons = new Set<string | undefined>();
    const deadlineMs = Date.now() + 15_000;
    while (!reasons.has("STALE_REPLICA")) {
      const answer = await network.client.getDivision("330106", { deadlineMs: 2_000 });
      assert.notEqual(answer.code, 0);
      reasons.add(answer.reason);
      assert.ok(Date.now() < deadlineMs, [...reasons].join(" "));
    }
  });
});
