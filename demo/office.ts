/** An office of the demonstration: one city with one agency and its gateway, on one machine. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freeAddresses, type Listener } from "../gateway/dev/dev-member.ts";
import { runCaptured } from "./captured.ts";
import type { Finished, Stage } from "./stage.ts";
import { answered, quoted, typed } from "./terminal.ts";

/** The program that an administrator calls `causeway`. */
export const program: string = fileURLToPath(new URL("../gateway/cli/main.js", import.meta.url));

/** A folder that stands for somebody's machine, named in the prompt. */
export interface Place {
  readonly stage: Stage;
  readonly name: string;
  readonly folder: string;
  /** Values of shell variables, such as `$NETWORK`: the printed command line keeps the name. */
  readonly variables?: Readonly<Record<string, string>>;
}

export interface Office extends Place {
  readonly division: string;
  readonly agency: string;
  /** For people. */
  readonly agencyName: string;
  readonly gateway: string;
  /** `host:port` of each listener. */
  readonly listeners: Readonly<Record<Listener, string>>;
}

// Trying a passphrase costs 2^10 here, 2^18 with the product's own commands: these keys live for a minute.
const scryptLogN = 10;
const passphrase = "a passphrase for the demonstration";

/** Makes the folder of an office, with a passphrase file, and chooses its addresses. */
export async function openOffice(
  stage: Stage,
  names: Pick<Office, "name" | "division" | "agency" | "agencyName">,
): Promise<Office> {
  const folder = join(stage.folder, names.name);
  mkdirSync(folder);
  writeFileSync(join(folder, "passphrase"), `${passphrase}\n`, { mode: 0o600 });
  const [agency, peer, http, witness] = (await freeAddresses(4)) as [
    string,
    string,
    string,
    string,
  ];
  const listeners = { agency, peer, http, witness };
  return { stage, ...names, gateway: `${names.agency}/gw1`, folder, listeners };
}

/** The words of a command line: the text is split at spaces, what is put in stays whole, a list is many words. */
export function words(
  texts: TemplateStringsArray,
  ...values: readonly (string | readonly string[])[]
): readonly string[] {
  return texts.flatMap((text, i) => {
    const value = values[i] ?? [];
    return [...text.split(/\s+/), ...(typeof value === "string" ? [value] : value)].filter(
      (word) => word !== "",
    );
  });
}

export interface CommandOptions {
  /** Exit code that is expected; 0 unless given. */
  readonly exitCode?: number;
  /** What is printed of the answer: all of standard output unless given. */
  readonly show?: "nothing" | readonly string[] | ((ran: Finished) => string);
  /** Neither the command nor its answer is printed. */
  readonly silent?: boolean;
  /** In a process of its own unless given: true saves half a second. */
  readonly inProcess?: boolean;
}

/** Runs `causeway` in a folder, as somebody types it there. Throws for another exit code. */
export async function causeway(
  place: Place,
  argv: readonly string[],
  options: CommandOptions = {},
): Promise<Finished> {
  const { name, folder, stage } = place;
  const { exitCode = 0, inProcess = false, silent = false } = options;
  const real = argv.map((word) => place.variables?.[word] ?? word);
  if (!silent) typed(name, ["causeway", ...argv.map(quoted)]);
  stage.signal.throwIfAborted();
  const ran = inProcess
    ? await runHere(folder, real)
    : await stage.run({ argv: [program, ...real], folder });
  stage.signal.throwIfAborted();
  if (!silent) showAnswer(ran, options.show);
  if (ran.code === exitCode) return ran;
  const line = ["causeway", ...argv].join(" ");
  throw new Error(
    `exit code ${ran.code} in place of ${exitCode}\n  ${name}$ ${line}\n${ran.stdout}${ran.stderr}`,
  );
}

/** The command itself, in this process: one after another, for the working folder is the process's. */
async function runHere(folder: string, argv: readonly string[]): Promise<Finished> {
  process.chdir(folder);
  return runCaptured(argv, { environment: { passphraseFile: "passphrase" }, scryptLogN });
}

function showAnswer(ran: Finished, show: CommandOptions["show"]): void {
  if (show === "nothing") return;
  if (typeof show === "function") return answered(show(ran));
  if (show === undefined) return answered(ran.stdout + ran.stderr);
  const lines = ran.stdout
    .split("\n")
    .filter((line) => show.some((name) => line.startsWith(`${name} `)));
  answered(lines.join("\n"));
}

/** One cell of an answer that is printed a member a line. */
export function cell({ stdout }: Finished, name: string): string {
  const value = new RegExp(`^${name} +(\\S.*)$`, "m").exec(stdout)?.[1];
  if (value === undefined) throw new Error(`no ${name} in\n${stdout}`);
  return value;
}
