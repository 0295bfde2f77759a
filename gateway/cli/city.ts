import type { Command } from "commander";
import { registerCityChanges } from "./city-changes.ts";
import { withNewFolder } from "./flags.ts";
import type { Io } from "./io.ts";
import { exportWitness } from "../keys/key-folder.ts";
import { createFolderWithCard, type NewFolderOptions, passphraseOf } from "./key-folders.ts";

export interface CityInitOptions extends NewFolderOptions {
  readonly id: string;
  readonly division: string;
  readonly witnessAddress: string;
}

/** Makes the keys of a city and its witness. */
export async function cityInit(options: CityInitOptions, io: Io): Promise<void> {
  const { id, division, witnessAddress } = options;
  await createFolderWithCard({ kind: "city", id, division, witnessAddress }, options, io);
}

export interface ExportWitnessOptions {
  readonly folder: string;
  readonly out: string;
  readonly passphraseFile?: string | undefined;
}

/** Makes the key folder for the gateway that hosts the city's witness. */
export async function cityExportWitness(options: ExportWitnessOptions, io: Io): Promise<void> {
  const { folder, out, passphraseFile } = options;
  const passphrase = await passphraseOf(folder, passphraseFile, io);
  const { scryptLogN } = io;
  await exportWitness(folder, out, {
    passphrase,
    ...(scryptLogN === undefined ? {} : { scryptLogN }),
  });
  io.warn(
    `The witness's keys are in ${out}: name it in the gateway's configuration. Keep ${folder} offline.\n`,
  );
}

export function registerCity(program: Command, io: Io): void {
  const city = program.command("city").description("a jurisdiction with an authority key");
  withNewFolder(
    city
      .command("init")
      .description("make the keys of a city: authority, next authority, witness")
      .requiredOption("--id <id>", "such as hangzhou")
      .requiredOption("--division <code>", "official division code, six digits, such as 330100")
      .requiredOption("--witness-address <host:port>", "where the city's witness will listen"),
  ).action((options: CityInitOptions) => cityInit(options, io));
  city
    .command("export-witness")
    .description("copy the witness's keys alone, for the gateway that hosts the witness")
    .requiredOption("--folder <dir>", "key folder of the city")
    .requiredOption("--out <dir>", "folder to create, with the same passphrase")
    .option("--passphrase-file <file>", "file with the passphrase; asked for without it")
    .action((options: ExportWitnessOptions) => cityExportWitness(options, io));
  registerCityChanges(city, io);
}
