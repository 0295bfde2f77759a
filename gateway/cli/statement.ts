import type { Command } from "commander";
import { carryDraft, type CarryOptions } from "./carry.ts";
import {
  assertComplete,
  mergeDrafts,
  readDraft,
  signatureStates,
  signDraft,
  writeDraft,
} from "./drafts.ts";
import { tellMissing } from "./enrol.ts";
import { withAdmin, withFormat, withSigners, withWait } from "./flags.ts";
import type { Io } from "./io.ts";
import { openFolders, type SignerOptions } from "./key-folders.ts";
import { type OutputOptions, writeRow } from "./output.ts";

export interface StatementSignOptions extends SignerOptions {
  /** The file itself unless given. */
  readonly out?: string | undefined;
}

/** Adds the signatures of the folders' keys that a statement needs. */
export async function statementSign(
  file: string,
  options: StatementSignOptions,
  io: Io,
): Promise<void> {
  let draft = await readDraft(file);
  for (const keys of await openFolders(options, io)) draft = signDraft(draft, keys);
  const out = options.out ?? file;
  writeDraft(out, draft);
  tellMissing(out, draft, io);
}

/** Puts the signatures of several copies of one statement together. */
export async function statementMerge(
  files: readonly string[],
  { out }: { readonly out: string },
  io: Io,
): Promise<void> {
  const merged = mergeDrafts(await Promise.all(files.map((file) => readDraft(file))));
  writeDraft(out, merged);
  tellMissing(out, merged, io);
}

/** Prints what a statement says, who has signed it and who has not yet. */
export async function statementShow(file: string, options: OutputOptions, io: Io): Promise<void> {
  const draft = await readDraft(file);
  const { name, claims, body } = draft.statement;
  const states = signatureStates(draft);
  const signers = (signed: boolean): readonly string[] =>
    states.flatMap((state) => (state.signed === signed ? [state.signer] : []));
  const row = { statement: name, ...claims, [name]: { ...body } };
  writeRow(io, { ...row, signed_by: signers(true), to_sign: signers(false) }, options);
}

/** Carries a complete statement onto the ledger. */
export async function statementSubmit(file: string, options: CarryOptions, io: Io): Promise<void> {
  const draft = await readDraft(file);
  assertComplete(draft, file);
  await carryDraft(draft, options, io);
}

export function registerStatement(program: Command, io: Io): void {
  const statement = program
    .command("statement")
    .description("signed facts on their way to the ledger, as files that signers pass on");
  withSigners(
    statement
      .command("sign")
      .description("add the signatures of a folder's keys")
      .argument("<file>", "statement file"),
  )
    .option("--out <file>", "where to write it with the signatures; the same file without it")
    .action((file: string, options: StatementSignOptions) => statementSign(file, options, io));
  statement
    .command("merge")
    .description("put the signatures of several copies together")
    .argument("<file...>", "copies of one statement")
    .requiredOption("--out <file>", "statement file to write")
    .action((files: string[], options: { out: string }) => statementMerge(files, options, io));
  withFormat(
    statement
      .command("show")
      .description("show what it says, who has signed it and who has not yet")
      .argument("<file>", "statement file"),
  ).action((file: string, options: OutputOptions) => statementShow(file, options, io));
  withFormat(
    withWait(
      withAdmin(
        statement
          .command("submit")
          .description("carry a complete statement through the own gateway")
          .argument("<file>", "statement file"),
      ),
    ),
  ).action((file: string, options: CarryOptions) => statementSubmit(file, options, io));
}
