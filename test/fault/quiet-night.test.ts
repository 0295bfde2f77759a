import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { eventually } from "../support/admin-client.ts";
import { FinalLedger } from "./final-ledger.ts";
import { type FaultNetwork, type GatewayProcess, startNetwork } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { settled } from "./settled.ts";

const hourMs = 3_600_000;

// Both wait most of the time.
describe("networks that are left alone", { concurrency: 2 }, () => {
  describe("a night of quiet and a restart of everything", { concurrency: 1 }, () => {
    let network: FaultNetwork;
    let ledger: FinalLedger;

    before(async () => {
      network = await startNetwork();
      ledger = new FinalLedger(network.consumer.member.addresses.http);
      await network.nextAnswer();
    });

    after(() => network?.close());

    async function start(order: readonly GatewayProcess[]): Promise<void> {
      for (const gateway of order) await gateway.start();
    }

    it("nine hours without a call do not stop the next one", async () => {
      network.moveClock(9 * hourMs);
      // By the moved clock the checkpoint of the evening is nine hours old: the night had its heartbeats.
      await eventually("a heartbeat", async () => {
        const ages = network.gateways.map(async ({ admin }) => (await admin.status()).finalAgeMs);
        return (await Promise.all(ages)).every((ageMs) => ageMs < hourMs);
      });
      const answer = await network.client.getDivision("330106");
      assert.equal(answer.code, 0, answer.details);
    });

    it("neither do they while nothing runs, and the order of the start does not matter", async () => {
      await Promise.all(network.gateways.map((gateway) => gateway.end("SIGTERM")));
      network.moveClock(18 * hourMs);
      await start([network.consumer, network.provider]);
      await network.nextAnswer();
    });

    it("a kill of everything at once does not stop the next call", async () => {
      await Promise.all(network.gateways.map((gateway) => gateway.end("SIGKILL")));
      await start([network.provider, network.consumer]);
      await network.nextAnswer();
    });

    it("every attempt is closed once on both sides, and the replay finds nothing", async () => {
      const attempts = await settled(network, ledger);
      assert.ok(attempts.filter(({ consumer }) => consumer === "match").length >= 4);
      await assertReplays(network);
    });
  });

  describe("a sequencer that is away", { concurrency: 1 }, () => {
    let network: FaultNetwork;
    let sequencer: GatewayProcess;

    before(async () => {
      network = await startNetwork({ ownSequencer: true, maxStalenessS: 30 });
      sequencer = network.sequencer as GatewayProcess;
      await network.nextAnswer();
      await sequencer.end("SIGKILL");
    });

    after(() => network?.close());

    it("does not stop calls within the budget of the service", async () => {
      const answer = await network.client.getDivision("330106");
      assert.equal(answer.code, 0, answer.details);
    });

    it("refuses them past it with STALE_REPLICA, on record", async () => {
      network.moveClock(40_000);
      const answer = await network.client.getDivision("330106");
      assert.equal(answer.reason, "STALE_REPLICA");
      const [newest] = await network.provider.admin.records(1);
      assert.deepEqual([newest?.kind, newest?.detail], ["refusal", "STALE_REPLICA"]);
    });

    it("takes them again by itself once it is back", async () => {
      await sequencer.start();
      await network.nextAnswer();
      const ledger = new FinalLedger(network.consumer.member.addresses.http);
      const attempts = await settled(network, ledger);
      const refused = attempts.filter(({ provider }) => provider === "refusal STALE_REPLICA");
      assert.ok(refused.length >= 1);
      for (const { consumer } of refused) assert.equal(consumer, "closed refused");
      await assertReplays(network);
    });
  });
});
