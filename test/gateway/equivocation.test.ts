/** A gateway whose key signs two leaves for one place is reported once, frozen, and goes on in a new epoch. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createGateway } from "../../gateway/app.ts";
import { readConfig } from "../../gateway/config.ts";
import { sealEpoch } from "../../gateway/recover-epoch.ts";
import { recoverJournal } from "../../gateway/recover.ts";
import { openRecord } from "../../src/record/record.ts";
import { eventually } from "../support/admin-client.ts";
import { signEpoch } from "../support/epochs.ts";
import { submitFork, withJournal } from "../support/forks.ts";
import { type Running, startTwoCities } from "../support/running.ts";

const bounds = { heartbeat_s: 1 };

function reports(running: Running): number {
  return withJournal(
    running,
    "provider",
    (batches) =>
      batches
        .flatMap(({ records }) => records)
        .filter((record) => openRecord(record).body.case === "equivocationReported").length,
  );
}

describe("two leaves for one place", () => {
  it("freeze the chain by one report, and a new epoch goes on", async () => {
    const running = await startTwoCities({ bounds });
    try {
      const { gateways, cities, client } = running;
      assert.equal((await client.getDivision("330106")).code, 0);
      await running.settled();
      assert.equal(await submitFork(running), "CHAIN_FORK");
      assert.equal((await client.getDivision("330106")).code, 0);
      await eventually("the chain is frozen", async () =>
        gateways.consumer.notReady().includes("CHAIN_FROZEN"),
      );
      assert.equal((await client.getDivision("330106")).reason, "CHAIN_FROZEN");
      assert.equal(await submitFork(running), "CHAIN_FORK");
      await gateways.consumer.close();

      const config = readConfig(cities.consumer.configFile);
      const recovered = await recoverJournal({ config, waitMs: 20_000 });
      assert.equal(recovered.kind, "rebuilt");
      assert.ok(recovered.epoch !== undefined);
      await sealEpoch(signEpoch(cities, cities.consumer, recovered.epoch), {
        config,
        waitMs: 20_000,
      });
      const gateway = await createGateway(config);
      await gateway.start();
      try {
        await eventually("calls are answered again", async () => {
          return (await client.getDivision("330106")).code === 0;
        });
        assert.equal(reports(running), 1);
      } finally {
        await gateway.close();
      }
    } finally {
      await running.close();
    }
  });
});
