/**
 * Private keys at rest, as age files. A folder has one age identity, and only that is encrypted to the
 * passphrase (scrypt costs about a second each time); every key is encrypted to the identity. The `age`
 * program opens both: `age -d -o id identity.age`, then `age -d -i id authority.age`.
 */
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import { CausewayError } from "../../src/base/errors.ts";

/** Base-2 logarithm of scrypt's work factor: about a second and 256 MiB on a server of 2024. */
export const scryptLogN: number = 18;

export interface FolderIdentity {
  /** `AGE-SECRET-KEY-1…`. */
  readonly secret: string;
  /** The identity as an age file that the passphrase opens. */
  readonly sealed: Uint8Array;
}

/** A new identity, sealed under the passphrase. */
export async function createFolderIdentity(
  passphrase: string,
  logN: number = scryptLogN,
): Promise<FolderIdentity> {
  const secret = await generateX25519Identity();
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  encrypter.setScryptWorkFactor(logN);
  return { secret, sealed: await encrypter.encrypt(`${secret}\n`) };
}

/** A key as an age file that the identity opens. */
export async function sealKey(key: string | Uint8Array, identity: string): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(await identityToRecipient(identity));
  return encrypter.encrypt(key);
}

async function opened(decrypter: Decrypter, sealed: Uint8Array): Promise<Uint8Array> {
  try {
    return await decrypter.decrypt(sealed);
  } catch (cause) {
    // The library tells a wrong passphrase from a damaged file by its texts alone.
    throw new CausewayError("KEY_LOCKED", "the key file does not open", { cause });
  }
}

/** @throws CausewayError `KEY_LOCKED` when the passphrase is wrong or the file is damaged. */
export async function openFolderIdentity(sealed: Uint8Array, passphrase: string): Promise<string> {
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase);
  return Buffer.from(await opened(decrypter, sealed))
    .toString("utf8")
    .trimEnd();
}

/** @throws CausewayError `KEY_LOCKED` when the file is damaged or of another folder. */
export async function openKey(sealed: Uint8Array, identity: string): Promise<Uint8Array> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  return opened(decrypter, sealed);
}
