/** What a city says of itself: that it asks to be admitted, and that its keys change. */
import type { Command } from "commander";
import type { CityBody } from "../../src/credential/statements.ts";
import type { CityCard } from "../keys/card.ts";
import { type EnrolOptions, type SayOptions, sayAsAuthority } from "./enrol.ts";
import { withEnrol, withNewKeys } from "./flags.ts";
import type { Io } from "./io.ts";
import { bothFolders, readCardAt, renewFolder, type RenewOptions } from "./key-folders.ts";

export type CityRenewOptions = Omit<SayOptions, "folder" | "passphraseFile"> & RenewOptions;

export interface CityWitnessOptions extends CityRenewOptions {
  /** Where the witness will listen; as before unless given. */
  readonly witnessAddress?: string | undefined;
}

/** A city asks to be admitted: its own keys sign, the votes of the others decide. */
export async function cityCandidacy(options: EnrolOptions, io: Io): Promise<void> {
  const card = await readCardAt(options.card, "city");
  const { kind: _, id, witness_certificate: __, ...keys } = card;
  await say(id, { change: "candidacy", ...keys }, options, io);
}

/** The next authority key takes over, with the consent of the one in force. */
export async function cityRotate(options: CityRenewOptions, io: Io): Promise<void> {
  const { id, authority, next } = await renewAuthority(options, io);
  await say(id, { change: "rotation", authority, next }, withBoth(options), io);
}

/** The next authority key takes over alone: the one in force is lost or in the wrong hands. */
export async function cityRecover(options: CityRenewOptions, io: Io): Promise<void> {
  const { id, authority, next } = await renewAuthority(options, io);
  const { newFolder, passphraseFile } = options;
  const signers = {
    folder: [newFolder],
    passphraseFile: passphraseFile === undefined ? undefined : [passphraseFile],
  };
  await say(id, { change: "recovery", authority, next }, { ...options, ...signers }, io);
}

/** A new key, and where wanted a new place, for the city's witness. */
export async function cityWitness(options: CityWitnessOptions, io: Io): Promise<void> {
  const { witnessAddress: address } = options;
  const card = await renewFolder(options, "city", (of) => ({ of, change: "witness", address }), io);
  const { id, witness, witness_address, witness_tls } = card;
  const body = { change: "witness", witness, witness_address, witness_tls } as const;
  io.warn(
    `From this statement on ${id} cosigns with the new key alone: start the gateway that hosts its witness with ${options.newFolder}.\n`,
  );
  await say(id, body, withBoth(options), io);
}

function renewAuthority(options: CityRenewOptions, io: Io): Promise<CityCard> {
  return renewFolder(options, "city", (of) => ({ of, change: "authority" }), io);
}

function withBoth(options: CityRenewOptions): SayOptions {
  const { folder: _, newFolder: __, passphraseFile: ___, ...said } = options;
  return { ...said, ...bothFolders(options) };
}

async function say(id: string, body: CityBody, options: SayOptions, io: Io): Promise<void> {
  await sayAsAuthority({ name: "city", iss: id, sub: id, body }, options, io);
}

export function registerCityChanges(city: Command, io: Io): void {
  withEnrol(
    city
      .command("candidacy")
      .description("ask to be admitted to a network: then its cities vote with `vote cast`"),
  ).action((options: EnrolOptions) => cityCandidacy(options, io));
  withNewKeys(
    city
      .command("rotate")
      .description("let the next authority key take over; the one in force signs too"),
  ).action((options: CityRenewOptions) => cityRotate(options, io));
  withNewKeys(
    city
      .command("recover")
      .description("let the next authority key take over alone, when the one in force is lost"),
  ).action((options: CityRenewOptions) => cityRecover(options, io));
  withNewKeys(
    city
      .command("witness")
      .description("give the witness a new key; a witness that lost its state needs one"),
  )
    .option("--witness-address <host:port>", "where it will listen; as before unless given")
    .action((options: CityWitnessOptions) => cityWitness(options, io));
}
