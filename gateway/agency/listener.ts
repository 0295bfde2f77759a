/** The listener for the programs of this agency (DESIGN section 9). */
import type { Clock, Scheduler } from "../../src/base/clock.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import type { Verifier } from "../../src/crypto/ports.ts";
import type { AgencySystem } from "../../src/exchange/resolve-call.ts";
import { listenHttp2 } from "../../src/exchange/transport/http2-listener.ts";
import type { IncomingCall } from "../../src/exchange/transport/ports.ts";
import type { GatewayConfig } from "../config-types.ts";
import type { Reloadable } from "../reload.ts";
import { parseHostPort } from "../tls.ts";
import { AgencyAdmission } from "./admission.ts";
import { fetchKeySet } from "./fetch-key-set.ts";
import { agencyTlsOptions } from "./tls.ts";

export type AgencyListenerConfig = Pick<
  GatewayConfig,
  "listeners" | "agency" | "agency_systems" | "limits"
>;

export interface AgencyListenerPorts {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly verifier: Verifier;
  /** Serves a call of an agency system that has authenticated. Must not throw. */
  serve(call: IncomingCall, system: AgencySystem): void;
  /** A call that did not authenticate, or whose framing was broken. */
  onUnauthenticated(reason: ReasonCode): void;
  /** Keys of an identity provider that could not be fetched: those fetched last hold. */
  onKeysUnavailable(issuer: string, error: unknown): void;
  onError(error: unknown): void;
}

export interface AgencyListener extends Reloadable {
  readonly port: number;
  prepare(config: GatewayConfig): Promise<() => void>;
  /** Takes calls that come another way than over gRPC, under the same conditions. */
  readonly admission: AgencyAdmission;
  /** Takes no new calls and lets open ones end, for at most `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/** Rejects with FILE_UNREADABLE, CONFIG_INVALID, or the socket's error when the address cannot be bound. */
export async function openAgencyListener(
  config: AgencyListenerConfig,
  ports: AgencyListenerPorts,
): Promise<AgencyListener> {
  const admission = await AgencyAdmission.open(config, {
    ...ports,
    fetchKeySet,
    onFetchFailed: (issuer, error) => ports.onKeysUnavailable(issuer, error),
  });
  const { tls } = config.agency;
  const listener = await listenHttp2({
    ...parseHostPort(config.listeners.agency),
    scheduler: ports.scheduler,
    ...(tls === undefined ? {} : { secure: agencyTlsOptions(tls) }),
    messageBytesMax: config.limits.message_bytes_max,
    onCall: (call, connection) => admission.take(call, connection),
    onProtocolError: (reason) => ports.onUnauthenticated(reason),
  });
  return {
    port: listener.port,
    admission,
    prepare: async (next) => {
      const secure = next.agency.tls === undefined ? undefined : agencyTlsOptions(next.agency.tls);
      const commit = await admission.prepare(next);
      return () => {
        commit();
        listener.updateMessageBytesMax(next.limits.message_bytes_max);
        if (secure !== undefined) listener.updateSecure(secure);
      };
    },
    close: (graceMs) => listener.close(graceMs),
  };
}
