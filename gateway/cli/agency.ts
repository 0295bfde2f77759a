import { type Command, Option } from "commander";
import { cityOf } from "../../src/base/ids.ts";
import type { AgencyRole } from "../../src/credential/statements.ts";
import { enrol, type EnrolOptions } from "./enrol.ts";
import { withEnrol, withNewFolder } from "./flags.ts";
import type { Io } from "./io.ts";
import { createFolderWithCard, type NewFolderOptions, readCardAt } from "./key-folders.ts";

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
  await enrol({ name: "agency", iss: cityOf(id), sub: id, body }, options, io);
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
}
