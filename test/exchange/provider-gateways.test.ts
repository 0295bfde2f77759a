import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import { gatewaysOf } from "../../src/exchange/provider-gateways.ts";
import type { Replica } from "../../src/ledger/ports.ts";
import { OrderedMap } from "../../src/registry/ordered-map.ts";
import type { GatewayFact, RegistryState, RegistryView } from "../../src/registry/state.ts";

describe("the gateways of a provider", () => {
  it("are found among its own, however many there are in the network", () => {
    const ids = [
      "hangzhou/housing/gw1",
      "hangzhou/housing-2/gw1",
      "hangzhou/housing/gw2",
      "hangzhou/hous/gw1",
      "suzhou/housing/gw1",
    ];
    const fact = { standing: { address: { index: 1n, position: 0 }, since: 1n } } as GatewayFact;
    const gateways = OrderedMap.from(ids.map((id) => [id, [fact]] as const));
    const state = { gateways, chainStops: OrderedMap.empty() } as unknown as RegistryState;
    for (const walk of ["keys", "values", "entries"] as const) {
      mock.method(gateways, walk, () => assert.fail("it goes through all of the network"));
    }
    const asked: string[] = [];
    const gateway = (id: string): GatewayFact => {
      asked.push(id);
      return fact;
    };
    const view = { gateway } as unknown as RegistryView;
    const replica = { state: () => state, view: () => view } as unknown as Replica;
    const own = ["hangzhou/housing/gw1", "hangzhou/housing/gw2"];
    assert.deepEqual(gatewaysOf("hangzhou/housing", replica), own);
    assert.deepEqual(asked, own);
  });
});
