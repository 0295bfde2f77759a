/** grpc.health.v1 for agency systems: the gateway under the empty name, and each data service they can call. */
import { create, toBinary } from "@bufbuild/protobuf";
import type { Scheduler } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { healthWatchesMax } from "../../src/base/limits.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import { statusOf } from "../../src/exchange/status.ts";
import type { IncomingCall } from "../../src/exchange/transport/ports.ts";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthCheckResponseSchema,
} from "../../src/gen/grpc/health/v1/health_pb.ts";
import { type HealthPorts, type HealthState, healthState } from "./health-state.ts";
import { readOnly, type ServeCall, serveUnary, statusOfError } from "./served-call.ts";

export interface HealthOptions extends HealthPorts {
  readonly scheduler: Scheduler;
  readonly onError: (error: unknown) => void;
}

export interface HealthService {
  /** By method path. */
  readonly methods: ReadonlyMap<string, ServeCall>;
  /** Tells every watch what holds now; with `ending` ends it too. */
  refresh(ending: boolean): void;
}

interface Watch {
  readonly call: IncomingCall;
  readonly caller: AgencySystem;
  readonly service: string;
  told: ServingStatus | undefined;
  isSending: boolean;
}

/** States are looked at this often while somebody watches, in milliseconds. */
const pollMs = 500;

export function createHealthService(options: HealthOptions): HealthService {
  const watches = new Set<Watch>();
  let cancelPoll: (() => void) | undefined;

  const check: ServeCall = (call, caller) => {
    serve(call, () =>
      serveUnary(call, Health.method.check, ({ service }) => {
        const serving = healthState(options, caller).get(service);
        if (serving !== undefined) return { status: statusFor(serving) };
        throw new CausewayError("SERVICE_UNKNOWN", "no such data service for this caller");
      }),
    );
  };

  const list: ServeCall = (call, caller) => {
    serve(call, () =>
      serveUnary(call, Health.method.list, () => ({
        statuses: Object.fromEntries(
          [...healthState(options, caller)].map(([name, serving]) => [
            name,
            { status: statusFor(serving) },
          ]),
        ),
      })),
    );
  };

  const watch: ServeCall = (call, caller) => {
    serve(call, async () => {
      const { service } = await readOnly(call, Health.method.watch.input);
      if (watches.size >= healthWatchesMax) throw new CausewayError("BUSY", "too many watches");
      const added: Watch = { call, caller, service, told: undefined, isSending: false };
      watches.add(added);
      call.onCancelled(() => watches.delete(added));
      tell(added);
      cancelPoll ??= options.scheduler.after(pollMs, poll);
    });
  };

  function serve(call: IncomingCall, work: () => Promise<void>): void {
    work().catch((error: unknown) => call.end(statusOfError(error, options.onError)));
  }

  function poll(): void {
    cancelPoll = undefined;
    refresh(false);
    if (watches.size > 0) cancelPoll = options.scheduler.after(pollMs, poll);
  }

  function refresh(ending: boolean): void {
    const states = new Map<AgencySystem, HealthState>();
    for (const each of [...watches]) {
      const state = states.get(each.caller) ?? healthState(options, each.caller);
      states.set(each.caller, state);
      tell(each, state);
      if (ending) end(each);
    }
    if (ending) cancelPoll?.();
  }

  /** Sends a state that has changed. A caller that does not read hears of the newest one when it does. */
  function tell(to: Watch, states: HealthState = healthState(options, to.caller)): void {
    const status = statusFor(states.get(to.service));
    if (to.isSending || status === to.told) return;
    to.told = status;
    to.isSending = true;
    const response = create(HealthCheckResponseSchema, { status });
    const sent = to.call.sendMessage(toBinary(HealthCheckResponseSchema, response));
    sent.then(
      () => {
        to.isSending = false;
        if (watches.has(to)) tell(to);
      },
      (error: unknown) => {
        watches.delete(to);
        to.call.end(statusOfError(error, options.onError));
      },
    );
  }

  function end(each: Watch): void {
    watches.delete(each);
    each.call.end(statusOf("SHUTTING_DOWN"));
  }

  return {
    methods: new Map([
      ["/grpc.health.v1.Health/Check", check],
      ["/grpc.health.v1.Health/List", list],
      ["/grpc.health.v1.Health/Watch", watch],
    ]),
    refresh,
  };
}

function statusFor(serving: boolean | undefined): ServingStatus {
  if (serving === undefined) return ServingStatus.SERVICE_UNKNOWN;
  return serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
}
