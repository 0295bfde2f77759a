/** TLS of the agency listener: old vendor programs speak 1.2, and a caller without a certificate may have a token. */
import { constants } from "node:crypto";
import { readFileSync } from "node:fs";
import type { SecureServerOptions } from "node:http2";
import { createSecureContext } from "node:tls";
import { CausewayError } from "../../src/base/errors.ts";
import { readSecretFile } from "../config-secrets.ts";
import type { AgencyTlsConfig } from "./config.ts";

/**
 * Options of the listener's TLS. A certificate is asked of every client, and whether it counts is decided for
 * each call: what does not authenticate has its answer in gRPC and not as a broken handshake.
 * Throws FILE_UNREADABLE, CONFIG_INVALID for a certificate and key that do not go together.
 */
export function agencyTlsOptions(config: AgencyTlsConfig): SecureServerOptions {
  const options: SecureServerOptions = {
    cert: readFile(config.certificate_file),
    key: readSecretFile(config.key_file),
    ...(config.client_ca_file === undefined ? {} : { ca: readFile(config.client_ca_file) }),
    minVersion: config.min_version,
    // A session must not outlive the certificate that opened it, and HTTP/2 does not renegotiate.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    requestCert: true,
    rejectUnauthorized: false,
  };
  try {
    createSecureContext(options);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CausewayError("CONFIG_INVALID", `agency.tls: ${why}`, { cause });
  }
  return options;
}

function readFile(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new CausewayError("FILE_UNREADABLE", `${file} cannot be read`, { cause });
  }
}
