/** The key folder of a city, agency, gateway or administrator: private keys at rest and the public card. */
import { join } from "node:path";
import { equalBytes, parseBase64, toHex, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { cardBytesMax, keyFileBytesMax } from "../../src/base/limits.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { parseKey } from "../../src/credential/key-text.ts";
import { importSigner } from "../../src/crypto/node.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { thumbprint } from "../../src/crypto/thumbprint.ts";
import { spkiDigest } from "../tls.ts";
import {
  formatCard,
  parseCard,
  type AdministratorCard,
  type AgencyCard,
  type Card,
  type CardKind,
  type CityCard,
  type GatewayCard,
} from "./card.ts";
import { assertFolderFree, createFolder, readBounded } from "./files.ts";
import { type LogKey, logKeyFiles, openLogKeys } from "./log-keys.ts";
import { createKeys, witnessName, type KeyName, type NewKeys, type Owner } from "./new-keys.ts";
import { assertPassphrase } from "./passphrase.ts";
import { createFolderIdentity, openFolderIdentity, openKey, sealKey } from "./sealed-file.ts";
import { commonName, isKeyOfCertificate, type TlsKey } from "./tls.ts";

/** A signer with its private key, which a worker thread needs to sign with it. */
export interface PrivateKey extends Signer {
  /** The 32-byte private key of RFC 8032. */
  readonly seed: Uint8Array;
}

/** What a city's witness works with: not the keys that speak for the city. */
export interface WitnessKeys {
  readonly card: CityCard;
  readonly witness: PrivateKey;
  /** Of the witness's listener. */
  readonly tls: TlsKey;
}

export interface CityKeys extends WitnessKeys {
  readonly kind: "city";
  readonly authority: PrivateKey;
  /** Absent where it is kept apart: take `next-authority.age` out of the folder that signs every day. */
  readonly nextAuthority?: PrivateKey;
}

export interface AgencyKeys {
  readonly kind: "agency";
  readonly card: AgencyCard;
  readonly authority: PrivateKey;
  /** Absent where it is kept apart: take `next-authority.age` out of the folder that signs every day. */
  readonly nextAuthority?: PrivateKey;
}

export interface GatewayKeys {
  readonly kind: "gateway";
  readonly card: GatewayCard;
  readonly batch: PrivateKey;
  readonly token: PrivateKey;
  /** Of the sequencer of term 0 only. */
  readonly log?: PrivateKey;
  /** Every log key of the folder, by term. */
  readonly logs: ReadonlyMap<bigint, PrivateKey>;
  /** With the first certificate of the card. */
  readonly tls: TlsKey;
}

export interface AdministratorKeys {
  readonly kind: "administrator";
  readonly card: AdministratorCard;
  readonly key: PrivateKey;
}

export type Keys = CityKeys | AgencyKeys | GatewayKeys | AdministratorKeys;

const cardFile = "card.json";
const identityFile = "identity.age";
const keyFile = (name: KeyName): string => `${name}.age`;

/**
 * Makes the keys of `owner` in a new folder and returns the card to give to others. The folder appears
 * whole or not at all, and never replaces one that holds anything.
 *
 * @param options.nowMs Unix milliseconds, from which certificates are valid.
 * @param options.scryptLogN cost of a guess at the passphrase; by default that of the `age` program.
 * @throws CausewayError `FOLDER_NOT_EMPTY`, `CARD_INVALID` when an id, name or address of `owner` is not
 * as it should be, `USAGE_INVALID` for a short passphrase, `STORAGE_FAILED`.
 */
export async function createKeyFolder<O extends Owner>(
  owner: O,
  folder: string,
  options: {
    readonly passphrase: string;
    readonly nowMs: number;
    readonly scryptLogN?: number;
  },
): Promise<Extract<Card, { kind: O["kind"] }>> {
  assertPassphrase(options.passphrase);
  await assertFolderFree(folder);
  const { card, privateKeys } = createKeys(owner, options.nowMs);
  const text = formatCard(card);
  const checked = parseCard<O["kind"]>(utf8(text), owner.kind);
  await writeKeyFolder(folder, { card, privateKeys }, options);
  return checked;
}

/** Writes a folder whole or not at all, its keys under a new identity that the passphrase opens. */
export async function writeKeyFolder(
  folder: string,
  { card, privateKeys, logs = [] }: NewKeys & { readonly logs?: readonly LogKey[] },
  options: { readonly passphrase: string; readonly scryptLogN?: number },
): Promise<void> {
  const identity = await createFolderIdentity(options.passphrase, options.scryptLogN);
  const files = new Map<string, string | Uint8Array>([
    [cardFile, formatCard(card)],
    [identityFile, identity.sealed],
  ]);
  for (const [name, key] of privateKeys) {
    files.set(keyFile(name), await sealKey(key, identity.secret));
  }
  for (const log of logs) {
    for (const [name, content] of await logKeyFiles(log, identity.secret)) files.set(name, content);
  }
  await createFolder(folder, files);
}

/**
 * The card of a folder, without opening its keys.
 *
 * @throws CausewayError `FILE_UNREADABLE`, `CARD_INVALID`.
 */
export async function readCard<K extends CardKind = CardKind>(
  folder: string,
  kind?: K,
): Promise<Extract<Card, { kind: K }>> {
  return parseCard(await readBounded(join(folder, cardFile), cardBytesMax), kind);
}

type ReadKey = (name: KeyName) => Promise<Uint8Array>;

/** The secret that opens the keys of a folder. Throws FILE_UNREADABLE, KEY_LOCKED. */
export async function unlockFolder(folder: string, passphrase: string): Promise<string> {
  const sealed = await readBounded(join(folder, identityFile), keyFileBytesMax);
  return openFolderIdentity(sealed, passphrase);
}

/** The reader of one folder's private keys. */
function keyReader(folder: string, identity: string): ReadKey {
  return async (name) =>
    openKey(await readBounded(join(folder, keyFile(name)), keyFileBytesMax), identity);
}

function mismatch(name: KeyName): CausewayError {
  return new CausewayError("CARD_INVALID", `the card does not show the key in ${keyFile(name)}`);
}

async function privateKey(
  read: ReadKey,
  name: KeyName,
  isShown: (publicKey: Uint8Array) => boolean,
): Promise<PrivateKey> {
  const seed = await read(name);
  if (seed.length !== 32) throw mismatch(name);
  const signer = importSigner(seed);
  if (!isShown(signer.publicKey)) throw mismatch(name);
  return { ...signer, seed };
}

/** Shown as itself. */
function asKey(shown: string): (publicKey: Uint8Array) => boolean {
  return (publicKey) => equalBytes(publicKey, parseKey(shown) as Uint8Array);
}

/** Shown as the SHA-256 of itself. */
function asDigest(shown: string): (publicKey: Uint8Array) => boolean {
  return (publicKey) => toHex(sha256(publicKey)) === shown;
}

/** The TLS key in a file, with the card's certificate of it. */
async function tlsKey(
  read: ReadKey,
  name: KeyName,
  shown: { readonly certificate: string; readonly spki: string; readonly commonName: string },
): Promise<TlsKey> {
  const certificateDer = parseBase64(shown.certificate) as Uint8Array;
  if (commonName(certificateDer) !== shown.commonName) throw mismatch(name);
  const privateKeyPem = Buffer.from(await read(name)).toString("utf8");
  if (spkiDigest(certificateDer) !== shown.spki) throw mismatch(name);
  if (!isKeyOfCertificate(privateKeyPem, certificateDer)) throw mismatch(name);
  return { certificateDer, privateKeyPem };
}

/** The next authority key, unless it is kept apart from the folder. */
async function nextAuthority(
  read: ReadKey,
  { next }: CityCard | AgencyCard,
): Promise<{ readonly nextAuthority?: PrivateKey }> {
  try {
    return { nextAuthority: await privateKey(read, "next-authority", asDigest(next)) };
  } catch (error) {
    if (isAbsent(error)) return {};
    throw error;
  }
}

function isAbsent(error: unknown): boolean {
  if (!(error instanceof CausewayError) || error.code !== "FILE_UNREADABLE") return false;
  return (error.cause as { readonly code?: unknown } | undefined)?.code === "ENOENT";
}

async function cityKeys(card: CityCard, read: ReadKey): Promise<CityKeys> {
  return {
    kind: "city",
    authority: await privateKey(read, "authority", asKey(card.authority)),
    ...(await nextAuthority(read, card)),
    ...(await witnessKeys(card, read)),
  };
}

async function witnessKeys(card: CityCard, read: ReadKey): Promise<WitnessKeys> {
  return {
    card,
    witness: await privateKey(read, "witness", asKey(card.witness)),
    tls: await tlsKey(read, "witness-tls", {
      certificate: card.witness_certificate,
      spki: card.witness_tls,
      commonName: witnessName(card.id),
    }),
  };
}

async function agencyKeys(card: AgencyCard, read: ReadKey): Promise<AgencyKeys> {
  return {
    kind: "agency",
    card,
    authority: await privateKey(read, "authority", asKey(card.authority)),
    ...(await nextAuthority(read, card)),
  };
}

async function gatewayKeys(
  card: GatewayCard,
  read: ReadKey,
  later: ReadonlyMap<bigint, PrivateKey>,
): Promise<GatewayKeys> {
  const { id, certificates, tls } = card;
  const log = card.log && (await privateKey(read, "log", asKey(card.log)));
  return {
    kind: "gateway",
    card,
    batch: await privateKey(read, "batch", asKey(card.batch)),
    token: await privateKey(read, "token", asKey(card.token)),
    ...(log && { log }),
    logs: new Map([...(log ? [[0n, log] as const] : []), ...later]),
    tls: await tlsKey(read, "tls", {
      certificate: certificates[0] as string,
      spki: tls[0] as string,
      commonName: id,
    }),
  };
}

async function administratorKeys(
  card: AdministratorCard,
  read: ReadKey,
): Promise<AdministratorKeys> {
  const key = await privateKey(read, "administrator", asKey(card.key));
  if (thumbprint(key.publicKey) !== card.id) throw mismatch("administrator");
  return { kind: "administrator", card, key };
}

async function keysOf(card: Card, folder: string, identity: string): Promise<Keys> {
  const read = keyReader(folder, identity);
  switch (card.kind) {
    case "city":
      return cityKeys(card, read);
    case "agency":
      return agencyKeys(card, read);
    case "gateway":
      return gatewayKeys(card, read, await openLogKeys(folder, identity));
    case "administrator":
      return administratorKeys(card, read);
  }
}

/**
 * Opens a key folder; every private key is compared with what the card shows of it.
 *
 * @param kind the only kind that is accepted; without it any is.
 * @throws CausewayError `FILE_UNREADABLE`, `KEY_LOCKED` when the passphrase is wrong or a file damaged,
 * `CARD_INVALID` when the card is malformed, of another kind, or not of these keys.
 */
export async function openKeyFolder<K extends CardKind = CardKind>(
  folder: string,
  passphrase: string,
  kind?: K,
): Promise<Extract<Keys, { kind: K }>> {
  const card: Card = await readCard(folder, kind);
  const identity = await unlockFolder(folder, passphrase);
  return (await keysOf(card, folder, identity)) as Extract<Keys, { kind: K }>;
}

/**
 * Opens what a witness needs of a city's key folder, or of one that `exportWitness` made. Whatever else the
 * folder holds stays closed.
 *
 * @throws CausewayError as {@link openKeyFolder}.
 */
export async function openWitnessKeys(folder: string, passphrase: string): Promise<WitnessKeys> {
  const card = await readCard(folder, "city");
  return witnessKeys(card, keyReader(folder, await unlockFolder(folder, passphrase)));
}

/**
 * Makes a folder with the witness's keys of a city alone, under the same passphrase: for the gateway that
 * hosts the witness, so that the keys that speak for the city stay on a machine without a network.
 *
 * @throws CausewayError as {@link openKeyFolder} and {@link createKeyFolder}.
 */
export async function exportWitness(
  from: string,
  to: string,
  options: { readonly passphrase: string; readonly scryptLogN?: number },
): Promise<void> {
  await assertFolderFree(to);
  const { card, witness, tls } = await openWitnessKeys(from, options.passphrase);
  const privateKeys = new Map<KeyName, string | Uint8Array>([
    ["witness", witness.seed],
    ["witness-tls", tls.privateKeyPem],
  ]);
  await writeKeyFolder(to, { card, privateKeys }, options);
}
