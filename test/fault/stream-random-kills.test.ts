import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Client } from "@grpc/grpc-js";
import { toHex } from "../../src/base/bytes.ts";
import { FinalLedger } from "./final-ledger.ts";
import { type FaultNetwork, type GatewayProcess, startNetwork } from "./processes.ts";
import { assertReplays } from "./replayed.ts";
import { Moments, findingsOfRounds, rounds, seed } from "./rounds.ts";
import { assertOnLedger, settled } from "./settled.ts";
import { assertStreamed, streamClient } from "./stream-calls.ts";
import { StreamLoad } from "./stream-load.ts";

const kills = rounds(5);
const window = 4;
const underLoadMs = 400;
/** As many as a grant may name. */
const purposes: readonly string[] = Array.from({ length: 64 }, (_, i) => `case-${10 + i}`);

describe(`SIGKILL at random moments with streams under way, seed ${seed}`, () => {
  const moments = new Moments(seed);
  /** What each gateway had durable when it was killed last. */
  const journals = new Map<GatewayProcess, readonly { readonly leafHash: Uint8Array }[]>();
  let network: FaultNetwork;
  let client: Client;
  let load: StreamLoad;

  before(async () => {
    network = await startNetwork({
      program: "product",
      service: "streams",
      ownSequencer: true,
      purposes,
      bounds: { segment_messages: 4, window_segments: window },
    });
    client = streamClient(network.consumer.member.addresses.agency);
    load = new StreamLoad({ client, callers: 6, purposes, moments: new Moments(seed + 1) });
  });

  after(async () => {
    await load?.stop();
    client?.close();
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

  /** One of the processes, or two that die together. */
  async function killSome(): Promise<void> {
    const { gateways, upstream } = network;
    const killed = new Set([moments.of([...gateways, upstream])]);
    if (moments.below(3) < 1) killed.add(moments.of([...gateways, upstream]));
    await Promise.all(
      [...killed].map((one) =>
        one === upstream ? one.end("SIGKILL") : kill(one as GatewayProcess),
      ),
    );
    await Promise.all([...killed].map((one) => one.start("product")));
  }

  it(`leaves no attempt open and hands nothing over that is not acknowledged in ${kills} kills`, async (t) => {
    t.diagnostic(`seed ${seed}`);
    for (let killed = 0; killed < kills; killed++) {
      await load.goesOn(3);
      await moments.wait(underLoadMs);
      await killSome();
    }
    await load.goesOn(6);
    await load.stop();

    const ledger = new FinalLedger(network.consumer.member.addresses.http);
    const attempts = await settled(network, ledger);
    for (const durable of journals.values()) assertOnLedger(durable, ledger);
    assertStreamed(load.calls, attempts, window);
    await assertReplays(network, { but: findingsOfRounds });
  });
});
