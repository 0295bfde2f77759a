import {
  type CityWitness,
  cosignersBetween,
  type CosigningRule,
  cosigningRuleAt,
} from "../../registry/cosigning.ts";
import type { RegistryState, TermFact } from "../../registry/state.ts";
import type { LedgerNetwork } from "./network.ts";

/** What heads and checkpoints are judged by: the log keys, cities and quorums that a registry knows. */
export interface Trust {
  readonly state: RegistryState;
  /** How far a cosignature's time may be ahead of the own clock. */
  readonly skewMs: number;
}

/** The trust that a registry gives; before batch 0 it is the founding document's. */
export function trustOf(network: LedgerNetwork, state: RegistryState): Trust {
  return { state: state.size === 0n ? network.founding : state, skewMs: network.skewMs };
}

/** The newest appointment of a sequencer. */
export function newestTerm({ state }: Trust): TermFact {
  return state.terms.at(-1) as TermFact;
}

/** The rule and the witnesses for the newest size; for those of the first leaf while there is none. */
export function cosigningNow({ state }: Trust): {
  readonly rule: CosigningRule;
  readonly witnesses: readonly CityWitness[];
} {
  const size = state.size === 0n ? 1n : state.size;
  return {
    rule: cosigningRuleAt(state, size),
    witnesses: cosignersBetween(state, { from: size, to: size }),
  };
}

/** The witnesses that the founding document names. */
export function foundingWitnesses({ founding, skewMs }: LedgerNetwork): readonly CityWitness[] {
  return cosigningNow({ state: founding, skewMs }).witnesses;
}
