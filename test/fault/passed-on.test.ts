/**
 * A gateway that cannot reach the sequencer, killed before its city's witness has passed its batch on: what
 * it sealed comes onto the ledger by way of another city all the same, once it runs again.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { eventually } from "../support/admin-client.ts";
import type { ManyCities } from "../support/many-cities.ts";
import { matchAttempts } from "./attempts.ts";
import { FinalLedger } from "./final-ledger.ts";
import { type FaultNetwork, type GatewayProcess, startManyCities } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { assertOnLedger, handleOf, sealedCounts, settled } from "./settled.ts";

describe("a gateway that is cut off from the sequencer", () => {
  let network: FaultNetwork<ManyCities>;
  let sequencer: GatewayProcess;
  /** As another city has it. */
  let ledger: FinalLedger;

  before(async () => {
    network = await startManyCities({
      program: "product",
      count: 3,
      quorum: 2,
      faults: 0,
      bounds: { heartbeat_s: 1, inclusion_bound_s: 10 },
    });
    sequencer = network.sequencer as GatewayProcess;
    ledger = new FinalLedger(network.provider.member.addresses.http);
  });

  after(() => network?.close());

  it("and killed at once has its batches on the ledger through another city's witness", async () => {
    const { cities, client, consumer } = network;
    await network.nextAnswer();
    await settled(network, ledger);
    cities.wires.partition([cities.wired(consumer.member)], [cities.wired(sequencer.member)]);
    const answer = await client.getDivision("330106");
    assert.equal(answer.code, 0, answer.details);
    await consumer.end("SIGKILL");
    const [newest] = consumer.journal().slice(-1);
    assert.ok(newest !== undefined);
    await ledger.update();
    assert.ok(!ledger.has(newest.leafHash), "nobody has passed it on");
    await consumer.start("product");
    await eventually(
      "it is final, with the wire still cut",
      async () => {
        await ledger.update();
        return ledger.has(newest.leafHash);
      },
      40_000,
    );
    const attempt = matchAttempts(ledger.records).find(
      ({ receipt }) => receipt === handleOf(answer),
    );
    assert.deepEqual([attempt?.provider, attempt?.consumer], ["receipt", "match"]);
  });

  it("goes on by itself once the wire is whole, and the ledger has no finding", async () => {
    const { cities, consumer } = network;
    cities.wires.heal();
    await network.nextAnswer();
    const [sealed = 0] = await sealedCounts([consumer]);
    await settled(network, ledger);
    await consumer.end("SIGTERM");
    assert.ok(sealed > 0);
    assertOnLedger(consumer.journal().slice(0, sealed), ledger);
    await consumer.start("product");
    // How long the gateway took to start again is the machine's to say.
    await assertReplays(network, { but: ["LATE"] });
  });
});
