/** What this gateway believes and shows over TLS to systems of which the ledger says nothing: services and databases. */
import type { ConnectionOptions } from "node:tls";

/** Texts are PEM. */
export interface ClientTls {
  /** Trust anchors; those of the system without it. */
  readonly ca?: string | undefined;
  /** Name to verify when it is not the host's. */
  readonly serverName?: string | undefined;
  /** Own certificate with its chain, and its private key: both or none. */
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
}

/** The same for what takes options of `node:tls`. */
export function clientTlsOptions({
  ca,
  serverName,
  certificate,
  key,
}: ClientTls): Pick<ConnectionOptions, "minVersion" | "ca" | "servername" | "cert" | "key"> {
  return {
    minVersion: "TLSv1.2",
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(certificate === undefined ? {} : { cert: certificate }),
    ...(key === undefined ? {} : { key }),
  };
}
