import { OrderedMap } from "./ordered-map.ts";
import type { RegistryState } from "./state.ts";

const hashBytes = 32;

/**
 * The registry before the first leaf of the network whose founding document has the SHA-256
 * `networkId`: the one thing that is trusted from the start.
 */
export function initialState(networkId: Uint8Array): RegistryState {
  if (networkId.length !== hashBytes) throw new RangeError("a network id has 32 bytes");
  return {
    size: 0n,
    digest: new Uint8Array(hashBytes),
    networkId: networkId.slice(),
    cities: OrderedMap.empty(),
    candidacies: OrderedMap.empty(),
    terms: [],
    quorums: [],
    rules: [],
    calendar: [],
    votes: OrderedMap.empty(),
    agencies: OrderedMap.empty(),
    gateways: OrderedMap.empty(),
    administrators: OrderedMap.empty(),
    services: OrderedMap.empty(),
    policies: OrderedMap.empty(),
    requests: OrderedMap.empty(),
    grants: OrderedMap.empty(),
    grantsByAddress: OrderedMap.empty(),
    grantsByConsumer: OrderedMap.empty(),
    chains: OrderedMap.empty(),
    chainStops: OrderedMap.empty(),
    pendingGrants: OrderedMap.empty(),
    keys: OrderedMap.empty(),
    usedJti: OrderedMap.empty(),
  };
}
