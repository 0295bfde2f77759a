/** The one place that reads the environment of the process. */
export interface Environment {
  /** `CAUSEWAY_PASSPHRASE_FILE`: the file that holds the passphrase of the key folder. */
  readonly passphraseFile?: string;
}

export function readEnvironment(
  variables: Readonly<Record<string, string | undefined>> = process.env,
): Environment {
  const passphraseFile = variables["CAUSEWAY_PASSPHRASE_FILE"];
  // An empty variable is how a shell or a unit file says that there is none.
  return passphraseFile === undefined || passphraseFile === "" ? {} : { passphraseFile };
}
