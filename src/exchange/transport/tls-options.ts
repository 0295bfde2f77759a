/** TLS with exactly the certificates that the ledger binds: self-signed, each its own trust anchor. */
import { constants } from "node:crypto";
import type { SecureServerOptions } from "node:http2";
import type { PeerCertificate, SecureContextOptions } from "node:tls";

/** What one side shows, and whom it believes. */
export interface PeerTls {
  /** Own certificate and private key, PEM. */
  readonly certificate: string;
  readonly privateKey: string;
  /** DER of the certificates of all peers that may connect, or of the one that is called. */
  readonly trusted: readonly Uint8Array[];
}

/** A DER certificate as PEM. */
export function certificatePem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** TLS 1.3 only, no session tickets: a session must not outlive the certificate that opened it. */
export function secureContextOptions(tls: PeerTls): SecureContextOptions {
  return {
    cert: tls.certificate,
    key: tls.privateKey,
    ca: tls.trusted.map(certificatePem),
    minVersion: "TLSv1.3",
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** Options of a server that lets in the trusted certificates and nobody else. */
export function serverTlsOptions(tls: PeerTls): SecureServerOptions {
  return {
    ...secureContextOptions(tls),
    requestCert: true,
    rejectUnauthorized: true,
    ALPNProtocols: ["h2"],
  };
}

/** For `checkServerIdentity`: exactly one of these certificates, whatever names it carries. */
export function acceptExactly(
  trusted: readonly Uint8Array[],
): (host: string, peer: PeerCertificate) => Error | undefined {
  return (_host, { raw }) =>
    trusted.some((der) => Buffer.compare(der, raw) === 0)
      ? undefined
      : new Error("the peer shows another certificate");
}
