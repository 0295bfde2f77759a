/** Whom this gateway talks to, from the ledger alone: certificates, addresses and token keys of gateways. */
import { equalBytes, parseBase64, parseHex } from "../src/base/bytes.ts";
import { thumbprint } from "../src/crypto/thumbprint.ts";
import type { Replica } from "../src/ledger/ports.ts";
import { isWithdrawn } from "../src/registry/standing.ts";
import type { GatewayFact, RegistryState } from "../src/registry/state.ts";
import { spkiDigest } from "./tls.ts";

/** A gateway that the newest included state does not say is taken away. */
function current(state: RegistryState, id: string): GatewayFact | undefined {
  const fact = state.gateways.get(id)?.at(-1);
  return fact?.standing.until === undefined ? fact : undefined;
}

/**
 * DER of every certificate that a gateway states, also of one that is suspended: it drains, and its city's
 * witness may follow the ledger through it. Who may do what with a link is asked for each use.
 */
export function trustedCertificates(state: RegistryState): Uint8Array[] {
  return [...state.gateways.keys()].flatMap((id) => statedCertificates(state, id));
}

// What a statement says never changes, and a peer is looked up for every call.
const parsedCertificates = new WeakMap<readonly string[], readonly Uint8Array[]>();

function statedCertificates(state: RegistryState, id: string): readonly Uint8Array[] {
  const texts = state.gateways.get(id)?.at(-1)?.body.certificates;
  if (texts === undefined) return [];
  const known = parsedCertificates.get(texts);
  if (known !== undefined) return known;
  const parsed = texts.flatMap((text) => parseBase64(text) ?? []);
  parsedCertificates.set(texts, parsed);
  return parsed;
}

/**
 * Whether this certificate is of a gateway that may follow the ledger and submit what it has sealed, which a
 * suspension does not take away: otherwise it could not drain, and its city's witness would stop.
 */
export function isLedgerMember(certificate: Uint8Array | undefined, replica: Replica): boolean {
  if (certificate === undefined) return false;
  const tlsKey = parseHex(spkiDigest(certificate));
  const fact = tlsKey === undefined ? undefined : replica.view().gatewayOfTlsKey(tlsKey);
  if (fact === undefined) return false;
  return statedCertificates(replica.state(), fact.id).some((der) => equalBytes(der, certificate));
}

/** DER of the certificates of one gateway in force. */
export function certificatesOf(state: RegistryState, gateway: string): readonly Uint8Array[] {
  return current(state, gateway) === undefined ? [] : statedCertificates(state, gateway);
}

/** Every batch key that the ledger has ever bound to a gateway, raw, in the order of the ledger. */
export function boundBatchKeys(state: RegistryState, gateway: string): readonly Uint8Array[] {
  return (state.gateways.get(gateway) ?? []).map(({ batchKey }) => batchKey);
}

/** Every token key that the ledger has ever bound to a gateway, raw, in the order of the ledger. */
export function boundTokenKeys(state: RegistryState, gateway: string): readonly Uint8Array[] {
  return (state.gateways.get(gateway) ?? []).map(({ tokenKey }) => tokenKey);
}

export interface Peer {
  readonly gateway: string;
  /** SHA-256 of the SPKI DER. */
  readonly tlsKey: Uint8Array;
}

/** The gateway that shows exactly this certificate; looked up for each use, so that a taking acts at once. */
export function peerOfCertificate(
  certificate: Uint8Array | undefined,
  replica: Replica,
): Peer | undefined {
  if (certificate === undefined) return undefined;
  const tlsKey = parseHex(spkiDigest(certificate));
  if (tlsKey === undefined) return undefined;
  const fact = replica.view().gatewayOfTlsKey(tlsKey);
  if (fact === undefined || isGone(replica, fact)) return undefined;
  const exact = certificatesOf(replica.state(), fact.id).some((der) =>
    equalBytes(der, certificate),
  );
  return exact ? { gateway: fact.id, tlsKey } : undefined;
}

/** Whether something that is included takes the gateway away, as of now. */
function isGone(replica: Replica, fact: GatewayFact): boolean {
  return isWithdrawn(replica.state().gateways.get(fact.id) ?? [], fact);
}

const kids = new WeakMap<GatewayFact, string>();

/** The thumbprint of a gateway's token key. */
function kidOf(fact: GatewayFact): string {
  const known = kids.get(fact) ?? thumbprint(fact.tokenKey);
  kids.set(fact, known);
  return known;
}

/** The raw token key in force of a gateway under a thumbprint. */
export function tokenKeyOf(replica: Replica, kid: string, gateway: string): Uint8Array | undefined {
  const fact = replica.view().gateway(gateway);
  if (fact === undefined || isGone(replica, fact)) return undefined;
  return kidOf(fact) === kid ? fact.tokenKey : undefined;
}
