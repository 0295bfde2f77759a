/** What is kept of all that a release rests on. */
import type { Decision, Obligations } from "../gen/causeway/record/v1/parts_pb.ts";
import { formatAddress } from "../record/handle.ts";
import type { RegistryState, RegistryView } from "../registry/state.ts";
import type { Foundation } from "./attempt.ts";
import type { GrantEnd } from "./batch-times.ts";
import type { RecordedCall } from "./recorded-calls.ts";

/** What a release rests on; `undefined` when the statement names no grant or service of this ledger. */
export function foundationOf(
  { statement: { grant: address, service: serviceId }, issuedAt: issuedAtS }: RecordedCall,
  said: { readonly decision: Decision; readonly obligations: Obligations | undefined },
  state: RegistryState,
  view: RegistryView,
): Foundation | undefined {
  const service = view.service(serviceId);
  const grantJti =
    address === undefined
      ? undefined
      : state.grantsByAddress.get(formatAddress(address.index, address.position));
  if (service === undefined || grantJti === undefined || !state.grants.has(grantJti)) {
    return undefined;
  }
  const { decision, obligations } = said;
  const { window = 0, messagesMax = 0n, bytesMax = 0n } = obligations ?? {};
  const masked = (obligations?.maskPaths.length ?? 0) > 0;
  return {
    decision,
    grantJti,
    service: service.id,
    maxStalenessMs: service.body.max_staleness_s * 1000,
    issuedAtS,
    masked,
    window,
    messagesMax,
    bytesMax,
  };
}

/** Milliseconds; `undefined` where the service is not known. */
export function maxStalenessOf(service: string, view: RegistryView): number | undefined {
  const seconds = view.service(service)?.body.max_staleness_s;
  return seconds === undefined ? undefined : seconds * 1000;
}

/** How a grant ends, as the registry knows by now. */
export function grantEnd(jti: string, state: RegistryState): GrantEnd {
  const { until, exp } = state.grants.get(jti)?.standing ?? {};
  return { jti, until: until?.index, exp };
}
