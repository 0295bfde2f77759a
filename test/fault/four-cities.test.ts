import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { eventually } from "../support/admin-client.ts";
import type { ManyCities } from "../support/many-cities.ts";
import { FinalLedger } from "./final-ledger.ts";
import { Load } from "./load.ts";
import { type FaultNetwork, type GatewayProcess, startManyCities } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { assertHandedOver, settled } from "./settled.ts";

async function finalSize({ admin }: GatewayProcess): Promise<bigint> {
  return (await admin.status()).finalSize;
}

describe("four cities of which three must cosign, under load", () => {
  let network: FaultNetwork<ManyCities>;
  let load: Load;
  let fourth: GatewayProcess;

  before(async () => {
    network = await startManyCities({ program: "product" });
    fourth = network.gateways.at(-1) as GatewayProcess;
    load = new Load(network, { callers: 2 });
  });

  after(async () => {
    await load?.stop();
    await network?.close();
  });

  /** Everything that is sealed from now on becomes final. */
  async function finalityGoesOn(): Promise<void> {
    const { provider } = network;
    const before = await finalSize(provider);
    await load.goesOn(5);
    await eventually(
      "sizes become final",
      async () => (await finalSize(provider)) > before,
      30_000,
    );
  }

  async function hasCaughtUp(gateway: GatewayProcess): Promise<void> {
    const size = await finalSize(network.provider);
    await eventually("it catches up", async () => (await finalSize(gateway)) >= size, 60_000);
  }

  it("go on with one city killed, and it catches up by itself", async () => {
    await finalityGoesOn();
    await fourth.end("SIGKILL");
    await finalityGoesOn();
    await fourth.start("product");
    await hasCaughtUp(fourth);
  });

  it("go on with one city paused", async () => {
    await fourth.pause();
    await finalityGoesOn();
    await fourth.resume();
    await hasCaughtUp(fourth);
  });

  it("go on with one city cut off", async () => {
    const { cities } = network;
    const [one, ...others] = cities.members.toReversed().map((member) => cities.wired(member));
    assert.ok(one !== undefined);
    cities.wires.partition([one], others);
    await finalityGoesOn();
    cities.wires.heal();
    await hasCaughtUp(fourth);
  });

  it("stop making sizes final with two cities away, exchange within the budget, and catch up", async () => {
    const { cities, provider, sequencer } = network;
    assert.ok(sequencer !== undefined);
    const [fourthEnd, sequencerEnd, ...others] = cities.members
      .toReversed()
      .map((member) => cities.wired(member));
    assert.ok(fourthEnd !== undefined && sequencerEnd !== undefined);
    cities.wires.partition([fourthEnd, sequencerEnd], others);
    const before = await finalSize(provider);
    await load.goesOn(50);
    assert.equal(await finalSize(provider), before);
    cities.wires.heal();
    await eventually(
      "sizes become final",
      async () => (await finalSize(provider)) > before,
      60_000,
    );
    for (const gateway of network.gateways) await hasCaughtUp(gateway);
  });

  it("lose nothing, double nothing, and replay without a finding", async () => {
    await load.stop();
    const ledger = new FinalLedger(network.consumer.member.addresses.http);
    const attempts = await settled(network, ledger);
    for (const answer of load.answers) assertHandedOver(answer, attempts);
    await assertReplays(network);
  });
});
