import { type Command, Option } from "commander";
import type { AdministratorRole } from "../../src/credential/statements.ts";
import { type EnrolOptions, sayAsAuthority } from "./enrol.ts";
import { withEnrol, withNewFolder } from "./flags.ts";
import type { Io } from "./io.ts";
import { createFolderWithCard, type NewFolderOptions, readCardAt } from "./key-folders.ts";

export interface AdministratorInitOptions extends NewFolderOptions {
  readonly agency: string;
  readonly role: readonly AdministratorRole[];
}

/** Makes the key of an administrator: a key id on the ledger, a name only inside the agency. */
export async function administratorInit(options: AdministratorInitOptions, io: Io): Promise<void> {
  const { agency, role: roles } = options;
  await createFolderWithCard({ kind: "administrator", agency, roles }, options, io);
}

/** Writes the statement that names an administrator: signed by the agency and the new key. */
export async function administratorAdd(options: EnrolOptions, io: Io): Promise<void> {
  const { id, agency, key, roles } = await readCardAt(options.card, "administrator");
  await sayAsAuthority(
    { name: "administrator", iss: agency, sub: id, body: { key, roles } },
    options,
    io,
  );
}

export function registerAdministrator(program: Command, io: Io): void {
  const administrator = program
    .command("administrator")
    .description("a person's key that speaks for an agency");
  const roles = new Option("--role <role...>", "what it may sign");
  withNewFolder(
    administrator
      .command("init")
      .description("make the key of an administrator")
      .requiredOption("--agency <id>", "such as hangzhou/market-regulation")
      .addOption(roles.choices(["operator", "approver", "auditor"]).makeOptionMandatory()),
  ).action((options: AdministratorInitOptions) => administratorInit(options, io));
  withEnrol(
    administrator
      .command("add")
      .description("name an administrator: the agency's authority and the new key sign"),
  ).action((options: EnrolOptions) => administratorAdd(options, io));
}
