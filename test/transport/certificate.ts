/** Self-signed X.509 certificates for tests, as DER written by hand (RFC 5280). */
import { generateKeyPairSync, sign } from "node:crypto";
import { certificatePem } from "../../src/exchange/transport/tls-options.ts";

export interface Identity {
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: string;
  readonly der: Uint8Array;
}

export interface IdentityOptions {
  /** Unix milliseconds; an hour from now unless given. */
  readonly notAfterMs?: number;
  readonly notBeforeMs?: number;
  /** DNS names among the subject alternative names. */
  readonly dnsNames?: readonly string[];
  /** Signs in the place of the own key. */
  readonly authority?: { readonly name: string; readonly privateKey: string };
  readonly isAuthority?: boolean;
}

/** A key pair of P-256 and its certificate, with `name` as the common name; its own authority unless one is given. */
export function createIdentity(name: string, options: IdentityOptions = {}): Identity {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const ecdsaWithSha256 = sequence(objectId(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
  const subject = distinguishedName(name);
  const body = sequence(
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.of(1)),
    ecdsaWithSha256,
    options.authority === undefined ? subject : distinguishedName(options.authority.name),
    sequence(
      time(options.notBeforeMs ?? Date.now() - 60_000),
      time(options.notAfterMs ?? Date.now() + 3_600_000),
    ),
    subject,
    publicKey.export({ type: "spki", format: "der" }),
    ...extensions(options),
  );
  const signature = sign("sha256", body, options.authority?.privateKey ?? privateKey);
  const certificate = sequence(
    body,
    ecdsaWithSha256,
    der(0x03, Buffer.concat([Buffer.of(0), signature])),
  );
  return {
    certificate: certificatePem(certificate),
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    der: new Uint8Array(certificate),
  };
}

function distinguishedName(name: string): Buffer {
  const commonName = sequence(objectId(0x55, 0x04, 0x03), der(0x0c, Buffer.from(name)));
  return sequence(der(0x31, commonName));
}

function extensions({ dnsNames, isAuthority }: IdentityOptions): readonly Buffer[] {
  const names = (dnsNames ?? []).map((name) => der(0x82, Buffer.from(name)));
  const all = [
    ...(isAuthority === true
      ? [extension([0x55, 0x1d, 0x13], sequence(der(0x01, Buffer.of(0xff))))]
      : []),
    ...(names.length > 0 ? [extension([0x55, 0x1d, 0x11], sequence(...names))] : []),
  ];
  return all.length === 0 ? [] : [der(0xa3, sequence(...all))];
}

function extension(id: readonly number[], value: Buffer): Buffer {
  return sequence(objectId(...id), der(0x04, value));
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 128) return Buffer.concat([Buffer.of(tag, length), content]);
  return Buffer.concat([Buffer.of(tag, 0x82, length >> 8, length & 255), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function objectId(...bytes: readonly number[]): Buffer {
  return der(0x06, Buffer.from(bytes));
}

function time(unixMs: number): Buffer {
  const digits = new Date(unixMs).toISOString().replace(/[-:T]|\.\d+/g, "");
  return der(0x17, Buffer.from(digits.slice(2)));
}
