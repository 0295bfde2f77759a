/** What of the catalogue an agency system can call: granted to its agency or offered by it. */
import { agencyOf } from "../../src/base/ids.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import type { RegistryView, ServiceFact, Standing } from "../../src/registry/state.ts";

/** A data service with the gRPC services whose methods it lets this agency call. */
export interface CallableService {
  readonly service: ServiceFact;
  /** Full names, ascending. */
  readonly grpcNames: readonly string[];
}

/** The gRPC service of a method path; `undefined` for what is none. */
export function grpcServiceOf(methodPath: string): string | undefined {
  return /^\/([^/]+)\/[^/]+$/.exec(methodPath)?.[1];
}

/** Whether the configuration lets an agency system use a data service. */
export function mayUse(system: AgencySystem, serviceId: string): boolean {
  return system.services?.includes(serviceId) ?? true;
}

/** Whether a fact gives at this time, in Unix seconds, as a decision under the view sees it. */
export function isInForce(
  fact: { readonly standing: Standing } | undefined,
  { seenSize }: RegistryView,
  nowS: number,
): boolean {
  if (fact === undefined) return false;
  const { until, nbf = 0, exp = Number.POSITIVE_INFINITY } = fact.standing;
  return (until === undefined || until.index >= seenSize) && nbf <= nowS && nowS < exp;
}

/** Data services that are granted to the agency at this time, or its own, ascending by id. */
export function callableServices(options: {
  readonly view: RegistryView;
  readonly agency: string;
  readonly system: AgencySystem;
  /** Unix seconds. */
  readonly nowS: number;
}): CallableService[] {
  const { view, agency, system, nowS } = options;
  const granted = new Map<string, Set<string>>();
  for (const grant of view.grantsOf(agency)) {
    const { detail, standing } = grant;
    // A revocation counts from the moment that it is known, final or not.
    if (standing.until !== undefined || !isInForce(grant, view, nowS)) continue;
    const methods = granted.get(detail.service) ?? new Set();
    for (const method of detail.methods) methods.add(method);
    granted.set(detail.service, methods);
  }
  return view
    .services()
    .filter(({ id }) => mayUse(system, id) && (granted.has(id) || agencyOf(id) === agency))
    .map((service) => ({ service, grpcNames: grpcNames(service, agency, granted) }))
    .toSorted((a, b) => (a.service.id < b.service.id ? -1 : 1));
}

function grpcNames(
  { id, body }: ServiceFact,
  agency: string,
  granted: ReadonlyMap<string, ReadonlySet<string>>,
): string[] {
  const isOwn = agencyOf(id) === agency;
  const names = body.methods
    .filter(({ path }) => isOwn || granted.get(id)?.has(path) === true)
    .map(({ path }) => grpcServiceOf(path));
  return [...new Set(names.filter((name) => name !== undefined))].toSorted();
}
