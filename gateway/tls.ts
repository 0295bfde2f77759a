/** Trust in a TLS key that is known by its digest alone: the first links, before any certificate is on the ledger. */
import { createHash, X509Certificate } from "node:crypto";
import { connect, type TLSSocket } from "node:tls";
import { CausewayError } from "../src/base/errors.ts";
import { certificatesRememberedMax } from "../src/base/limits.ts";
import { Lru } from "../src/base/lru.ts";

export { acceptExactly, certificatePem } from "../src/exchange/transport/tls-options.ts";

const probeTimeoutMs = 10_000;

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, an IPv6 address in brackets. Throws CONFIG_INVALID. */
export function parseHostPort(address: string): HostPort {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) {
    throw new CausewayError("CONFIG_INVALID", `not an address of the form host:port: ${address}`);
  }
  return { host: (match[1] ?? match[2]) as string, port };
}

// A certificate is looked up for every call of a peer, and parsing one costs more than most calls.
const spkiDigests = new Lru<string, string>(certificatesRememberedMax);

/** SHA-256 of the certificate's SubjectPublicKeyInfo in DER, lower-case hex: its TLS key digest. */
export function spkiDigest(certificate: Uint8Array): string {
  const name = Buffer.from(certificate.buffer, certificate.byteOffset, certificate.length).toString(
    "latin1",
  );
  const known = spkiDigests.get(name);
  if (known !== undefined) return known;
  const digest = digestSpki(certificate);
  spkiDigests.set(name, digest);
  return digest;
}

function digestSpki(certificate: Uint8Array): string {
  const spki = new X509Certificate(certificate).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(spki).digest("hex");
}

/**
 * The certificate that a server presents, if its key has the digest, or one of those, that are expected.
 * The handshake proves possession of the key only to a connection that then pins this certificate: nothing is sent on the probe.
 * Rejects with LEDGER_UNAVAILABLE when there is no connection, SIGNATURE_INVALID when the key is another.
 */
export async function pinCertificate(
  address: string,
  digest: string | readonly string[],
): Promise<Uint8Array> {
  const expected = [digest].flat();
  const raw = await presentedCertificate(parseHostPort(address));
  if (!expected.includes(spkiDigest(raw))) {
    throw new CausewayError("SIGNATURE_INVALID", "the server presents another TLS key", {
      fields: { address, expected: expected.join(" "), presented: spkiDigest(raw) },
    });
  }
  return raw;
}

function presentedCertificate({ host, port }: HostPort): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const unavailable = (cause: unknown): void =>
      reject(
        new CausewayError("LEDGER_UNAVAILABLE", `no TLS connection to ${host}:${port}`, { cause }),
      );
    // Nothing is trusted by this connection: the caller compares the key and connects anew, with this certificate as its only anchor.
    const socket: TLSSocket = connect({
      host,
      port,
      rejectUnauthorized: false,
      minVersion: "TLSv1.3",
      ALPNProtocols: ["h2", "http/1.1"],
    });
    socket.setTimeout(probeTimeoutMs, () => socket.destroy(new Error("timed out")));
    socket.once("error", unavailable);
    socket.once("secureConnect", () => {
      const { raw } = socket.getPeerCertificate();
      socket.destroy();
      if (raw === undefined) unavailable(new Error("no certificate was presented"));
      else resolve(new Uint8Array(raw));
    });
  });
}
