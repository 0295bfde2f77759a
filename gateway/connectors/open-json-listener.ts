/** Opens the listener for HTTP and JSON callers where the configuration has one. */
import type { Replica } from "../../src/ledger/ports.ts";
import type { AgencyListener } from "../agency/listener.ts";
import { agencyTlsOptions } from "../agency/tls.ts";
import type { GatewayConfig } from "../config-types.ts";
import type { Reloadable } from "../reload.ts";
import { parseHostPort } from "../tls.ts";
import { followCatalogue } from "../transcoding/catalogue-routes.ts";
import { type JsonListenerOptions, listenJson } from "./json-listener.ts";

export interface OpenJsonListener extends Reloadable {
  close(graceMs: number): Promise<void>;
}

/** `undefined` without `listeners.http_json`. Rejects as the agency listener does. */
export async function openJsonListener(options: {
  readonly config: GatewayConfig;
  /** Agency id of this gateway. */
  readonly agency: string;
  /** Who finds out who calls. */
  readonly admission: Pick<AgencyListener["admission"], "take">;
  readonly replica: Pick<Replica, "view" | "blob">;
  readonly serve: JsonListenerOptions["serve"];
}): Promise<OpenJsonListener | undefined> {
  const { config, agency, admission, replica, serve } = options;
  const listen = config.listeners.http_json;
  if (listen === undefined) return undefined;
  const { tls } = config.agency;
  let { message_bytes_max } = config.limits;
  const listener = await listenJson({
    ...parseHostPort(listen),
    secure: tls === undefined ? undefined : agencyTlsOptions(tls),
    messageBytesMax: () => message_bytes_max,
    routes: followCatalogue(replica, agency),
    admit: (call, connection, admitted) => admission.take(call, connection, admitted),
    serve,
  });
  return {
    prepare: (next) => {
      const secure = next.agency.tls === undefined ? undefined : agencyTlsOptions(next.agency.tls);
      return () => {
        ({ message_bytes_max } = next.limits);
        if (secure !== undefined) listener.updateSecure(secure);
      };
    },
    close: (graceMs) => listener.close(graceMs),
  };
}
