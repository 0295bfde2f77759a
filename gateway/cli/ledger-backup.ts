/** `causeway ledger backup`: copies of a gateway's ledger and journal, also while it runs. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { type GatewayConfig, readConfig } from "../config.ts";
import { withAdminClient } from "./admin-client.ts";
import { withFormat } from "./flags.ts";
import type { Io } from "./io.ts";
import { childOf } from "./ledger-input.ts";
import { type OutputOptions, writeRow } from "./output.ts";

export interface LedgerBackupOptions extends OutputOptions {
  readonly config: string;
  readonly out: string;
  readonly verify?: boolean | undefined;
}

/** Hours of copying that a large ledger may take. */
const copyMs = 6 * 3600 * 1000;

/** Makes a backup, or verifies the one that is there. */
export async function ledgerBackup(options: LedgerBackupOptions, io: Io): Promise<void> {
  const config = readConfig(options.config, io.environment.configVariables);
  const { backUp, leftOut, verifyBackup } = await import("../backup.ts");
  const out = resolve(options.out);
  if (options.verify !== true) {
    await backUp(config, out, (path) => copyLedger(config, path, io));
    io.warn(`The backup is in ${out}. ${leftOut}\n`);
  }
  const verified = await verifyBackup(out, { gateway: config.gateway, clock: io.clock });
  writeRow(
    io,
    {
      gateway: config.gateway,
      backup: out,
      size: String(verified.size),
      final_size: String(verified.finalSize),
      root: toHex(verified.root),
      registry_digest: toHex(verified.registryDigest),
      journal_batches: verified.journalBatches,
    },
    options,
  );
}

/** A running gateway copies its own replica; the folder of a stopped one is read here. */
async function copyLedger(config: GatewayConfig, path: string, io: Io): Promise<void> {
  const { admin } = config.listeners;
  try {
    await withAdminClient({ admin }, io, (client) =>
      client.call(AdminService.method.copyLedger, { path }, copyMs),
    );
  } catch (error) {
    if (!(error instanceof CausewayError) || error.code !== "GATEWAY_UNAVAILABLE") throw error;
    const { copyStoppedLedger } = await import("../backup.ts");
    await copyStoppedLedger(config, path);
  }
}

const help = `
A backup holds the replica of the ledger, the journal and the founding document. Keys are backed up with their
folders, once. Openings never are: what is erased must not come back. Nor is a witness's state: one that is
set back could sign a second history; a city that lost it takes a new witness key.

To restore: put ledger.sqlite and journal.sqlite into an empty data folder, then run
\`causeway ledger recover\` before the gateway starts. The journal of a backup is old as soon as the gateway has
sealed once more; a gateway that is started with it stops sealing (JOURNAL_ROLLED_BACK) as soon as anybody shows it so.`;

export function registerLedgerBackup(program: Command, io: Io): void {
  withFormat(
    childOf(program, "ledger", "the shared append-only ledger")
      .command("backup")
      .description("copy a gateway's ledger and journal, also while it runs, and verify the copy")
      .requiredOption("--config <file>", "configuration of the gateway, YAML")
      .requiredOption("--out <folder>", "folder of the backup; created, or empty")
      .option("--verify", "only verify the backup that is there"),
  )
    .addHelpText("after", help)
    .action((options: LedgerBackupOptions) => ledgerBackup(options, io));
}
