/** What a replay knows at its end, for those who judge whose lie a finding is. */
import type { RegistryState, RegistryView } from "../registry/state.ts";
import type { Chains } from "./chains.ts";
import type { FinalSizes } from "./final-sizes.ts";
import type { Finding, FindingCode, LedgerFacts, Place } from "./findings.ts";

export function ledgerFacts(options: {
  readonly findings: readonly Finding[];
  readonly chains: Chains;
  /** Absent when notes are missing: then a size may have been final that is not known here. */
  readonly finals: FinalSizes | undefined;
  readonly state: RegistryState;
  readonly viewAt: (size: bigint) => RegistryView;
  readonly skewMs: number;
}): LedgerFacts {
  const { chains, finals, state, viewAt, skewMs } = options;
  const found = new Set(
    options.findings.map(({ code, index, position = 0, gateway = "" }) =>
      keyOf({ index, position, gateway }, code),
    ),
  );
  return {
    hasLeaf: (leafHash) => chains.hasLeaf(leafHash),
    signerOfShown: (leafHash) => chains.signerOfShown(leafHash),
    viewAt,
    grantUntil: (jti) => state.grants.get(jti)?.standing.until?.index,
    staleMs: (size, atMs) => {
      const final = finals?.firstAbove(size);
      return final === undefined ? undefined : atMs - final.timeMs;
    },
    hasViolation: (place, codes) => codes.some((code) => found.has(keyOf(place, code))),
    skewMs,
  };
}

function keyOf({ index, position, gateway }: Place, code: FindingCode): string {
  return `${code} ${index}/${position} ${gateway}`;
}
