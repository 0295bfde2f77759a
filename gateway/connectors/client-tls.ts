/** What this gateway believes and shows when it calls a service or database over TLS. */
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { CausewayError } from "../../src/base/errors.ts";
import { type ClientTls, clientTlsOptions } from "../../src/exchange/transport/client-tls.ts";
import { readSecretFile } from "../config-secrets.ts";
import type { ConnectorTlsConfig } from "./config.ts";

/**
 * Reads the files that the configuration names. Throws FILE_UNREADABLE, also for a key that others can read,
 * and CONFIG_INVALID for what is no certificate or key, or for two that do not go together.
 */
export function readClientTls(tls: ConnectorTlsConfig): ClientTls {
  const { ca_file, server_name, certificate_file, key_file } = tls;
  const read: ClientTls = {
    ...(ca_file === undefined ? {} : { ca: readPem(ca_file) }),
    ...(server_name === undefined ? {} : { serverName: server_name }),
    ...(certificate_file === undefined ? {} : { certificate: readPem(certificate_file) }),
    ...(key_file === undefined ? {} : { key: readSecretFile(key_file) }),
  };
  assertUsable(read, ca_file);
  return read;
}

function assertUsable(tls: ClientTls, caFile: string | undefined): void {
  const { ca } = tls;
  // A file without a certificate in it is no trust anchor at all, and no error either.
  if (ca !== undefined && !ca.includes("-----BEGIN CERTIFICATE-----")) {
    throw new CausewayError("CONFIG_INVALID", `${caFile} holds no certificate`);
  }
  try {
    createSecureContext(clientTlsOptions(tls));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CausewayError("CONFIG_INVALID", `the TLS of an upstream: ${why}`, { cause });
  }
}

function readPem(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new CausewayError("FILE_UNREADABLE", `${file} cannot be read`, { cause });
  }
}
