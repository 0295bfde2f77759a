/** TLS keys of gateways and witnesses: P-256, self-signed, trusted because the ledger names them. */
import {
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  X509Certificate,
  type KeyObject,
} from "node:crypto";
import {
  derBits,
  derBytes,
  derExplicit,
  derObjectId,
  derPositiveInteger,
  derSequence,
  derSet,
  derTime,
  derTrue,
  derUtf8,
} from "./der.ts";

export interface TlsKey {
  readonly certificateDer: Uint8Array;
  /** PKCS #8. */
  readonly privateKeyPem: string;
}

const commonNameId = "2.5.4.3";
const ecdsaWithSha256 = derSequence(derObjectId("1.2.840.10045.4.3.2"));
const digitalSignature = derBits(Uint8Array.of(0x80), 7);

function extension(id: string, value: Uint8Array, critical: boolean): Uint8Array {
  const flag = critical ? [derTrue] : [];
  return derSequence(derObjectId(id), ...flag, derBytes(value));
}

// No certificate authority, signatures only, for both ends of a link. No alternative name: the common
// name is the only one.
const extensions = derSequence(
  extension("2.5.29.19", derSequence(), true),
  extension("2.5.29.15", digitalSignature, true),
  extension(
    "2.5.29.37",
    derSequence(derObjectId("1.3.6.1.5.5.7.3.1"), derObjectId("1.3.6.1.5.5.7.3.2")),
    false,
  ),
);

function serialNumber(): Uint8Array {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] as number) & 0x3f) | 0x40;
  return bytes;
}

interface CertificateTerms {
  /** The only name that the certificate carries, as its common name. */
  readonly name: string;
  /** Unix milliseconds, cut to the second. */
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

function toBeSigned(terms: CertificateTerms, publicKey: KeyObject): Uint8Array {
  const name = derSequence(derSet(derSequence(derObjectId(commonNameId), derUtf8(terms.name))));
  return derSequence(
    derExplicit(0, derPositiveInteger(Uint8Array.of(2))),
    derPositiveInteger(serialNumber()),
    ecdsaWithSha256,
    name,
    derSequence(derTime(terms.notBeforeMs), derTime(terms.notAfterMs)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
    derExplicit(3, extensions),
  );
}

/** A new P-256 key with its self-signed certificate (RFC 5280, version 3). */
export function createSelfSignedCertificate(terms: CertificateTerms): TlsKey {
  if (terms.name === "" || !(terms.notBeforeMs < terms.notAfterMs)) {
    throw new RangeError("a certificate has a name and ends after it begins");
  }
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const tbs = toBeSigned(terms, publicKey);
  const signature = sign("sha256", tbs, privateKey);
  return {
    certificateDer: derSequence(tbs, ecdsaWithSha256, derBits(signature)),
    privateKeyPem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}

function parseCertificate(certificateDer: Uint8Array): X509Certificate | undefined {
  try {
    return new X509Certificate(certificateDer);
  } catch {
    // Node says in no other way that the bytes do not parse.
    return undefined;
  }
}

/** Whether `privateKeyPem` is the private key of the certificate's public key. */
export function isKeyOfCertificate(privateKeyPem: string, certificateDer: Uint8Array): boolean {
  return (
    parseCertificate(certificateDer)?.checkPrivateKey(createPrivateKey(privateKeyPem)) ?? false
  );
}

/**
 * The common name of a certificate whose only name it is; `undefined` when the bytes are no certificate,
 * or the subject has other parts, or there are alternative names.
 */
export function commonName(certificateDer: Uint8Array): string | undefined {
  const certificate = parseCertificate(certificateDer);
  if (certificate === undefined || certificate.subjectAltName !== undefined) return undefined;
  const subject = { ...(certificate.toLegacyObject().subject as object) };
  const [[part, name] = [], ...others] = Object.entries(subject) as [string, unknown][];
  return part === "CN" && typeof name === "string" && others.length === 0 ? name : undefined;
}
