import type { RegistryState } from "./state.ts";

/** Newest version of the rules that this fold applies; a founding document or a vote names it. */
export const rulesVersion: number = 2;

/** Every version that this fold applies, each as it was when it was the newest. */
export function isKnownRules(version: number): boolean {
  return version >= 1 && version <= rulesVersion;
}

/** First version that acts on votes on the calendar. */
export const calendarVotesSince: number = 2;

/**
 * The version of the rules for a batch under `seenSize` at `index`. In batch 0, and under a header that
 * has seen nothing, it is the founding document's.
 */
export function rulesFor(
  { rules }: Pick<RegistryState, "rules">,
  { index, seenSize }: { readonly index: bigint; readonly seenSize: bigint },
): number {
  const seen = rules.findLast(({ since }) => index === 0n || since < seenSize);
  return (seen ?? rules[0])?.version ?? rulesVersion;
}
