import { parsePayload } from "../../credential/payloads.ts";
import { networkId } from "../../credential/statement.ts";
import type { Bounds, NetworkBody } from "../../credential/statements.ts";
import type { CityWitness } from "../../registry/cosigning.ts";
import { initialState } from "../../registry/initial.ts";
import { rawKey } from "../../registry/keys.ts";
import { OrderedMap } from "../../registry/ordered-map.ts";
import type { CityFact, RegistryState, TermFact } from "../../registry/state.ts";

export type { CityWitness };

/** What the founding document fixes for ever, and whom it names to begin with. */
export interface LedgerNetwork {
  /** 32 bytes. */
  readonly id: Uint8Array;
  readonly bounds: Bounds;
  readonly heartbeatMs: number;
  readonly skewMs: number;
  readonly inclusionBoundMs: number;
  /**
   * An empty registry that knows the founding cities, their quorum and the sequencer of term 0 already:
   * by it is judged what comes before batch 0 is folded.
   */
  readonly founding: RegistryState;
}

/** The network that a founding document's payload describes. Throws what parsing the payload throws. */
export function readLedgerNetwork(payload: Uint8Array): LedgerNetwork {
  const { body } = parsePayload("network", payload) as { readonly body: NetworkBody };
  const id = networkId(payload);
  const { bounds } = body;
  return {
    id,
    bounds,
    heartbeatMs: bounds.heartbeat_s * 1000,
    skewMs: bounds.skew_s * 1000,
    inclusionBoundMs: bounds.inclusion_bound_s * 1000,
    founding: foundingState(id, body),
  };
}

/** The appointment that the founding document itself makes. */
export function foundingTerm({ founding }: LedgerNetwork): TermFact {
  return founding.terms[0] as TermFact;
}

function foundingState(id: Uint8Array, body: NetworkBody): RegistryState {
  const since = 0n;
  const { gateway, address, tls, log } = body.sequencer;
  const standing = { address: { index: since, position: 0 }, since };
  const cities = body.cities.map((city): [string, readonly CityFact[]] => [
    city.id,
    [{ id: city.id, city, standing }],
  ]);
  return {
    ...initialState(id),
    cities: OrderedMap.from(cities),
    terms: [{ term: 0n, gateway, address, tls, logKey: rawKey(log), start: since, since }],
    quorums: [{ since, quorum: body.quorum, faults: body.faults }],
  };
}
