/** Which key of a gateway a provider may have judged a call by. */
import type { GatewayFact, RegistryState, RegistryView } from "../registry/state.ts";

/** Seconds that a provider may take to judge a call that waits for its replica. */
export const judgingMaxS: number = 5;

/** What is known where a call is recorded. */
export interface CallGround {
  readonly state: RegistryState;
  /** Unix milliseconds of the first final size that holds an index. */
  readonly finalMs: (index: bigint) => number | undefined;
}

/**
 * The newest fact of a gateway with a key that a call shows, below the size that its record rests on. One that another
 * has followed there counts for a call of before: its keys are verified first, and the replica goes on meanwhile.
 */
export function judgedFact(
  call: {
    readonly issuer: string;
    /** Unix seconds. */
    readonly issuedAt: number;
  },
  hasKey: (fact: GatewayFact) => boolean,
  view: RegistryView,
  { state, finalMs }: CallGround,
): GatewayFact | undefined {
  const all = state.gateways.get(call.issuer) ?? [];
  const facts = all.filter(({ standing }) => standing.since < view.seenSize);
  const at = facts.findLastIndex(hasKey);
  const next = facts[at + 1];
  if (at < 0 || next === undefined) return facts[at];
  const followedMs = finalMs(next.standing.since);
  if (followedMs === undefined) return undefined;
  const lateMs = (judgingMaxS + (state.network?.bounds.skew_s ?? 0)) * 1000;
  return call.issuedAt * 1000 <= followedMs + lateMs ? facts[at] : undefined;
}
