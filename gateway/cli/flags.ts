/** Flags that several commands share, and how their texts are read. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Bounds } from "../../src/credential/statements.ts";
import { defaultBounds } from "../../src/credential/statements.ts";
import { outputFormats } from "./output.ts";

/** Reads an integer from `min` to `max`. */
export function integerFlag(
  min: number,
  max: number = Number.MAX_SAFE_INTEGER,
): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d{1,16}$/.test(text) && value >= min && value <= max) return value;
    const upTo = max === Number.MAX_SAFE_INTEGER ? "on" : `to ${max}`;
    throw new InvalidArgumentError(`It is an integer from ${min} ${upTo}.`);
  };
}

/** Reads a date or a time in UTC, such as 2026-05-01 or 2026-05-01T08:00:00Z, as Unix milliseconds. */
export function timeFlag(text: string): number {
  const time = Date.parse(text);
  if (/^\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(?:\.\d{1,3})?Z)?$/.test(text) && !Number.isNaN(time)) {
    return time;
  }
  throw new InvalidArgumentError("It is a UTC date 2026-05-01 or time 2026-05-01T08:00:00Z.");
}

const hostPortPattern = /^(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):(\d{1,5})$/;

/** Reads `host:port`, an IPv6 address in brackets. */
export function hostPortFlag(text: string): string {
  const port = Number(hostPortPattern.exec(text)?.[1]);
  if (port >= 1 && port <= 65_535) return text;
  throw new InvalidArgumentError("It is host:port, with a port from 1 to 65535.");
}

/** Collects `name=value` of the network's bounds. */
export function boundFlag(text: string, before: Partial<Bounds> | undefined): Partial<Bounds> {
  const [name = "", value = "", ...more] = text.split("=");
  if (more.length > 0 || !Object.hasOwn(defaultBounds, name)) {
    throw new InvalidArgumentError(
      `It is name=value, of: ${Object.keys(defaultBounds).join(", ")}.`,
    );
  }
  return { ...before, [name]: integerFlag(1)(value) };
}

export function withFormat(command: Command): Command {
  return command.addOption(
    new Option("--output <format>", "how to print").choices(outputFormats).default("table"),
  );
}

/** Long work, whose progress a terminal shows. */
export function withProgress(command: Command): Command {
  return command.option("--progress", "show rate and time left also where no terminal is");
}

export function withNewFolder(command: Command): Command {
  return command
    .requiredOption(
      "--folder <dir>",
      "folder to create; its keys are encrypted with the passphrase",
    )
    .option(
      "--passphrase-file <file>",
      "file with the passphrase; asked for at a terminal without it",
    )
    .option("--card <file>", "where to write the public card; standard output without it");
}

const folderText = "key folder to sign with; may be given several times";
const passphraseText =
  "file with the passphrase: one for all folders, or one for each in their order";

/** Key folders that sign a statement file. */
export function withSigners(command: Command): Command {
  return command
    .requiredOption("--folder <dir...>", folderText)
    .option("--passphrase-file <file...>", passphraseText);
}

/** Key folders that sign what they can; without one a statement file is left unsigned. */
export function withOptionalSigners(command: Command): Command {
  return command
    .option("--folder <dir...>", folderText)
    .option("--passphrase-file <file...>", passphraseText);
}

export function withAdmin(command: Command): Command {
  return command.requiredOption("--admin <socket>", "admin socket of the own gateway");
}

/** What carries a statement through the own gateway, until it is final. */
export function withWait(command: Command): Command {
  return command
    .option("--no-wait", "do not wait until the statement is final")
    .option("--timeout <seconds>", "how long to wait, 120 at most", integerFlag(1, 120), 60);
}

/** A command that an administrator signs. */
export function withAdministrator(command: Command): Command {
  withAdmin(command)
    .requiredOption("--folder <dir>", "key folder of the administrator")
    .option(
      "--passphrase-file <file>",
      "file with its passphrase; asked for at a terminal without it",
    );
  return withFormat(withWait(command));
}

/** A command that writes the statement of a new member. */
export function withEnrol(command: Command): Command {
  return withAuthority(command).requiredOption(
    "--card <file>",
    "card of who is enrolled: the file, or its key folder",
  );
}

/** A command that writes the statement of an authority. */
export function withAuthority(command: Command): Command {
  return withSaying(withOptionalSigners(command));
}

/** A command that makes a renewed key folder and writes the statement about it. */
export function withNewKeys(command: Command): Command {
  return withSaying(
    command
      .requiredOption("--folder <dir>", "key folder in force")
      .requiredOption("--new-folder <dir>", "folder to make, with the same passphrase")
      .option(
        "--passphrase-file <file>",
        "file with the passphrase; asked for at a terminal without it",
      ),
  );
}

function withSaying(command: Command): Command {
  command
    .requiredOption("--network <file>", "founding document, or its draft")
    .option("--out <file>", "statement file to write, complete or to be signed further")
    .option("--admin <socket>", "carry it at once through this gateway's admin socket");
  return withFormat(withWait(command));
}
