/** `causeway ledger import`: a replica from an export, so that a new member need not follow from the beginning. */
import type { Command } from "commander";
import { equalBytes, toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { ExportEntry } from "../../src/audit/export-file.ts";
import { replayLedger } from "../../src/audit/replay.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import type { LedgerReplica } from "../../src/ledger/embedded/replica.ts";
import { assertNoFindings, trustedId } from "./audit.ts";
import { withFormat, withProgress } from "./flags.ts";
import type { Io } from "./io.ts";
import { childOf, readExportFile, readWhole } from "./ledger-input.ts";
import { type OutputOptions, type Row, writeRow } from "./output.ts";
import { type ProgressOptions, startProgress } from "./progress.ts";
import { feedReplica, networkOf, withReplica } from "./replica-feed.ts";

export interface LedgerImportOptions extends OutputOptions, ProgressOptions {
  readonly network?: string | undefined;
  readonly founding?: string | undefined;
  /** Folder of the gateway: `data` in its configuration. */
  readonly data: string;
  /** File of a later checkpoint of this network. */
  readonly checkpoint?: string | undefined;
}

/**
 * Verifies an export as `ledger verify` does, refuses it on any finding, and only then fills the folder.
 * A folder that holds the beginning of the same ledger, as after a kill, is filled up.
 *
 * Throws FINDINGS; LEDGER_FORK when the folder holds another history; and as `withReplica` and
 * `feedReplica` do.
 */
export async function ledgerImport(
  file: string,
  options: LedgerImportOptions,
  io: Io,
): Promise<void> {
  const id = trustedId(options);
  const { checkpoint, data } = options;
  const verifying = startProgress(io, "KiB verified", options);
  const result = await replayLedger(
    readExportFile(file, (read, total) => verifying.at(read >> 10, total >> 10)),
    {
      networkId: id,
      verifier: createNodeVerifier(),
      depth: "integrity",
      ...(checkpoint === undefined ? {} : { laterCheckpoint: readWhole(checkpoint) }),
    },
  ).finally(() => verifying.end());
  assertNoFindings(result, options, io);
  const network = await networkOf(readExportFile(file), id);
  await withReplica({ data, network, clock: io.clock }, async (replica) => {
    const held = replica.state().size;
    const storing = startProgress(io, "batches", options, held);
    await feedReplica(replica, missing(replica, readExportFile(file)), {
      onBatches: (_from, size) => storing.at(size, result.size),
    }).finally(() => storing.end());
    writeRow(io, importRow(replica, data, held), options);
  });
}

function importRow(replica: LedgerReplica, data: string, held: bigint): Row {
  const { size, digest } = replica.state();
  const final = replica.final();
  return {
    data,
    size: String(size),
    imported: String(size - held),
    final_size: String(final?.size ?? 0n),
    final_root: final === undefined ? "" : toHex(final.root),
    registry_digest: toHex(digest),
  };
}

/** What the replica does not hold yet; what it holds must be the same. */
async function* missing(
  replica: LedgerReplica,
  entries: AsyncIterable<ExportEntry>,
): AsyncGenerator<ExportEntry> {
  let index = 0n;
  for await (const entry of entries) {
    if (entry.kind === "batch") {
      const stored = replica.reader.batch(index);
      if (stored !== undefined && !equalBytes(stored.leaf, entry.leaf)) {
        throw new CausewayError("LEDGER_FORK", `the folder holds another batch at ${index}`, {
          fields: { index: String(index) },
        });
      }
      index += 1n;
      if (stored !== undefined) continue;
    }
    yield entry;
  }
}

export function registerLedgerImport(program: Command, io: Io): void {
  withFormat(
    withProgress(
      childOf(program, "ledger", "the shared append-only ledger")
        .command("import")
        .description("fill the folder of a new gateway from an export, once it is verified")
        .argument("<file>", "export, as causeway ledger export writes it")
        .requiredOption("--data <dir>", "folder of the gateway: `data` in its configuration")
        .option("--network <hex>", "network id: all that is trusted")
        .option("--founding <file>", "founding document, in the place of the network id")
        .option("--checkpoint <file>", "later checkpoint obtained elsewhere, to show freshness"),
    ),
  ).action((file: string, options: LedgerImportOptions) => ledgerImport(file, options, io));
}
