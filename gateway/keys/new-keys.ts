/** What a new key folder holds: the private keys of its owner's kind, and the card that shows them. */
import { randomBytes } from "node:crypto";
import { toBase64, toHex } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { formatKey } from "../../src/credential/key-text.ts";
import type {
  AdministratorRole,
  AgencyRole,
  GatewayEndpoints,
} from "../../src/credential/statements.ts";
import { createEd25519KeyPair } from "../../src/crypto/node.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { spkiDigest } from "../tls.ts";
import type { AdministratorCard, AgencyCard, Card, CityCard, GatewayCard } from "./card.ts";
import { createSelfSignedCertificate } from "./tls.ts";

/** Whose keys they are, and what else its card says. */
export type Owner =
  | {
      readonly kind: "city";
      readonly id: string;
      /** Official division code, six digits. */
      readonly division: string;
      /** Where its witness listens, `host:port`. */
      readonly witnessAddress: string;
    }
  | {
      readonly kind: "agency";
      readonly id: string;
      readonly name: string;
      readonly roles: readonly AgencyRole[];
    }
  | {
      readonly kind: "gateway";
      readonly id: string;
      readonly endpoints: GatewayEndpoints;
      /** Whether it gets the log key of a sequencer. */
      readonly sequencer: boolean;
    }
  | {
      readonly kind: "administrator";
      readonly agency: string;
      readonly roles: readonly AdministratorRole[];
    };

/** Names of the key files, without their ending. */
export type KeyName =
  | "authority"
  | "next-authority"
  | "witness"
  | "witness-tls"
  | "batch"
  | "token"
  | "log"
  | "tls"
  | "administrator";

export interface NewKeys {
  readonly card: Card;
  /** A 32-byte seed for an Ed25519 key, PKCS #8 PEM for a TLS key. */
  readonly privateKeys: ReadonlyMap<KeyName, string | Uint8Array>;
}

const dayMs = 24 * 3600 * 1000;
/** Days that a new TLS certificate is valid; one day more before, for clocks that are behind. */
export const certificateDays: number = 5 * 365;

/** Makes keys, and keeps the private half of each. */
export class KeyMaker {
  readonly privateKeys: Map<KeyName, string | Uint8Array> = new Map();
  readonly #nowMs: number;

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  /** The raw public key of a new Ed25519 key. */
  ed25519(name: KeyName): Uint8Array {
    const { seed, publicKey } = createEd25519KeyPair(randomBytes(32));
    this.privateKeys.set(name, seed);
    return publicKey;
  }

  /** The certificate and key digest of a new TLS key, whose only name is `commonName`. */
  tls(name: KeyName, commonName: string): { readonly certificate: string; readonly spki: string } {
    const { certificateDer, privateKeyPem } = createSelfSignedCertificate({
      name: commonName,
      notBeforeMs: this.#nowMs - dayMs,
      notAfterMs: this.#nowMs + certificateDays * dayMs,
    });
    this.privateKeys.set(name, privateKeyPem);
    return { certificate: toBase64(certificateDer), spki: spkiDigest(certificateDer) };
  }
}

function authorityKeys(maker: KeyMaker): { readonly authority: string; readonly next: string } {
  return {
    authority: formatKey(maker.ed25519("authority")),
    next: toHex(sha256(maker.ed25519("next-authority"))),
  };
}

/** The name in the certificate of a city's witness. */
export function witnessName(city: string): string {
  return `${city}/witness`;
}

function cityCard(owner: Extract<Owner, { kind: "city" }>, maker: KeyMaker): CityCard {
  const tls = maker.tls("witness-tls", witnessName(owner.id));
  return {
    kind: "city",
    id: owner.id,
    division: owner.division,
    ...authorityKeys(maker),
    witness: formatKey(maker.ed25519("witness")),
    witness_address: owner.witnessAddress,
    witness_tls: tls.spki,
    witness_certificate: tls.certificate,
  };
}

function agencyCard(owner: Extract<Owner, { kind: "agency" }>, maker: KeyMaker): AgencyCard {
  const { id, name, roles } = owner;
  return { kind: "agency", id, name, roles: roles.toSorted(), ...authorityKeys(maker) };
}

function gatewayCard(owner: Extract<Owner, { kind: "gateway" }>, maker: KeyMaker): GatewayCard {
  const { certificate, spki } = maker.tls("tls", owner.id);
  return {
    kind: "gateway",
    id: owner.id,
    batch: formatKey(maker.ed25519("batch")),
    token: formatKey(maker.ed25519("token")),
    ...(owner.sequencer ? { log: formatKey(maker.ed25519("log")) } : {}),
    certificates: [certificate],
    tls: [spki],
    endpoints: owner.endpoints,
  };
}

function administratorCard(
  owner: Extract<Owner, { kind: "administrator" }>,
  maker: KeyMaker,
): AdministratorCard {
  const key = maker.ed25519("administrator");
  return {
    kind: "administrator",
    id: thumbprint(key),
    agency: owner.agency,
    key: formatKey(key),
    roles: owner.roles.toSorted(),
  };
}

function cardOf(owner: Owner, maker: KeyMaker): Card {
  switch (owner.kind) {
    case "city":
      return cityCard(owner, maker);
    case "agency":
      return agencyCard(owner, maker);
    case "gateway":
      return gatewayCard(owner, maker);
    case "administrator":
      return administratorCard(owner, maker);
  }
}

/** New keys for `owner`; certificates are valid from `nowMs`, Unix milliseconds. */
export function createKeys(owner: Owner, nowMs: number): NewKeys {
  const maker = new KeyMaker(nowMs);
  return { card: cardOf(owner, maker), privateKeys: maker.privateKeys };
}
