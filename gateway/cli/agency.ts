import { type Command, Option } from "commander";
import { cityOf } from "../../src/base/ids.ts";
import type { AgencyRole } from "../../src/credential/statements.ts";
import { type EnrolOptions, type SayOptions, sayAsAuthority } from "./enrol.ts";
import { withAuthority, withEnrol, withNewFolder } from "./flags.ts";
import type { Io } from "./io.ts";
import {
  createFolderWithCard,
  type NewFolderOptions,
  readCardAt,
  renewFolder,
} from "./key-folders.ts";

export interface AgencyInitOptions extends NewFolderOptions {
  readonly id: string;
  readonly name: string;
  readonly role: readonly AgencyRole[];
}

/** Makes the keys of an agency. */
export async function agencyInit(options: AgencyInitOptions, io: Io): Promise<void> {
  const { id, name, role: roles } = options;
  await createFolderWithCard({ kind: "agency", id, name, roles }, options, io);
}

/** Writes the statement by which a city admits an agency: signed by the city and the agency. */
export async function agencyEnrol(options: EnrolOptions, io: Io): Promise<void> {
  const { id, kind: _, ...body } = await readCardAt(options.card, "agency");
  await sayAsAuthority({ name: "agency", iss: cityOf(id), sub: id, body }, options, io);
}

export interface AgencyRotateOptions extends SayOptions {
  /** The agency's key folder in force. */
  readonly agencyFolder: string;
  readonly newFolder: string;
}

/** The next authority key of an agency takes over: signed by the city and the new key. */
export async function agencyRotate(options: AgencyRotateOptions, io: Io): Promise<void> {
  const { agencyFolder: folder, newFolder, folder: cities = [], passphraseFile = [] } = options;
  const own = passphraseFile[cities.length] ?? passphraseFile[0];
  const renewing = { folder, newFolder, passphraseFile: own };
  const card = await renewFolder(renewing, "agency", (of) => ({ of, change: "authority" }), io);
  const { id, kind: _, ...body } = card;
  await sayAsAuthority(
    { name: "agency", iss: cityOf(id), sub: id, body },
    { ...options, folder: [...cities, newFolder] },
    io,
  );
}

export function registerAgency(program: Command, io: Io): void {
  const agency = program.command("agency").description("a member organisation of a city");
  const roles = new Option("--role <role...>", "what it does in the network");
  withNewFolder(
    agency
      .command("init")
      .description("make the keys of an agency: authority and next authority")
      .requiredOption("--id <id>", "such as hangzhou/market-regulation")
      .requiredOption("--name <name>", "its name, for people")
      .addOption(roles.choices(["consumer", "provider", "data-authority"]).makeOptionMandatory()),
  ).action((options: AgencyInitOptions) => agencyInit(options, io));
  withEnrol(
    agency
      .command("enrol")
      .description("admit an agency: the city's authority and the agency sign"),
  ).action((options: EnrolOptions) => agencyEnrol(options, io));
  withAuthority(
    agency
      .command("rotate")
      .description("let the agency's next authority key take over; the city signs too"),
  )
    .requiredOption("--agency-folder <dir>", "the agency's key folder in force")
    .requiredOption("--new-folder <dir>", "folder to make, with the same passphrase")
    .action((options: AgencyRotateOptions) => agencyRotate(options, io));
}
