/** `causeway ledger export`: the whole final ledger as one file, read over HTTP. */
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Command } from "commander";
import { CausewayError } from "../../src/base/errors.ts";
import { encodeExportEntry, type ExportEntry } from "../../src/audit/export-file.ts";
import { withProgress } from "./flags.ts";
import type { Io } from "./io.ts";
import { readExport } from "./ledger-download.ts";
import { LedgerHttp } from "./ledger-http.ts";
import { childOf, httpAddress } from "./ledger-input.ts";
import { type ProgressOptions, startProgress } from "./progress.ts";

/** Writes items to a file that appears whole and durable, or not at all. Returns the bytes written. */
export async function writeExport(
  entries: AsyncIterable<ExportEntry>,
  file: string,
): Promise<number> {
  const temporary = `${file}.part`;
  const handle = await open(temporary, "wx", 0o644);
  let bytes = 0;
  try {
    for await (const entry of entries) {
      const encoded = encodeExportEntry(entry);
      await handle.writeFile(encoded);
      bytes += encoded.length;
    }
    await handle.sync();
  } catch (cause) {
    await handle.close();
    await rm(temporary, { force: true });
    throw cause;
  }
  await handle.close();
  await rename(temporary, file);
  await syncFolderOf(file);
  return bytes;
}

/** A rename is durable once its folder is. */
async function syncFolderOf(file: string): Promise<void> {
  const folder = await open(dirname(file), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

export interface LedgerExportOptions extends ProgressOptions {
  /** HTTP listener of any gateway of the network. */
  readonly from: string;
  readonly out: string;
}

/** Downloads the whole final ledger. Throws as `LedgerHttp` does, and FILE_UNREADABLE when it cannot be written. */
export async function ledgerExport(options: LedgerExportOptions, io: Io): Promise<void> {
  const { from, out } = options;
  const progress = startProgress(io, "batches", options);
  let batches = 0n;
  const entries = readExport(new LedgerHttp(httpAddress(from)), {
    onBatch: (index, size) => {
      batches = index + 1n;
      progress.at(batches, size);
    },
  });
  const bytes = await written(entries, out).finally(() => progress.end());
  io.write(`${out}: ${batches} batches, ${bytes} bytes\n`);
}

async function written(entries: AsyncIterable<ExportEntry>, out: string): Promise<number> {
  try {
    return await writeExport(entries, out);
  } catch (cause) {
    if (cause instanceof CausewayError) throw cause;
    if (!(cause instanceof Error) || !("code" in cause)) throw cause;
    throw new CausewayError("FILE_UNREADABLE", `${out} cannot be written: ${cause.message}`, {
      cause,
    });
  }
}

export function registerLedgerExport(program: Command, io: Io): void {
  withProgress(
    childOf(program, "ledger", "the shared append-only ledger")
      .command("export")
      .description("download the whole final ledger into one file, for an audit without a network")
      .requiredOption("--from <host:port>", "HTTP listener of any gateway of the network")
      .requiredOption("--out <file>", "file to write"),
  ).action((options: LedgerExportOptions) => ledgerExport(options, io));
}
