/** `causeway ledger export`: the whole final ledger as one file, read over HTTP. */
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { Command } from "commander";
import { toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { encodeExportEntry, type ExportEntry } from "../../src/audit/export-file.ts";
import { namedBlobs } from "../../src/ledger/embedded/blob-names.ts";
import { parseCheckpoint } from "../../src/note/checkpoint.ts";
import { parseNote } from "../../src/note/note.ts";
import { tileWidth, tileWidthAt } from "../../src/merkle/tile-path.ts";
import { kindOfBatch } from "../../src/record/batch.ts";
import { parseLeaf } from "../../src/record/leaf.ts";
import type { Io } from "./io.ts";
import { LedgerHttp, type ServedNote } from "./ledger-http.ts";
import { childOf, httpAddress } from "./ledger-input.ts";

/** Batches whose bodies are asked for at one time: a round trip each, and half a megabyte at the most. */
const bodiesInFlightMax = 16;
const progressEvery = 1000n;

/**
 * The items of an export as a gateway serves them. Nothing is verified: whoever reads the export does
 * that, and needs to trust neither the gateway nor this program.
 */
export async function* readExport(
  http: LedgerHttp,
  onBatch: (index: bigint, size: bigint) => void = () => undefined,
): AsyncGenerator<ExportEntry, void, undefined> {
  const { size } = checkpointOf(await http.checkpoint());
  const written = new Set<string>();
  let next: FrozenNote | undefined;
  for await (const { index, leaf, records } of batchesUpTo(http, size)) {
    const { header } = parseLeaf(leaf);
    if (index === 0n) yield { kind: "header", network: header.network };
    if (kindOfBatch(header) === "governance") {
      for (const { sha256 } of namedBlobs(records)) {
        const id = toHex(sha256);
        if (!written.has(id)) yield { kind: "blob", content: await http.blob(sha256) };
        written.add(id);
      }
    }
    yield { kind: "batch", leaf, records };
    next ??= await frozenAbove(http, index);
    if (next.size === index + 1n) {
      const { note, digest } = next;
      yield { kind: "note", note, ...(digest === undefined ? {} : { digest }) };
      next = undefined;
    }
    onBatch(index, size);
  }
}

interface FrozenNote extends ServedNote {
  readonly size: bigint;
}

async function frozenAbove(http: LedgerHttp, index: bigint): Promise<FrozenNote> {
  const served = await http.finalAfter(index);
  const { size } = checkpointOf(served.note);
  if (size > index) return { ...served, size };
  throw new CausewayError("MALFORMED", `the note for index ${index} does not cover it`);
}

function checkpointOf(note: Uint8Array): { readonly size: bigint } {
  return parseCheckpoint(parseNote(note).text);
}

interface ReadBatch {
  readonly index: bigint;
  readonly leaf: Uint8Array;
  readonly records: readonly Uint8Array[];
}

async function* batchesUpTo(http: LedgerHttp, size: bigint): AsyncGenerator<ReadBatch> {
  for (let bundle = 0n; bundle * BigInt(tileWidth) < size; bundle += 1n) {
    const leaves = await http.leaves(bundle, tileWidthAt("entries", bundle, size));
    const first = bundle * BigInt(tileWidth);
    for (let from = 0; from < leaves.length; from += bodiesInFlightMax) {
      const part = leaves.slice(from, from + bodiesInFlightMax);
      const read = part.map(async (leaf, i): Promise<ReadBatch> => {
        const index = first + BigInt(from + i);
        return { index, leaf, records: await http.records(index) };
      });
      yield* await Promise.all(read);
    }
  }
}

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

export interface LedgerExportOptions {
  /** HTTP listener of any gateway of the network. */
  readonly from: string;
  readonly out: string;
}

/** Downloads the whole final ledger. Throws as `LedgerHttp` does, and FILE_UNREADABLE when it cannot be written. */
export async function ledgerExport({ from, out }: LedgerExportOptions, io: Io): Promise<void> {
  const http = new LedgerHttp(httpAddress(from));
  let batches = 0n;
  const entries = readExport(http, (index, size) => {
    batches = index + 1n;
    if (batches % progressEvery === 0n) io.warn(`${batches} of ${size} batches\n`);
  });
  const bytes = await written(entries, out);
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
  childOf(program, "ledger", "the shared append-only ledger")
    .command("export")
    .description("download the whole final ledger into one file, for an audit without a network")
    .requiredOption("--from <host:port>", "HTTP listener of any gateway of the network")
    .requiredOption("--out <file>", "file to write")
    .action((options: LedgerExportOptions) => ledgerExport(options, io));
}
