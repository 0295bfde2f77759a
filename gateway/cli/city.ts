import type { Command } from "commander";
import { registerCityChanges } from "./city-changes.ts";
import { withNewFolder } from "./flags.ts";
import type { Io } from "./io.ts";
import { createFolderWithCard, type NewFolderOptions } from "./key-folders.ts";

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
  registerCityChanges(city, io);
}
