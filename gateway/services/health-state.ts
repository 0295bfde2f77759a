/** Whether the gateway, and each data service behind it, can be called now. */
import type { Clock } from "../../src/base/clock.ts";
import { agencyOf, cityOf } from "../../src/base/ids.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import type { Replica } from "../../src/ledger/ports.ts";
import { type CallableService, callableServices, isInForce } from "./catalogue.ts";

export interface HealthPorts {
  readonly replica: Pick<Replica, "final" | "view">;
  readonly clock: Clock;
  readonly agency: string;
  /** Why the gateway takes no calls: sealing halted, replica stale or at fault, clock off, shutting down. */
  notReady(): readonly ReasonCode[];
}

/** State by name: "" for the gateway, data service ids, and full names of their gRPC services. */
export type HealthState = ReadonlyMap<string, boolean>;

/** What can be called by this agency system. A name that is not in it is not known to it. */
export function healthState(ports: HealthPorts, system: AgencySystem): HealthState {
  const { clock, replica } = ports;
  const isReady = ports.notReady().length === 0;
  const states = new Map([["", isReady]]);
  const final = replica.final();
  if (final === undefined) return states;
  const nowMs = clock.nowMs();
  const view = replica.view();
  const nowS = Math.floor(nowMs / 1000);
  const isServing = ({ service }: CallableService): boolean =>
    isReady &&
    nowMs - final.timeMs <= service.body.max_staleness_s * 1000 &&
    [service, view.agency(agencyOf(service.id)), view.city(cityOf(service.id))].every((fact) =>
      isInForce(fact, view, nowS),
    );
  for (const callable of callableServices({ view, agency: ports.agency, system, nowS })) {
    const serving = isServing(callable);
    states.set(callable.service.id, serving);
    // Several data services may have one gRPC service: it can be called while one of them can.
    for (const name of callable.grpcNames) states.set(name, serving || states.get(name) === true);
  }
  return states;
}
