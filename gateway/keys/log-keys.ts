/**
 * Log keys of later terms. Each is a file more in the key folder of the gateway that is to be the
 * sequencer, `log-<term>.age`, beside the card of the appointment that cities vote on.
 */
import { randomBytes } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { equalBytes, parseUtf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { cardBytesMax, keyFileBytesMax } from "../../src/base/limits.ts";
import { address, digest, key, memberId, version } from "../../src/credential/atoms.ts";
import { isJson, type JsonValue } from "../../src/credential/jcs.ts";
import { formatKey, parseKey } from "../../src/credential/key-text.ts";
import { conform, object, oneOf, type Shape } from "../../src/credential/shape.ts";
import { createEd25519KeyPair, importSigner } from "../../src/crypto/node.ts";
import type { GatewayCard } from "./card.ts";
import { addFile, readBounded } from "./files.ts";
import type { PrivateKey } from "./key-folder.ts";
import { openKey, sealKey } from "./sealed-file.ts";

/** What the cities are asked to vote on: who is to be the sequencer of a term. */
export interface AppointmentCard {
  readonly kind: "appointment";
  readonly term: number;
  readonly gateway: string;
  /** Peer listener, `host:port`. */
  readonly address: string;
  /** SHA-256 of the SPKI DER of its TLS key, hex. */
  readonly tls: string;
  readonly log: string;
}

/** The log key of a later term with its card. */
export interface LogKey {
  readonly card: AppointmentCard;
  readonly seed: Uint8Array;
}

const shape: Shape<AppointmentCard> = object<AppointmentCard>({
  kind: oneOf("appointment"),
  term: version,
  gateway: memberId,
  address,
  tls: digest,
  log: key,
});

const keyFile = (term: number | bigint): string => `log-${term}.age`;
const cardFile = (term: number | bigint): string => `appointment-${term}.json`;

export function formatAppointment(card: AppointmentCard): string {
  return `${JSON.stringify(card, undefined, 2)}\n`;
}

/** @throws CausewayError `CARD_INVALID`, with the field `path` when one member is not as it should be. */
export function parseAppointment(bytes: Uint8Array): AppointmentCard {
  return conform(parseJson(bytes), shape, { code: "CARD_INVALID", root: "card" });
}

function parseJson(bytes: Uint8Array): JsonValue {
  try {
    const value: unknown = JSON.parse(parseUtf8(bytes) ?? "");
    if (isJson(value)) return value;
  } catch (cause) {
    throw new CausewayError("CARD_INVALID", "the appointment's card is not JSON", { cause });
  }
  throw new CausewayError("CARD_INVALID", "the appointment's card is not JSON");
}

/**
 * Makes the log key of a term. Asked again for the same term it gives the card that is there: a key
 * that cities may have voted on is never replaced.
 *
 * @param identity secret of the folder.
 */
export async function createLogKey(
  folder: string,
  {
    gateway,
    term,
    identity,
  }: {
    readonly gateway: GatewayCard;
    readonly term: number;
    readonly identity: string;
  },
): Promise<AppointmentCard> {
  const known = await findAppointment(folder, term);
  if (known !== undefined) return known;
  const { publicKey } = await makeKey(folder, term, identity);
  const card: AppointmentCard = {
    kind: "appointment",
    term,
    gateway: gateway.id,
    address: gateway.endpoints.peer,
    tls: gateway.tls[0] as string,
    log: formatKey(publicKey),
  };
  await addFile(folder, cardFile(term), formatAppointment(card));
  return card;
}

/** The key stands before its card does: a crash between the two leaves a key that nobody has seen, and it is taken. */
async function makeKey(
  folder: string,
  term: number,
  identity: string,
): Promise<{ readonly publicKey: Uint8Array }> {
  if ((await readdir(folder)).includes(keyFile(term))) {
    return importSigner(await openKeyFile(folder, term, identity));
  }
  const { seed, publicKey } = createEd25519KeyPair(randomBytes(32));
  await addFile(folder, keyFile(term), await sealKey(seed, identity));
  return { publicKey };
}

async function openKeyFile(
  folder: string,
  term: number | bigint,
  identity: string,
): Promise<Uint8Array> {
  return openKey(await readBounded(join(folder, keyFile(term)), keyFileBytesMax), identity);
}

async function findAppointment(folder: string, term: number): Promise<AppointmentCard | undefined> {
  const names = await readdir(folder);
  if (!names.includes(cardFile(term))) return undefined;
  return parseAppointment(await readBounded(join(folder, cardFile(term)), cardBytesMax));
}

/** The files of a log key in a folder whose secret is `identity`. */
export async function logKeyFiles(
  { card, seed }: LogKey,
  identity: string,
): Promise<ReadonlyMap<string, string | Uint8Array>> {
  return new Map<string, string | Uint8Array>([
    [keyFile(card.term), await sealKey(seed, identity)],
    [cardFile(card.term), formatAppointment(card)],
  ]);
}

/** The cards of the log keys of later terms in a folder. Throws FILE_UNREADABLE, CARD_INVALID. */
export async function readAppointments(folder: string): Promise<readonly AppointmentCard[]> {
  const names = (await readdir(folder)).filter((name) => cardPattern.test(name));
  return Promise.all(
    names.map(async (name) =>
      parseAppointment(await readBounded(join(folder, name), cardBytesMax)),
    ),
  );
}

const cardPattern = /^appointment-([1-9][0-9]*)\.json$/;

/**
 * The log keys of later terms in a folder, by term.
 *
 * @throws CausewayError `FILE_UNREADABLE`, `KEY_LOCKED`, `CARD_INVALID` when a card does not show its key.
 */
export async function openLogKeys(
  folder: string,
  identity: string,
): Promise<ReadonlyMap<bigint, PrivateKey>> {
  const keys = new Map<bigint, PrivateKey>();
  for (const name of await readdir(folder)) {
    const term = cardPattern.exec(name)?.[1];
    if (term === undefined) continue;
    const { log } = parseAppointment(await readBounded(join(folder, name), cardBytesMax));
    const seed = await openKeyFile(folder, BigInt(term), identity);
    const signer = importSigner(seed);
    if (!equalBytes(signer.publicKey, parseKey(log) as Uint8Array)) {
      throw new CausewayError(
        "CARD_INVALID",
        `${name} does not show the key in ${keyFile(BigInt(term))}`,
      );
    }
    keys.set(BigInt(term), { ...signer, seed });
  }
  return keys;
}
