/** The one place that reads the environment of the process. */
export interface Environment {
  /** `CAUSEWAY_PASSPHRASE_FILE`: the file that holds the passphrase of the key folder. */
  readonly passphraseFile?: string;
  /** `CAUSEWAY_…`: what sets keys of a configuration, and what may be meant to. */
  readonly configVariables?: Readonly<Record<string, string>>;
}

export function readEnvironment(
  variables: Readonly<Record<string, string | undefined>> = process.env,
): Environment {
  const passphraseFile = variables["CAUSEWAY_PASSPHRASE_FILE"];
  const own = Object.entries(variables).filter(([name]) => name.startsWith("CAUSEWAY_"));
  // An empty variable is how a shell or a unit file says that there is none.
  const given = own.flatMap(([name, value]) => (value ? [[name, value] as const] : []));
  return {
    ...(passphraseFile ? { passphraseFile } : {}),
    configVariables: Object.fromEntries(given),
  };
}
