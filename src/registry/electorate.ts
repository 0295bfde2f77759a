/** Who votes, and how many it takes, after everything that is included. */
import type { QuorumFact, RegistryState } from "./state.ts";

/** Cities that are members now, ascending. Votes count whatever their carriers had seen. */
export function citiesInForce(state: RegistryState): readonly string[] {
  return [...state.cities].flatMap(([id, facts]) =>
    facts.at(-1)?.standing.until === undefined ? [id] : [],
  );
}

/** The quorum in force. Throws RangeError for a registry that no network was founded in. */
export function quorumInForce({ quorums }: RegistryState): QuorumFact {
  const fact = quorums.at(-1);
  if (fact === undefined) throw new RangeError("no quorum without a network");
  return fact;
}

/** Whether any two quorums of `cities` share a city that does not lie: q ≤ n and 2q ≥ n + f + 1. */
export function isQuorumOf(
  cities: number,
  { quorum, faults }: { readonly quorum: number; readonly faults: number },
): boolean {
  return quorum <= cities && 2 * quorum >= cities + faults + 1;
}
