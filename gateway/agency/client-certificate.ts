/** What a client certificate says of an agency system, once TLS has shown that the client holds its key. */
import { X509Certificate } from "node:crypto";
import { spkiDigest } from "../tls.ts";

export interface ClientCertificate {
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  readonly spki: string;
  /** Subject alternative names, such as `DNS:desk.example`. */
  readonly names: readonly string[];
  /** Unix milliseconds. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Reads a certificate; `undefined` for one that cannot be read. */
export function clientCertificate(der: Uint8Array): ClientCertificate | undefined {
  try {
    const { subjectAltName, validFrom, validTo } = new X509Certificate(der);
    return {
      spki: spkiDigest(der),
      names: alternativeNames(subjectAltName),
      notBeforeMs: Date.parse(validFrom),
      notAfterMs: Date.parse(validTo),
    };
  } catch {
    // OpenSSL took it in the handshake; what it does not read again names nobody.
    return undefined;
  }
}

/** Node quotes a name that holds what could be taken for two names: a list with one is not split. */
function alternativeNames(text: string | undefined): readonly string[] {
  return text === undefined || text.includes('"') ? [] : text.split(", ");
}
