/** Each call of the agency side: who makes it, and then to the service that is called. */
import type { Clock } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import { statusOf } from "../../src/exchange/status.ts";
import type { CallerConnection, IncomingCall } from "../../src/exchange/transport/ports.ts";
import type { GatewayConfig } from "../config-types.ts";
import type { Reloadable } from "../reload.ts";
import { withHeaders } from "./call-with-headers.ts";
import { callerHeaders } from "./caller-headers.ts";
import { createFailures, type Failures } from "./failures.ts";
import { AgencyGate, type Caller, type GatePorts } from "./gate.ts";

export type AdmissionConfig = Pick<GatewayConfig, "agency" | "agency_systems">;

export interface AdmissionPorts extends GatePorts {
  readonly clock: Clock;
  /** Serves a call of a system that has authenticated, its headers as the gateway takes them. Must not throw. */
  serve(call: IncomingCall, system: AgencySystem): void;
  /** A call that did not authenticate: it leaves no record, for anybody can make as many as they like. */
  onUnauthenticated(reason: ReasonCode): void;
  onError(error: unknown): void;
}

interface InForce {
  readonly gate: AgencyGate;
  readonly failures: Failures;
}

export class AgencyAdmission implements Reloadable {
  readonly #ports: AdmissionPorts;
  #inForce: InForce;

  private constructor(ports: AdmissionPorts, inForce: InForce) {
    this.#ports = ports;
    this.#inForce = inForce;
  }

  /** Reads what the configuration names. Rejects with FILE_UNREADABLE, CONFIG_INVALID. */
  static async open(config: AdmissionConfig, ports: AdmissionPorts): Promise<AgencyAdmission> {
    return new AgencyAdmission(ports, await openGate(config, ports));
  }

  async prepare(config: AdmissionConfig): Promise<() => void> {
    const next = await openGate(config, this.#ports, this.#inForce.gate);
    return () => {
      this.#inForce = next;
    };
  }

  /**
   * Serves a call, or ends it with the reason why its caller is not known. Never throws.
   *
   * @param serve in the place of what serves other calls; its headers are as the gateway takes them.
   */
  take(
    call: IncomingCall,
    connection: CallerConnection,
    serve: AdmissionPorts["serve"] = (taken, system) => this.#ports.serve(taken, system),
  ): void {
    const { gate, failures } = this.#inForce;
    const { remoteAddress } = connection;
    if (failures.isFull(remoteAddress) && gate.isCostly(call.headers)) {
      return this.#deny(call, "BUSY");
    }
    const deny = (error: unknown): void => {
      const isOurs = error instanceof CausewayError;
      if (!isOurs) this.#ports.onError(error);
      const reason = isOurs ? error.code : "INTERNAL";
      if (isOurs && reason !== "ISSUER_UNAVAILABLE") failures.count(remoteAddress);
      this.#deny(call, reason);
    };
    let caller: Caller | Promise<Caller>;
    try {
      caller = gate.callerOf(call.headers, connection);
    } catch (error) {
      return deny(error);
    }
    if (!(caller instanceof Promise)) return this.#serve(call, caller, gate, serve);
    caller.then((found) => this.#serve(call, found, gate, serve), deny);
  }

  #deny(call: IncomingCall, reason: ReasonCode): void {
    this.#ports.onUnauthenticated(reason);
    call.end(statusOf(reason));
  }

  #serve(
    call: IncomingCall,
    { system, official }: Caller,
    gate: AgencyGate,
    serve: AdmissionPorts["serve"],
  ): void {
    const headers = callerHeaders(call.headers, {
      defaults: system.defaults,
      official,
      dropAuthorization: gate.takesTokens,
    });
    serve(withHeaders(call, headers), system);
  }
}

async function openGate(
  config: AdmissionConfig,
  ports: AdmissionPorts,
  before?: AgencyGate,
): Promise<InForce> {
  const { per_second: perSecond, burst } = config.agency.failures;
  return {
    gate: await AgencyGate.open(config, ports, before),
    failures: createFailures({ perSecond, burst }, ports.clock),
  };
}
