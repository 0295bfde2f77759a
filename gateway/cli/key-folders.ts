/** Key folders as commands use them: made with a card to give away, opened with a passphrase. */
import { statSync, writeFileSync } from "node:fs";
import { CausewayError } from "../../src/base/errors.ts";
import { cardBytesMax } from "../../src/base/limits.ts";
import { type Card, type CardKind, formatCard, parseCard } from "../keys/card.ts";
import { readBounded } from "../keys/files.ts";
import { createKeyFolder, type Keys, openKeyFolder, readCard } from "../keys/key-folder.ts";
import type { Owner } from "../keys/new-keys.ts";
import { findPassphrase } from "../keys/passphrase.ts";
import { isRenewalOf, type Renewal, renewKeyFolder } from "../keys/renewed-folder.ts";
import type { Io } from "./io.ts";

export interface NewFolderOptions {
  readonly folder: string;
  readonly passphraseFile?: string | undefined;
  /** File of the card; standard output without it. */
  readonly card?: string | undefined;
}

export interface SignerOptions {
  readonly folder?: readonly string[] | undefined;
  readonly passphraseFile?: readonly string[] | undefined;
}

/** Makes the key folder of `owner`, and writes its public card. */
export async function createFolderWithCard(
  owner: Owner,
  options: NewFolderOptions,
  io: Io,
): Promise<void> {
  const { ask, environment, scryptLogN } = io;
  const passphrase = await findPassphrase({
    file: options.passphraseFile,
    environment,
    prompt: ask && (() => askTwice(ask)),
  });
  const card: Card = await createKeyFolder(owner, options.folder, {
    passphrase,
    nowMs: io.clock.nowMs(),
    ...(scryptLogN === undefined ? {} : { scryptLogN }),
  });
  writeText(options.card, formatCard(card), io);
  io.warn(
    `The keys of ${nameOf(card)} are in ${options.folder}. Keep it, and give away only the card.\n`,
  );
}

async function askTwice(ask: NonNullable<Io["ask"]>): Promise<string> {
  const passphrase = await ask("Passphrase for the new keys: ");
  if ((await ask("Once more: ")) === passphrase) return passphrase;
  throw new CausewayError("USAGE_INVALID", "the two passphrases differ");
}

function nameOf(card: Card): string {
  return card.kind === "administrator" ? `an administrator of ${card.agency}` : card.id;
}

/** Writes to a new or existing file, or to standard output without one. */
export function writeText(file: string | undefined, text: string, io: Pick<Io, "write">): void {
  if (file === undefined) {
    io.write(text);
    return;
  }
  try {
    writeFileSync(file, text);
  } catch (cause) {
    throw new CausewayError("STORAGE_FAILED", `${file} cannot be written`, { cause });
  }
}

/** The card in a file, or that of a key folder. Throws FILE_UNREADABLE, CARD_INVALID. */
export async function readCardAt<K extends CardKind>(
  path: string,
  kind: K,
): Promise<Extract<Card, { kind: K }>> {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  try {
    if (isFolder) return await readCard(path, kind);
    return parseCard(await readBounded(path, cardBytesMax), kind);
  } catch (error) {
    if (!(error instanceof CausewayError) || error.code !== "CARD_INVALID") throw error;
    const message = `${path} is not the card of one ${kind}: ${error.message}`;
    throw new CausewayError(error.code, message, { cause: error, fields: error.fields });
  }
}

/** Opens one folder. Throws what `openKeyFolder` throws, and USAGE_INVALID without a passphrase. */
export async function openFolder<K extends CardKind>(
  options: { readonly folder: string; readonly passphraseFile?: string | undefined },
  kind: K,
  io: Io,
): Promise<Extract<Keys, { kind: K }>> {
  return openKeyFolder(
    options.folder,
    await passphraseOf(options.folder, options.passphraseFile, io),
    kind,
  );
}

/** Opens every folder, with the one passphrase or with its own. */
export async function openFolders(options: SignerOptions, io: Io): Promise<readonly Keys[]> {
  const { folder: folders = [], passphraseFile: files = [] } = options;
  if (files.length > 1 && files.length !== folders.length) {
    throw new CausewayError("USAGE_INVALID", "give one passphrase file, or one for each folder");
  }
  const opened: Keys[] = [];
  for (const [i, folder] of folders.entries()) {
    const passphrase = await passphraseOf(folder, files[i] ?? files[0], io);
    opened.push(await openKeyFolder(folder, passphrase));
  }
  return opened;
}

/** Throws USAGE_INVALID when there is none to be had. */
export function passphraseOf(folder: string, file: string | undefined, io: Io): Promise<string> {
  const { ask, environment } = io;
  return findPassphrase({
    file,
    environment,
    prompt: ask && (() => ask(`Passphrase of ${folder}: `)),
  });
}

export interface RenewOptions {
  /** Key folder in force. */
  readonly folder: string;
  /** Folder to make, with what is new and what is taken along. */
  readonly newFolder: string;
  readonly passphraseFile?: string | undefined;
}

/**
 * Makes a renewed key folder beside the one in force, and returns its card. A folder that an earlier run
 * has made is taken: its keys may be on their way to the ledger.
 *
 * @throws CausewayError `FOLDER_NOT_EMPTY` when the new folder holds other keys.
 */
export async function renewFolder<K extends "city" | "agency" | "gateway">(
  { folder, newFolder, passphraseFile }: RenewOptions,
  kind: K,
  renewal: (keys: Extract<Keys, { kind: K }>) => Renewal,
  io: Io,
): Promise<Extract<Card, { kind: K }>> {
  const passphrase = await passphraseOf(folder, passphraseFile, io);
  const keys = await openKeyFolder(folder, passphrase, kind);
  const wanted = renewal(keys);
  if (statSync(newFolder, { throwIfNoEntry: false })?.isDirectory() === true) {
    const card = await readCard(newFolder, kind);
    if (isRenewalOf(card, wanted)) return card;
    throw new CausewayError("FOLDER_NOT_EMPTY", `${newFolder} holds other keys`);
  }
  const card = await renewKeyFolder(wanted, newFolder, {
    passphrase,
    nowMs: io.clock.nowMs(),
    ...(io.scryptLogN === undefined ? {} : { scryptLogN: io.scryptLogN }),
  });
  io.warn(`The renewed keys of ${nameOf(card)} are in ${newFolder}. Keep both folders.\n`);
  return card as Extract<Card, { kind: K }>;
}

/** The two folders as signers, with their one passphrase. */
export function bothFolders({ folder, newFolder, passphraseFile }: RenewOptions): {
  readonly folder: readonly string[];
  readonly passphraseFile: readonly string[] | undefined;
} {
  return {
    folder: [folder, newFolder],
    passphraseFile: passphraseFile === undefined ? undefined : [passphraseFile],
  };
}
