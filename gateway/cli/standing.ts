/** Suspension and resumption: what the next higher authority takes away for a time, and gives back. */
import { type Command, Option } from "commander";
import { CausewayError } from "../../src/base/errors.ts";
import { isId } from "../../src/base/ids.ts";
import type { ChainEnd, SuspensionBody } from "../../src/credential/statements.ts";
import { type AdministratorOptions, sayAsAdministrator } from "./carry.ts";
import { type SayOptions, sayAsAuthority } from "./enrol.ts";
import { withAdministrator, withAuthority } from "./flags.ts";
import type { Io } from "./io.ts";

interface About {
  readonly what: SuspensionBody["what"];
  readonly reason: string;
}

export interface SuspendOptions extends SayOptions, About {
  /** City or agency that says it. */
  readonly as: string;
  /** `<epoch>/<seq>/<leaf hash>`. */
  readonly last?: string | undefined;
}

/** Suspends an agency, gateway, administrator or service. */
export async function suspend(subject: string, options: SuspendOptions, io: Io): Promise<void> {
  const { as, what, reason, last } = options;
  const body = { what, reason, ...(last === undefined ? {} : { last: parseChainEnd(last) }) };
  await sayAsAuthority({ name: "suspension", iss: as, sub: subject, body }, options, io);
}

/** What a city has suspended, its authority resumes. */
export async function resumeAsCity(
  subject: string,
  options: SuspendOptions,
  io: Io,
): Promise<void> {
  const { as, what, reason } = options;
  if (!isId(as, 1)) {
    throw new CausewayError("USAGE_INVALID", "an agency resumes with `standing resume`");
  }
  const body = { what, reason };
  await sayAsAuthority({ name: "resumption", iss: as, sub: subject, body }, options, io);
}

/** What an agency has suspended, one of its approvers resumes. */
export async function resume(
  subject: string,
  options: AdministratorOptions & About,
  io: Io,
): Promise<void> {
  const { what, reason } = options;
  await sayAsAdministrator("resumption", options, io, async () => ({
    sub: subject,
    body: { what, reason },
  }));
}

/** The end of a chain as commands take it. Throws USAGE_INVALID. */
export function parseChainEnd(text: string): ChainEnd {
  const [, epoch, seq, leaf] = /^(\d{1,10})\/(\d{1,16})\/([0-9a-f]{64})$/.exec(text) ?? [];
  if (epoch === undefined || seq === undefined || leaf === undefined) {
    throw new CausewayError("USAGE_INVALID", "the end of a chain is <epoch>/<seq>/<leaf hash>");
  }
  return { epoch: Number(epoch), seq: Number(seq), leaf };
}

function withSubject(command: Command): Command {
  const what = new Option("--what <kind>", "what it is");
  return command
    .argument("<subject>", "its id; of an administrator the thumbprint")
    .addOption(
      what.choices(["agency", "gateway", "administrator", "service"]).makeOptionMandatory(),
    )
    .requiredOption("--reason <code>", "a reason code; texts stay with the parties");
}

export function registerStanding(program: Command, io: Io): void {
  const standing = program
    .command("standing")
    .description("suspend a member or a service, and let it go on");
  withAuthority(
    withSubject(standing.command("suspend").description("take its say away, for a time")),
  )
    .requiredOption("--as <id>", "the city or agency above it, whose authority signs")
    .option("--last <epoch/seq/leaf>", "of a gateway: nothing of its chain beyond this is taken")
    .action((subject: string, options: SuspendOptions) => suspend(subject, options, io));
  withAdministrator(
    withSubject(standing.command("resume").description("give back what the agency suspended")),
  ).action((subject: string, options: AdministratorOptions & About) =>
    resume(subject, options, io),
  );
  withAuthority(
    withSubject(
      standing.command("resume-as-city").description("give back what the city suspended"),
    ),
  )
    .requiredOption("--as <city>", "the city, whose authority signs")
    .action((subject: string, options: SuspendOptions) => resumeAsCity(subject, options, io));
}
