import type { Command } from "commander";
import { toHex } from "../../src/base/bytes.ts";
import { AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { type AdminOptions, withAdminClient } from "./admin-client.ts";
import { withAdmin, withFormat } from "./flags.ts";
import type { Io } from "./io.ts";
import { type OutputOptions, writeRow } from "./output.ts";

/** Prints what the own gateway knows of the ledger, and whether it is ready. */
export async function ledgerStatus(options: AdminOptions & OutputOptions, io: Io): Promise<void> {
  await withAdminClient(options, io, async (client) => {
    const status = await client.call(AdminService.method.getStatus, {});
    writeRow(
      io,
      {
        gateway: status.gateway,
        version: status.version,
        network: toHex(status.network),
        ready: status.notReady.length === 0,
        not_ready: status.notReady,
        sequencer: status.sequencer,
        witness: status.witness,
        origin: status.origin,
        log_key: status.logVerifierKey,
        quorum: status.quorum,
        cosigners: status.cosigners.map(({ verifierKey }) => verifierKey),
        included_size: String(status.includedSize),
        final_size: String(status.finalSize),
        final_root: toHex(status.finalRoot),
        final_age_ms: String(status.finalAgeMs),
        registry_digest: toHex(status.registryDigest),
        sealed: String(status.journalSealed),
        not_final: String(status.journalNotFinal),
        listeners: status.listeners.map(({ name, address }) => `${name}=${address}`),
      },
      options,
    );
  });
}

export function registerLedger(program: Command, io: Io): void {
  const ledger = program.command("ledger").description("the shared append-only ledger");
  withFormat(
    withAdmin(
      ledger.command("status").description("show how far the ledger is, as seen from here"),
    ),
  ).action((options: AdminOptions & OutputOptions) => ledgerStatus(options, io));
}
