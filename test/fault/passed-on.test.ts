/**
 * A gateway that cannot reach the sequencer, killed before its city's witness has passed its batch on: what
 * it sealed comes onto the ledger by way of another city all the same, once it runs again. What a witness holds is in
 * its memory alone: killed, it has it again from whoever still has it.
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

const inclusionBoundMs = 6_000;

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
      bounds: { heartbeat_s: 1, inclusion_bound_s: inclusionBoundMs / 1000 },
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

  it("has them there too when the witness that holds them for it is killed, because they are passed on again", async () => {
    const { cities, client, consumer, provider } = network;
    const cutOff = cities.wired(consumer.member);
    const holder = cities.wired(provider.member);
    const sequencing = cities.wired(sequencer.member);
    await settled(network, ledger);
    cities.wires.partition([holder], [sequencing]);
    const answer = await client.getDivision("330106");
    assert.equal(answer.code, 0, answer.details);
    // It is passed on after half of the bound: the other witness has it, and cannot pass it on.
    const passedOnAtMs = Date.now() + inclusionBoundMs * 0.75;
    await eventually("it is passed on", () => Date.now() > passedOnAtMs);
    await provider.end("SIGKILL");
    await provider.start("product");
    const closing = async (): Promise<string | undefined> => {
      await ledger.update();
      return matchAttempts(ledger.records).find(({ receipt }) => receipt === handleOf(answer))
        ?.consumer;
    };
    assert.equal(await closing(), undefined, "nobody has passed it on");
    cities.wires.heal();
    cities.wires.partition([cutOff], [sequencing]);
    const isMatched = async (): Promise<boolean> => (await closing()) === "match";
    await eventually("it is final, with the wire of its own still cut", isMatched, 40_000);
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
