/** The command `causeway`: every group of commands, and what a failure looks like. */
import { Command, CommanderError, Help, type Option } from "commander";
import { CausewayError } from "../../src/base/errors.ts";
import { reason } from "../../src/base/reasons.ts";
import { version } from "../status.ts";
import { registerAdministrator } from "./administrator.ts";
import { registerAgency } from "./agency.ts";
import { registerAudit } from "./audit.ts";
import { registerCity } from "./city.ts";
import { registerDev } from "./dev.ts";
import { registerEvidence } from "./evidence.ts";
import { registerExchange } from "./exchange.ts";
import { type ExitCode, exitCodeOf, exitCodes } from "./exit-codes.ts";
import { registerGateway } from "./gateway.ts";
import { registerGrant } from "./grant.ts";
import type { Io } from "./io.ts";
import { registerLedger } from "./ledger.ts";
import { registerLedgerAppoint } from "./ledger-appoint.ts";
import { registerLedgerBackup } from "./ledger-backup.ts";
import { registerLedgerExport } from "./ledger-export.ts";
import { registerLedgerFollow } from "./ledger-follow.ts";
import { registerLedgerImport } from "./ledger-import.ts";
import { registerLedgerRecover } from "./ledger-recover.ts";
import { registerLedgerProof } from "./ledger-proof.ts";
import { registerNetwork } from "./network.ts";
import { registerOpening } from "./opening.ts";
import { registerPolicy } from "./policy.ts";
import { registerRecord } from "./record.ts";
import { registerRequest } from "./request.ts";
import { registerService } from "./service.ts";
import { registerStanding } from "./standing.ts";
import { registerStatement } from "./statement.ts";
import { registerVote } from "./vote.ts";

const description =
  "A cross-agency data-sharing gateway whose every grant, refusal and exchange stands, signed, on one shared append-only ledger.";

const exitCodesText = `
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 denied, 4 verification failed, 5 unavailable.
Passphrases come from --passphrase-file, the file that CAUSEWAY_PASSPHRASE_FILE names, or the terminal.`;

/** The whole command line over `io`. */
export function createProgram(io: Io): Command {
  const program = new Command("causeway")
    .description(description)
    .version(version)
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.write(text), writeErr: (text) => io.warn(text) })
    .showHelpAfterError("(causeway <command> --help says more)")
    .configureHelp({ optionDescription: describeOption })
    .addHelpText("after", exitCodesText);
  registerCity(program, io);
  registerAgency(program, io);
  registerGateway(program, io);
  registerAdministrator(program, io);
  registerNetwork(program, io);
  registerStatement(program, io);
  registerService(program, io);
  registerPolicy(program, io);
  registerRequest(program, io);
  registerGrant(program, io);
  registerStanding(program, io);
  registerVote(program, io);
  registerRecord(program, io);
  registerExchange(program, io);
  registerOpening(program, io);
  registerLedger(program, io);
  registerLedgerExport(program, io);
  registerLedgerImport(program, io);
  registerLedgerProof(program, io);
  registerLedgerBackup(program, io);
  registerLedgerRecover(program, io);
  registerLedgerFollow(program, io);
  registerLedgerAppoint(program, io);
  registerAudit(program, io);
  registerEvidence(program, io);
  registerDev(program, io);
  return program;
}

/** As Commander describes it, and whether the command needs it. */
function describeOption(this: void, option: Option): string {
  const text = new Help().optionDescription(option);
  return option.mandatory ? `${text} (needed)` : text;
}

/** Runs one command line, without the program's own name, and tells its exit code. Never rejects. */
export async function runCommand(argv: readonly string[], io: Io): Promise<ExitCode> {
  try {
    await createProgram(io).parseAsync([...argv], { from: "user" });
    return exitCodes.ok;
  } catch (error) {
    // Commander has said what is wrong already.
    if (error instanceof CommanderError)
      return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    tell(error, io);
    return exitCodeOf(error);
  }
}

function detailOf({ fields }: CausewayError): string {
  const told = Object.entries(fields).map(([name, value]) => `${name} ${value}`);
  return told.length === 0 ? "the gateway refuses" : `the gateway refuses: ${told.join(", ")}`;
}

function tell(error: unknown, io: Io): void {
  if (error instanceof CausewayError) {
    const { en, next } = reason(error.code);
    // A gateway answers with the reason's own text, and says the rest in fields.
    const what = error.message === `${en} ${next}` ? detailOf(error) : error.message;
    io.warn(`causeway: ${what}\n  reason  ${error.code}: ${en}\n  next    ${next}\n`);
    return;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  io.warn(`causeway: unexpected error\n${text}\n`);
}
