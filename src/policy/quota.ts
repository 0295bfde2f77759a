/** Quotas: how many attempts of a grant may end with a receipt in one period (DESIGN.md section 5). */
import { createMessage } from "../base/create-message.ts";
import { assertInvariant } from "../base/errors.ts";
import { type Quota, QuotaSchema } from "../gen/causeway/record/v1/parts_pb.ts";
import type { GrantFact } from "../registry/state.ts";

/** What a gateway knows to be used of a quota in one period. */
export interface QuotaUsage {
  /** Attempts with a receipt on the ledger below the decided size, those of the own chain not among them. */
  readonly usedOnLedger: bigint;
  /** Attempts with a receipt in the own chain. */
  readonly usedInChain: bigint;
  /** Attempts that were permitted before and have neither a receipt nor an end. */
  readonly reserved: bigint;
}

/** What a decision under a quota rests on. */
export interface QuotaFacts {
  /** Id of the provider gateway that decides. */
  readonly gateway: string;
  /** `periodStart` is in Unix seconds. */
  usage(grantJti: string, periodStart: number): QuotaUsage;
}

/** Holds one attempt of a quota from the permit on. */
export interface Reservation {
  /** Ends it once, when the attempt has ended; `receipted` says whether a receipt of it is durable. */
  end(receipted: boolean): void;
}

/** Start of the period of `atS` in Unix seconds: period k is [nbf + k·s, nbf + (k+1)·s). */
export function quotaPeriodStart(
  { nbf, periodS }: { readonly nbf: number; readonly periodS: number },
  atS: number,
): number {
  return nbf + Math.floor((atS - nbf) / periodS) * periodS;
}

/** The quota of a grant as a decision at `atS` records it; `undefined` for a grant without one. */
export function quotaOf(
  { jti, detail, standing }: GrantFact,
  atS: number,
  facts: QuotaFacts | undefined,
): Quota | undefined {
  const rule = detail.quota;
  if (rule === undefined) return undefined;
  if (facts === undefined) throw new TypeError("a quota is decided without facts about its usage");
  const { nbf } = standing;
  assertInvariant(nbf !== undefined, "the grant check permits without a period");
  const periodStart = quotaPeriodStart({ nbf, periodS: rule.period_s }, atS);
  const { usedOnLedger, usedInChain, reserved } = facts.usage(jti, periodStart);
  const share = rule.shares?.find(({ gateway }) => gateway === facts.gateway)?.limit ?? 0;
  const isShared = rule.shares !== undefined;
  return createMessage(QuotaSchema, {
    periodStart: BigInt(periodStart),
    // What other gateways give of their shares takes nothing from this one's.
    usedOnLedger: isShared ? 0n : usedOnLedger,
    usedInChain,
    reserved,
    limit: BigInt(isShared ? share : rule.limit),
  });
}

/** Whether a quota has room for one more attempt. */
export function hasRoom({ usedOnLedger, usedInChain, reserved, limit }: Quota): boolean {
  return usedOnLedger + usedInChain + reserved < limit;
}
