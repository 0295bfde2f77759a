/**
 * The gateways at which a provider can be called. What one seals on a chain that is frozen never stands on
 * the ledger: nothing is exchanged with it until its agency opens a new epoch.
 */
import type { Replica } from "../ledger/ports.ts";
import { isWithdrawn } from "../registry/standing.ts";
import type { RegistryState } from "../registry/state.ts";

type Ledger = Pick<Replica, "state" | "view">;

/** Whether a proof of two leaves for one place stands against the chain of a gateway. */
export function isFrozen({ chainStops }: Pick<RegistryState, "chainStops">, id: string): boolean {
  return chainStops.get(id)?.frozen !== undefined;
}

/** Those of an agency that may be called, by their id. */
export function gatewaysOf(agency: string, replica: Ledger): readonly string[] {
  const state = replica.state();
  return inForce(agency, replica).filter((id) => !isFrozen(state, id));
}

/** Whether an agency has gateways, and each has its chain frozen. */
export function areFrozen(agency: string, replica: Ledger): boolean {
  const state = replica.state();
  if (state.chainStops.size === 0) return false;
  const gateways = inForce(agency, replica);
  return gateways.length > 0 && gateways.every((id) => isFrozen(state, id));
}

function inForce(agency: string, replica: Ledger): readonly string[] {
  const [view, { gateways }] = [replica.view(), replica.state()];
  const own: string[] = [];
  // Of a large network each call would go through thousands otherwise.
  for (const [id, facts] of gateways.withPrefix(`${agency}/`)) {
    const fact = view.gateway(id);
    if (fact !== undefined && !isWithdrawn(facts, fact)) own.push(id);
  }
  return own;
}
