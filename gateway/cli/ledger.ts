import type { Command } from "commander";
import { toHex } from "../../src/base/bytes.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { AdminService } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { readFinal } from "../../src/ledger/embedded/checkpoints.ts";
import { readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { readFounding } from "../self.ts";
import { type AdminOptions, withAdminClient } from "./admin-client.ts";
import { withAdmin, withFormat } from "./flags.ts";
import type { Io } from "./io.ts";
import { LedgerHttp } from "./ledger-http.ts";
import { verifyLedger } from "./ledger-verify.ts";
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

export interface LedgerVerifyOptions extends OutputOptions {
  readonly founding: string;
  /** HTTP listener of any gateway of the network. */
  readonly http: string;
}

/** Reads the whole final ledger from a gateway and verifies it against the founding document alone. */
export async function ledgerVerify(options: LedgerVerifyOptions, io: Io): Promise<void> {
  const network = readLedgerNetwork(readFounding(options.founding));
  const http = new LedgerHttp(options.http);
  const verifier = createNodeVerifier();
  const nowMs = io.clock.nowMs();
  const final = readFinal(network, await http.checkpoint(), { verifier, nowMs });
  const { state, records, voids } = await verifyLedger(http, network, { final, verifier });
  writeRow(
    io,
    {
      network: toHex(network.id),
      size: String(final.size),
      root: toHex(final.root),
      final_time: new Date(final.timeMs).toISOString(),
      records,
      void_records: voids,
      registry_digest: toHex(state.digest),
      verified: ["quorum", "tree", "records", "chains", "signatures", "rules"],
      not_checked: ["decisions", "blobs", "both sides of an exchange: see causeway audit replay"],
    },
    options,
  );
}

export function registerLedger(program: Command, io: Io): void {
  const ledger = program.command("ledger").description("the shared append-only ledger");
  withFormat(
    withAdmin(
      ledger.command("status").description("show how far the ledger is, as seen from here"),
    ),
  ).action((options: AdminOptions & OutputOptions) => ledgerStatus(options, io));
  withFormat(
    ledger
      .command("verify")
      .description("read the whole final ledger from a gateway and verify it")
      .requiredOption("--founding <file>", "founding document: all that is trusted")
      .requiredOption("--http <host:port>", "HTTP listener of any gateway of the network"),
  ).action((options: LedgerVerifyOptions) => ledgerVerify(options, io));
}
