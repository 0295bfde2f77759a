import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { AdminService, type GetStatusResponse } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { formatTlogPolicy, type TlogPolicy } from "../../src/note/tlog-policy.ts";
import { parseNoteKey } from "../../src/note/verifier-key.ts";
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
        http_address: status.httpAddress,
        origin: status.origin,
        log_key: status.logVerifierKey,
        term: String(status.term),
        term_sequencer: `${status.sequencerGateway} at ${status.sequencerAddress}`,
        quorum: status.quorum,
        faults: status.faults,
        cosigners: status.cosigners.map(({ verifierKey }) => verifierKey),
        witnesses: status.cosigners.map(({ city, witnessAddress }) => `${city}=${witnessAddress}`),
        included_size: String(status.includedSize),
        included_age_ms: String(status.includedAgeMs),
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

export interface LedgerPolicyOptions extends AdminOptions {
  /** Standard output without it. */
  readonly out?: string | undefined;
}

/** Writes the tlog-policy of the network as it is now, which other people's tools take. */
export async function ledgerPolicy(options: LedgerPolicyOptions, io: Io): Promise<void> {
  const status = await withAdminClient(options, io, (client) =>
    client.call(AdminService.method.getStatus, {}),
  );
  const policy = formatTlogPolicy(policyOf(status));
  if (options.out === undefined) {
    io.write(new TextDecoder().decode(policy));
    return;
  }
  try {
    await writeFile(options.out, policy);
  } catch (cause) {
    throw new CausewayError("FILE_UNREADABLE", `${options.out} cannot be written`, { cause });
  }
  io.write(`${options.out}: tlog-policy of ${status.origin}\n`);
}

/** The name of the group that is the quorum: no city's id holds a slash. */
const quorumGroup = "quorum/cities";

function policyOf(status: GetStatusResponse): TlogPolicy {
  const { logVerifierKey, httpAddress, cosigners, quorum } = status;
  return {
    logs: [{ key: parseNoteKey(logVerifierKey), url: `http://${httpAddress}` }],
    witnesses: cosigners.map(({ city, verifierKey, witnessAddress }) => ({
      name: city,
      key: parseNoteKey(verifierKey),
      url: `https://${witnessAddress}`,
    })),
    groups: [{ name: quorumGroup, threshold: quorum, members: cosigners.map(({ city }) => city) }],
    quorum: quorumGroup,
  };
}

export function registerLedger(program: Command, io: Io): void {
  const ledger = program.command("ledger").description("the shared append-only ledger");
  withFormat(
    withAdmin(
      ledger.command("status").description("show how far the ledger is, as seen from here"),
    ),
  ).action((options: AdminOptions & OutputOptions) => ledgerStatus(options, io));
  withAdmin(
    ledger
      .command("policy")
      .description("write the network's log and witnesses as a C2SP tlog-policy")
      .option("--out <file>", "file to write; standard output without it"),
  ).action((options: LedgerPolicyOptions) => ledgerPolicy(options, io));
}
