import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { toHex } from "../../src/base/bytes.ts";
import type { ManyCities } from "../support/many-cities.ts";
import { FinalLedger } from "./final-ledger.ts";
import { Load } from "./load.ts";
import { type FaultNetwork, type GatewayProcess, startManyCities } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { Moments, findingsOfRounds, rounds, seed } from "./rounds.ts";
import { assertHandedOver, assertOnLedger, settled } from "./settled.ts";

const kills = rounds(20);
const underLoadMs = 250;
/** About as long as a gateway takes to come up. */
const startMs = 1500;

describe(`SIGKILL of any of four gateways at random moments under load, seed ${seed}`, () => {
  const moments = new Moments(seed);
  /** What each gateway had durable when it was killed last. */
  const journals = new Map<GatewayProcess, readonly { readonly leafHash: Uint8Array }[]>();
  let network: FaultNetwork<ManyCities>;
  let load: Load;

  before(async () => {
    network = await startManyCities({ program: "product", bounds: { heartbeat_s: 2 } });
    load = new Load(network, { callers: 3, writes: true, pauseMs: 50 });
  });

  after(async () => {
    await load?.stop();
    await network?.close();
  });

  async function kill(gateway: GatewayProcess): Promise<void> {
    await gateway.end("SIGKILL");
    const durable = gateway.journal();
    for (const [number, { leafHash }] of (journals.get(gateway) ?? []).entries()) {
      assert.equal(toHex(durable[number]?.leafHash as Uint8Array), toHex(leafHash));
    }
    journals.set(gateway, durable);
  }

  /** Kills and starts them again; how often in all. */
  async function killAll(dying: readonly GatewayProcess[]): Promise<number> {
    await Promise.all(dying.map(kill));
    let killed = dying.length;
    // One in four is killed again while it comes up.
    const again = dying.filter(() => moments.below(4) < 1);
    for (const gateway of again) {
      gateway.launch("product");
      await moments.wait(startMs);
      await kill(gateway);
      killed++;
    }
    await Promise.all(dying.map((gateway) => gateway.start("product")));
    return killed;
  }

  it(`loses nothing, doubles nothing and leaves no attempt open in ${kills} kills`, async (t) => {
    t.diagnostic(`seed ${seed}`);
    for (let killed = 0; killed < kills; ) {
      // Every other time two die together.
      const dying = new Set([moments.of(network.gateways)]);
      if (moments.below(2) < 1) dying.add(moments.of(network.gateways));
      await load.goesOn(3);
      await moments.wait(underLoadMs);
      killed += await killAll([...dying]);
    }
    await load.goesOn(5);
    await load.stop();

    const ledger = new FinalLedger(network.consumer.member.addresses.http);
    const attempts = await settled(network, ledger);
    for (const durable of journals.values()) assertOnLedger(durable, ledger);
    for (const answer of load.answers) assertHandedOver(answer, attempts);
    const acknowledged = attempts.filter(({ consumer }) => consumer === "match").length;
    assert.ok(acknowledged >= load.answered, "an answer was handed over without acknowledgement");
    await assertReplays(network, { but: findingsOfRounds });
  });

  it("leaves the same ledger at every gateway", async () => {
    const [first, ...others] = await Promise.all(
      network.gateways.map(async ({ member }) => {
        const ledger = new FinalLedger(member.addresses.http);
        await settled(network, ledger);
        return ledger.records.map(({ handle }) => handle);
      }),
    );
    for (const handles of others) assert.deepEqual(handles, first);
  });
});
