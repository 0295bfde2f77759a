/** Whether what is given stays inside of what is offered and of what was asked for. */
import { agencyOf } from "../base/ids.ts";
import type { AuthorizationDetail, QuotaRule, ServiceBody } from "../credential/statements.ts";

/** Methods and purposes are the service's, and shares of a quota are for gateways of its agency. */
export function isWithinService(detail: AuthorizationDetail, service: ServiceBody): boolean {
  const paths = service.methods.map(({ path }) => path);
  const provider = agencyOf(detail.service);
  return (
    isSubset(detail.methods, paths) &&
    isSubset(detail.purposes, service.purposes) &&
    (detail.quota?.shares ?? []).every(({ gateway }) => agencyOf(gateway) === provider)
  );
}

/** Whether `detail` gives nothing that was not asked for: it may narrow each member, and loosen none. */
export function isWithinRequest(detail: AuthorizationDetail, asked: AuthorizationDetail): boolean {
  return (
    detail.service === asked.service &&
    detail.legal_basis === asked.legal_basis &&
    isSubset(detail.methods, asked.methods) &&
    isSubset(detail.purposes, asked.purposes) &&
    isMaskWithin(detail, asked) &&
    isQuotaWithin(detail.quota, asked.quota) &&
    isBoundWithin(detail.messages_max, asked.messages_max) &&
    isBoundWithin(detail.bytes_max, asked.bytes_max) &&
    (asked.durability !== "ledger" || detail.durability === "ledger")
  );
}

/** Each path is one that was asked for, or below one. Metadata is only limited where fields are. */
function isMaskWithin(
  detail: AuthorizationDetail,
  { fields, metadata = [] }: AuthorizationDetail,
): boolean {
  if (fields === undefined) return true;
  return (
    detail.fields !== undefined &&
    detail.fields.every((path) =>
      fields.some((asked) => path === asked || path.startsWith(`${asked}.`)),
    ) &&
    isSubset(detail.metadata ?? [], metadata)
  );
}

/** Of the same periods: other ones could let through more in a time that lies across two of them. */
function isQuotaWithin(quota: QuotaRule | undefined, asked: QuotaRule | undefined): boolean {
  if (asked === undefined) return true;
  return quota !== undefined && quota.period_s === asked.period_s && quota.limit <= asked.limit;
}

function isBoundWithin(bound: number | undefined, asked: number | undefined): boolean {
  return asked === undefined || (bound !== undefined && bound <= asked);
}

function isSubset(part: readonly string[], whole: readonly string[]): boolean {
  return part.every((one) => whole.includes(one));
}
