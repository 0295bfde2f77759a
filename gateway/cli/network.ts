import type { Command } from "commander";
import { toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { networkId } from "../../src/credential/statement.ts";
import type { Bounds } from "../../src/credential/statements.ts";
import { foundingTerm } from "../../src/ledger/embedded/network.ts";
import { formatHandle } from "../../src/record/handle.ts";
import {
  type Draft,
  mergeDrafts,
  missingSignatures,
  readDraft,
  signDraft,
  writeDraft,
} from "./drafts.ts";
import { boundFlag, integerFlag, withFormat, withSigners } from "./flags.ts";
import type { Io } from "./io.ts";
import { openFolder, openFolders, type SignerOptions } from "./key-folders.ts";
import { draftNetwork, type NetworkDraftOptions } from "./network-draft.ts";
import { readFoundingStatements, sealFounding } from "./network-found.ts";
import { joinNetwork } from "./network-join.ts";
import { type OutputOptions, writeRow } from "./output.ts";

export interface NetworkDraftCommand extends NetworkDraftOptions, OutputOptions {
  readonly out: string;
}

export interface NetworkSignOptions extends SignerOptions, OutputOptions {
  readonly draft: string;
  /** The draft itself unless given. */
  readonly out?: string | undefined;
}

export interface MergeOptions extends OutputOptions {
  readonly out: string;
}

export interface NetworkFoundOptions extends OutputOptions {
  readonly network: string;
  readonly statement: readonly string[];
  readonly folder: string;
  readonly passphraseFile?: string | undefined;
  readonly data: string;
}

export interface NetworkJoinOptions extends OutputOptions {
  readonly founding: string;
  readonly bootstrap: string;
  readonly data: string;
}

/** Writes the founding document that the cards make, for every city to sign. */
export async function networkDraft(options: NetworkDraftCommand, io: Io): Promise<void> {
  const draft = await draftNetwork(options, io);
  writeDraft(options.out, draft);
  writeNetwork(draft, options, io);
}

/** Signs the founding document with the keys of the folders. */
export async function networkSign(options: NetworkSignOptions, io: Io): Promise<void> {
  let draft = assertNetwork(await readDraft(options.draft), options.draft);
  for (const keys of await openFolders(options, io)) draft = signDraft(draft, keys);
  writeDraft(options.out ?? options.draft, draft);
  writeNetwork(draft, options, io);
}

/** Puts the signatures of several copies of the founding document together. */
export async function networkMerge(
  files: readonly string[],
  options: MergeOptions,
  io: Io,
): Promise<void> {
  const drafts = await Promise.all(
    files.map(async (file) => assertNetwork(await readDraft(file), file)),
  );
  const merged = mergeDrafts(drafts);
  writeDraft(options.out, merged);
  writeNetwork(merged, options, io);
}

/** Founds the network: seals batch 0 and creates the sequencer's ledger. */
export async function networkFound(options: NetworkFoundOptions, io: Io): Promise<void> {
  const { data } = options;
  const founding = await readFoundingStatements(options, io);
  const keys = await openFolder(options, "gateway", io);
  const { leafHash } = await sealFounding(founding, { keys, data }, io);
  const { state, records } = founding;
  writeRow(
    io,
    {
      network: toHex(founding.id),
      name: state.network?.name ?? "",
      sequencer: keys.card.id,
      cities: [...state.cities.keys()],
      agencies: [...state.agencies.keys()],
      gateways: [...state.gateways.keys()],
      administrators: [...state.administrators.values()].flat().map(({ agency }) => agency),
      records: records.length,
      handle: formatHandle(leafHash, 0),
      data,
    },
    options,
  );
}

/** Creates an empty replica for the ledger that the bootstrap serves, if it is the right one. */
export async function networkJoin(options: NetworkJoinOptions, io: Io): Promise<void> {
  const { network, finalSize, finalTimeMs } = await joinNetwork(options, io);
  writeRow(
    io,
    {
      network: toHex(network.id),
      sequencer: foundingTerm(network).gateway,
      final_size: String(finalSize),
      final_time: new Date(finalTimeMs).toISOString(),
      data: options.data,
    },
    options,
  );
}

function assertNetwork(draft: Draft, file: string): Draft {
  if (draft.statement.name === "network") return draft;
  throw new CausewayError("STATEMENT_INVALID", `${file} is not a founding document`);
}

/** What a signer compares with the other cities before signing: the id covers every byte. */
function writeNetwork(draft: Draft, options: OutputOptions, io: Io): void {
  const { statement, payload } = draft;
  if (statement.name !== "network") return;
  const { name, cities, quorum, faults, sequencer, calendar } = statement.body;
  const years = calendar.years.map(({ year }) => year);
  writeRow(
    io,
    {
      network: toHex(networkId(payload)),
      name,
      cities: cities.map(({ id }) => id),
      quorum,
      faults,
      sequencer: sequencer.gateway,
      calendar: years.length === 0 ? "none" : `${years[0]} to ${years.at(-1)}`,
      to_sign: missingSignatures(draft),
    },
    options,
  );
}

export function registerNetwork(program: Command, io: Io): void {
  const network = program.command("network").description("the consortium that shares one ledger");
  withFormat(
    network
      .command("draft")
      .description("write the founding document from the cities' cards")
      .requiredOption("--name <name>", "name of the network")
      .requiredOption("--city <card...>", "card of a founding city; may be given several times")
      .requiredOption("--sequencer <card>", "card of the gateway that sequences first")
      .option("--calendar <file>", "working days by published year, JSON")
      .option(
        "--quorum <n>",
        "cities that must cosign; by default as many as their number asks",
        integerFlag(1),
      )
      .option<Partial<Bounds> | undefined>(
        "--bound <name=value>",
        "a bound of the network; may be given several times",
        boundFlag,
      )
      .requiredOption("--out <file>", "statement file to write"),
  ).action((options: NetworkDraftCommand) => networkDraft(options, io));
  withFormat(
    withSigners(
      network
        .command("sign")
        .description("sign the founding document, each city and the sequencer in its own folder")
        .requiredOption("--draft <file>", "statement file of the founding document"),
    ).option("--out <file>", "where to write it with the signatures; the same file without it"),
  ).action((options: NetworkSignOptions) => networkSign(options, io));
  withFormat(
    network
      .command("merge")
      .description("put the signatures of several copies together")
      .argument("<file...>", "copies of the founding document")
      .requiredOption("--out <file>", "statement file to write"),
  ).action((files: string[], options: MergeOptions) => networkMerge(files, options, io));
  withFormat(
    network
      .command("found")
      .description("seal batch 0 and create the sequencer's ledger")
      .requiredOption("--network <file>", "founding document, signed by all")
      .requiredOption(
        "--statement <file...>",
        "statements of agencies, gateways and administrators",
      )
      .requiredOption("--folder <dir>", "key folder of the sequencer's gateway")
      .option(
        "--passphrase-file <file>",
        "file with its passphrase; asked for at a terminal without it",
      )
      .requiredOption("--data <dir>", "data folder of the sequencer's gateway"),
  ).action((options: NetworkFoundOptions) => networkFound(options, io));
  withFormat(
    network
      .command("join")
      .description("create a replica from the founding document alone")
      .requiredOption("--founding <file>", "founding document")
      .requiredOption("--bootstrap <host:port>", "HTTP listener of any gateway of the network")
      .requiredOption("--data <dir>", "data folder of the own gateway"),
  ).action((options: NetworkJoinOptions) => networkJoin(options, io));
}
