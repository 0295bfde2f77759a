/** What cities decide together: a quorum of equal votes passes, as an effect of the last one. */
import { type Command, InvalidArgumentError } from "commander";
import { toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { CalendarYear, VoteBody } from "../../src/credential/statements.ts";
import { readDraft } from "./drafts.ts";
import { readNetwork, type SayOptions, sayAsAuthority } from "./enrol.ts";
import { integerFlag, withAuthority } from "./flags.ts";
import type { Io } from "./io.ts";

interface VoteOptions extends SayOptions {
  /** City that votes. */
  readonly as: string;
}

export interface QuorumVoteOptions extends VoteOptions {
  readonly quorum: number;
  readonly faults: number;
}

export interface AdmissionVoteOptions extends QuorumVoteOptions {
  /** Statement file of the candidacy. */
  readonly candidacy: string;
}

export interface CalendarVoteOptions extends VoteOptions {
  readonly year: number;
  readonly off: readonly string[];
  readonly on: readonly string[];
}

/** A vote to admit the city of a candidacy, and for the quorum with it. */
export async function voteAdmission(options: AdmissionVoteOptions, io: Io): Promise<void> {
  const { statement, payload } = await readDraft(options.candidacy);
  if (statement.name !== "city" || statement.body.change !== "candidacy") {
    throw new CausewayError("STATEMENT_INVALID", `${options.candidacy} is no candidacy`);
  }
  const { quorum, faults } = options;
  const candidacy = toHex(sha256(payload));
  const body = { on: "admission", candidacy, quorum, faults } as const;
  await cast(statement.claims.sub, body, options, io);
}

/** A vote to exclude a city, which has none in it, and for the quorum without it. */
export async function voteExclusion(
  city: string,
  options: QuorumVoteOptions,
  io: Io,
): Promise<void> {
  const { quorum, faults } = options;
  await cast(city, { on: "exclusion", quorum, faults }, options, io);
}

/** A vote for another quorum of the same cities. */
export async function voteQuorum(options: QuorumVoteOptions, io: Io): Promise<void> {
  const { quorum, faults } = options;
  await castForNetwork({ on: "quorum", quorum, faults }, options, io);
}

/** A vote to move the registry's rules to their next version. */
export async function voteRules(version: number, options: VoteOptions, io: Io): Promise<void> {
  await castForNetwork({ on: "rules", version }, options, io);
}

/** A vote to publish the working days of a year. */
export async function voteCalendar(options: CalendarVoteOptions, io: Io): Promise<void> {
  const { off, on } = options;
  const year: CalendarYear = { year: options.year, off: off.toSorted(), on: on.toSorted() };
  await castForNetwork({ on: "calendar", year }, options, io);
}

async function castForNetwork(body: VoteBody, options: VoteOptions, io: Io): Promise<void> {
  const { net } = await readNetwork(options.network);
  await cast(net, body, options, io);
}

async function cast(sub: string, body: VoteBody, options: VoteOptions, io: Io): Promise<void> {
  await sayAsAuthority({ name: "vote", iss: options.as, sub, body }, options, io);
}

function withVote(command: Command): Command {
  return withAuthority(command).requiredOption("--as <city>", "the city that votes");
}

function withQuorum(command: Command): Command {
  return withVote(command)
    .requiredOption("--quorum <n>", "how many cities must cosign from then on", integerFlag(1, 31))
    .requiredOption("--faults <n>", "how many of them may lie", integerFlag(0, 31));
}

function dateFlag(text: string, before: readonly string[]): readonly string[] {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text))
    throw new InvalidArgumentError("It is a date, YYYY-MM-DD.");
  return [...before, text];
}

export function registerVote(program: Command, io: Io): void {
  const vote = program
    .command("vote")
    .description("what the cities decide together; a quorum of equal votes passes");
  withQuorum(vote.command("admission").description("to admit a city, by its candidacy"))
    .requiredOption("--candidacy <file>", "its statement file")
    .action((options: AdmissionVoteOptions) => voteAdmission(options, io));
  withQuorum(
    vote.command("exclusion").description("to exclude a city").argument("<city>", "the city"),
  ).action((city: string, options: QuorumVoteOptions) => voteExclusion(city, options, io));
  withQuorum(vote.command("quorum").description("for another quorum")).action(
    (options: QuorumVoteOptions) => voteQuorum(options, io),
  );
  withVote(
    vote
      .command("rules")
      .description("to move the rules of the registry to their next version")
      .argument("<version>", "that version", integerFlag(1, 0xffffffff)),
  ).action((version: number, options: VoteOptions) => voteRules(version, options, io));
  withVote(vote.command("calendar").description("to publish the working days of a year"))
    .requiredOption("--year <year>", "the year", integerFlag(2000, 9999))
    .option("--off <date>", "a weekday without work; may be given several times", dateFlag, [])
    .option("--on <date>", "a weekend day of work; may be given several times", dateFlag, [])
    .action((options: CalendarVoteOptions) => voteCalendar(options, io));
}
