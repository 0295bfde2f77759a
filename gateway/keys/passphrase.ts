import { CausewayError } from "../../src/base/errors.ts";
import { parseUtf8 } from "../../src/base/bytes.ts";
import { passphraseBytesMax } from "../../src/base/limits.ts";
import type { Environment } from "../env.ts";
import { readBounded } from "./files.ts";

/** Characters of a passphrase at the least: anyone who copies the folder may try as long as they like. */
export const passphraseLengthMin: number = 8;

/** @throws CausewayError `USAGE_INVALID` when the passphrase is too short to protect a key. */
export function assertPassphrase(passphrase: string): void {
  if (passphrase.length < passphraseLengthMin) {
    throw new CausewayError(
      "USAGE_INVALID",
      `a passphrase has at least ${passphraseLengthMin} characters`,
    );
  }
}

/**
 * The passphrase that a file holds, without the line end behind it.
 *
 * @throws CausewayError `FILE_UNREADABLE`; `CONFIG_INVALID` when it is not one line of text.
 */
export async function readPassphraseFile(path: string): Promise<string> {
  const text = parseUtf8(await readBounded(path, passphraseBytesMax));
  const passphrase = text?.replace(/\r?\n$/, "");
  if (passphrase === undefined || passphrase === "" || /[\r\n]/.test(passphrase)) {
    throw new CausewayError("CONFIG_INVALID", `${path} does not hold one line of text`);
  }
  return passphrase;
}

/**
 * The passphrase, from the first of these that is given: the file of the command line, the file that the
 * environment names, the person at the terminal.
 *
 * @throws CausewayError as {@link readPassphraseFile}; `USAGE_INVALID` when none is given.
 */
export async function findPassphrase(sources: {
  readonly file?: string | undefined;
  readonly environment: Environment;
  readonly prompt?: (() => Promise<string>) | undefined;
}): Promise<string> {
  const path = sources.file ?? sources.environment.passphraseFile;
  if (path !== undefined) return readPassphraseFile(path);
  if (sources.prompt !== undefined) return sources.prompt();
  throw new CausewayError(
    "USAGE_INVALID",
    "no passphrase: give --passphrase-file or CAUSEWAY_PASSPHRASE_FILE",
  );
}
