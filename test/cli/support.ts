/** The command line in the test's process: every command runs whole, on real files. */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { type Captured, runCaptured } from "../../demo/captured.ts";

export type Ran = Captured;

export const passphrase: string = "correct 马 battery";

/** A folder of this test file, removed at its end. */
export function temporaryRoot(name: string): string {
  const root = mkdtempSync(join(tmpdir(), `causeway-${name}-`));
  after(() => rmSync(root, { recursive: true, force: true }));
  return root;
}

/** Runs `causeway` with these arguments; the scrypt cost of new folders is low, all else is the product. */
export function causeway(...argv: readonly string[]): Promise<Ran> {
  return causewayAsking(undefined, ...argv);
}

/** Runs `causeway` with a person at the terminal who gives these answers, or with nobody there. */
export async function causewayAsking(
  answers: readonly string[] | undefined,
  ...argv: readonly string[]
): Promise<Ran> {
  const left = answers?.slice();
  return runCaptured(argv, {
    ...(left === undefined ? {} : { ask: async () => left.shift() ?? "" }),
    scryptLogN: 2,
  });
}

/** A machine: a folder of its own, in which a passphrase file stands. */
export class Machine {
  readonly folder: string;
  readonly passphraseFile: string;

  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    this.passphraseFile = join(folder, "passphrase");
    writeFileSync(this.passphraseFile, `${passphrase}\n`);
    chmodSync(this.passphraseFile, 0o600);
  }

  at(name: string): string {
    return join(this.folder, name);
  }

  /** Runs a command that needs the passphrase, and expects it to be done. */
  async run(...argv: readonly string[]): Promise<Ran> {
    const ran = await causeway(...argv, "--passphrase-file", this.passphraseFile);
    if (ran.code !== 0) throw new Error(`causeway ${argv.join(" ")}\n${ran.stderr}`);
    return ran;
  }
}

/** The command ended with this reason on standard error, and with this exit code. */
export function assertRefused(ran: Ran, reason: string, code: number): void {
  assert.match(ran.stderr, new RegExp(`reason  ${reason}:`), ran.stderr);
  assert.equal(ran.code, code);
}

/** The statement is final and in force; returns the row that the command printed as JSON. */
export function assertApplied(ran: Ran): Record<string, string> {
  assert.equal(ran.code, 0, ran.stderr);
  const row = JSON.parse(ran.stdout) as Record<string, string>;
  assert.deepEqual([row["state"], row["effect"]], ["final", "applied"]);
  return row;
}
