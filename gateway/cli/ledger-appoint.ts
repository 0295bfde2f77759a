/** `causeway ledger appoint`: another gateway becomes the sequencer, by votes of a quorum of cities. */
import type { Command } from "commander";
import { parseHex, toBase64, toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { cardBytesMax } from "../../src/base/limits.ts";
import { parseKey } from "../../src/credential/key-text.ts";
import type { Statement } from "../../src/credential/statements.ts";
import { AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { parseCheckpoint } from "../../src/note/checkpoint.ts";
import { parseNote } from "../../src/note/note.ts";
import { readBounded } from "../keys/files.ts";
import { unlockFolder, readCard } from "../keys/key-folder.ts";
import { createLogKey, formatAppointment, parseAppointment } from "../keys/log-keys.ts";
import { type AdminOptions, withAdminClient } from "./admin-client.ts";
import { createClaims, createDraft, readDraft, signDraft, writeDraft } from "./drafts.ts";
import { integerFlag, withAdmin, withFormat } from "./flags.ts";
import type { Io } from "./io.ts";
import { openFolder, passphraseOf, writeText } from "./key-folders.ts";
import { childOf } from "./ledger-input.ts";
import { type OutputOptions, writeRow } from "./output.ts";

export interface AppointPrepareOptions {
  /** Key folder of the gateway. */
  readonly folder: string;
  readonly passphraseFile?: string | undefined;
  readonly term: number;
  readonly card?: string | undefined;
}

export interface AppointVoteOptions extends AdminOptions {
  readonly card: string;
  /** Key folder of the city. */
  readonly folder: string;
  readonly passphraseFile?: string | undefined;
  readonly out: string;
}

export interface AppointOpenOptions extends AdminOptions, OutputOptions {
  readonly timeout: number;
}

/** Makes the log key of a term in the gateway's key folder, and prints the card that cities vote on. */
export async function appointPrepare(options: AppointPrepareOptions, io: Io): Promise<void> {
  const { folder, passphraseFile, term, card: file } = options;
  const gateway = await readCard(folder, "gateway");
  const identity = await unlockFolder(folder, await passphraseOf(folder, passphraseFile, io));
  writeText(file, formatAppointment(await createLogKey(folder, { gateway, term, identity })), io);
  io.warn(
    `The log key of term ${term} is in ${folder}. Each city votes with \`ledger appoint vote\`.\n`,
  );
}

/**
 * A city's vote. Its witness promises first, durably, that it cosigns nothing of a lower term any more;
 * only then does the authority sign. Run again it makes the vote again, with the same checkpoint unless its
 * ledger has learnt meanwhile of a later term that leaves its term out.
 */
export async function appointVote(options: AppointVoteOptions, io: Io): Promise<void> {
  const { term, gateway, address, tls, log } = parseAppointment(
    await readBounded(options.card, cardBytesMax),
  );
  const keys = await openFolder(options, "city", io);
  await withAdminClient(options, io, async (client) => {
    const { network } = await client.call(AdminService.method.getStatus, {});
    const { checkpoint } = await client.call(AdminService.method.promiseTerm, {
      term: BigInt(term),
      gateway,
      address,
      tls: parseHex(tls) as Uint8Array,
      logKey: parseKey(log) as Uint8Array,
    });
    const claims = createClaims({ iss: keys.card.id, sub: gateway, net: toHex(network) }, io);
    const body = {
      on: "sequencer",
      term,
      address,
      tls,
      log,
      checkpoint: toBase64(checkpoint),
    } as const;
    writeDraft(options.out, signDraft(createDraft({ name: "vote", claims, body }), keys));
    const { origin, size } = parseCheckpoint(parseNote(checkpoint).text);
    io.warn(
      `${keys.card.id} votes for ${gateway} in term ${term}, from ${origin} at size ${size} on. Its witness cosigns nothing of a lower term any more. The vote is in ${options.out}.\n`,
    );
  });
}

/** Opens the term at the gateway that is to be the sequencer. */
export async function appointOpen(
  files: readonly string[],
  options: AppointOpenOptions,
  io: Io,
): Promise<void> {
  const votes = await Promise.all(files.map(readVote));
  const waitMs = options.timeout * 1000;
  await withAdminClient(options, io, async (client) => {
    const request = { votes: votes.map((jws) => ({ jws: [...jws] })), waitMs: BigInt(waitMs) };
    const opened = await client.call(AdminService.method.openTerm, request, waitMs);
    const { term, start, index, final, leftOut } = opened;
    const row = { term: String(term), start: String(start), votes_at: String(index) };
    writeRow(io, { ...row, state: final ? "final" : "included" }, options);
    for (const city of leftOut) {
      io.warn(
        `The vote of ${city} was left out: it names a checkpoint of a term that this gateway does not know.\n`,
      );
    }
    if (final) return;
    throw new CausewayError(
      "LEDGER_BEHIND",
      `the term is open, but not final within ${options.timeout} s`,
    );
  });
}

async function readVote(file: string): Promise<readonly string[]> {
  const { statement, jws } = await readDraft(file);
  if (isSequencerVote(statement)) return jws;
  throw new CausewayError("STATEMENT_INVALID", `${file} is no vote for a sequencer`);
}

function isSequencerVote(statement: Statement): boolean {
  return statement.name === "vote" && statement.body.on === "sequencer";
}

export function registerLedgerAppoint(program: Command, io: Io): void {
  const ledger = childOf(program, "ledger", "the shared append-only ledger");
  const appoint = ledger
    .command("appoint")
    .description("make another gateway the sequencer: prepare, vote in each city, open");
  appoint
    .command("prepare")
    .description("on the gateway that is to be the sequencer: make the term's log key")
    .requiredOption("--folder <dir>", "key folder of the gateway")
    .option("--passphrase-file <file>", "file with its passphrase; asked for without it")
    .requiredOption("--term <n>", "above every term so far", integerFlag(1, 0xffffffff))
    .option("--card <file>", "where to write the card; standard output without it")
    .action((options: AppointPrepareOptions) => appointPrepare(options, io));
  withAdmin(
    appoint
      .command("vote")
      .description("in each city: promise at its witness, then sign")
      .requiredOption("--card <file>", "the card of `ledger appoint prepare`")
      .requiredOption("--folder <dir>", "key folder of the city")
      .option("--passphrase-file <file>", "file with its passphrase; asked for without it")
      .requiredOption("--out <file>", "statement file to write"),
  ).action((options: AppointVoteOptions) => appointVote(options, io));
  withFormat(
    withAdmin(
      appoint
        .command("open")
        .description("on the gateway that is to be the sequencer: open the term")
        .argument("<vote...>", "the votes of a quorum")
        .option("--timeout <seconds>", "how long to wait, 120 at most", integerFlag(1, 120), 60),
    ),
  ).action((files: string[], options: AppointOpenOptions) => appointOpen(files, options, io));
}
