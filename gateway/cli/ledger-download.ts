/** The ledger as a gateway serves it over HTTP, item by item. */
import { equalBytes, toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { ExportEntry } from "../../src/audit/export-file.ts";
import { namedBlobs } from "../../src/ledger/embedded/blob-names.ts";
import { appendLeaf, emptyRange, rangeRoot } from "../../src/merkle/compact-range.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { tileWidth } from "../../src/merkle/tile-path.ts";
import { fetchEntries, TileReader } from "../../src/merkle/tile-reader.ts";
import { parseCheckpoint } from "../../src/note/checkpoint.ts";
import { parseNote } from "../../src/note/note.ts";
import { kindOfBatch } from "../../src/record/batch.ts";
import { parseLeaf } from "../../src/record/leaf.ts";
import type { LedgerHttp, ServedNote } from "./ledger-http.ts";

/** Batches whose bodies are asked for at one time: a round trip each, and half a megabyte at the most. */
const bodiesInFlightMax = 16;

/** What whoever reads has already. */
export interface DownloadStart {
  /** The first batch that is wanted. */
  readonly index: bigint;
  /** Frozen notes of greater sizes are wanted. */
  readonly finalSize: bigint;
}

export interface DownloadOptions {
  /** From the very beginning unless told. */
  readonly start?: DownloadStart;
  /** Called after each batch. */
  readonly onBatch?: (index: bigint, size: bigint) => void;
}

/** The tree that a gateway's newest checkpoint names; its tiles are checked, its signatures are not. */
export async function openServedTree(
  http: LedgerHttp,
  before?: TileReader,
): Promise<{ readonly tree: TileReader; readonly note: Uint8Array }> {
  const note = await http.checkpoint();
  const head = checkpointOf(note);
  const tree = before === undefined ? TileReader.open(head, http) : before.extend(head);
  return { tree: await tree, note };
}

/**
 * The items of an export as a gateway serves them. Each leaf is checked against the tiles of the newest
 * checkpoint and nothing else is verified: whoever reads the items does that, and needs to trust neither
 * the gateway nor this program. What has no place in the tree is PROOF_INVALID with its `index`.
 */
export async function* readExport(
  http: LedgerHttp,
  options: DownloadOptions = {},
): AsyncGenerator<ExportEntry, void, undefined> {
  const { tree } = await openServedTree(http);
  yield* readTree(http, tree, options);
}

/**
 * The items for a replay, which verifies every leaf itself and names the first that is wrong: the tiles are
 * not read. That the leaves are those of the newest checkpoint is seen at their end; where they are not, it
 * is PROOF_INVALID with their number as its `index`.
 */
export async function* readForReplay(
  http: LedgerHttp,
  options: DownloadOptions = {},
): AsyncGenerator<ExportEntry, void, undefined> {
  const { size, root } = checkpointOf(await http.checkpoint());
  let range = emptyRange;
  const entries = async (index: bigint): Promise<readonly Uint8Array[]> => {
    try {
      return await fetchEntries(http, { index, size });
    } catch (cause) {
      // Trying again may help against anything but bytes that are wrong.
      if (!(cause instanceof CausewayError) || cause.code !== "MALFORMED") throw cause;
      throw misplaced(cause, index * BigInt(tileWidth));
    }
  };
  const tree = { size, entries };
  for await (const entry of readTree(http, tree, options)) {
    if (entry.kind === "batch") ({ range } = appendLeaf(range, leafHash(entry.leaf)));
    yield entry;
  }
  if (equalBytes(rangeRoot(range), root)) return;
  throw new CausewayError("PROOF_INVALID", "the newest checkpoint is not of the leaves served", {
    fields: { index: String(range.size) },
  });
}

/** The items of one tree that a gateway serves. */
export async function* readTree(
  http: LedgerHttp,
  tree: Pick<TileReader, "size" | "entries">,
  { start = { index: 0n, finalSize: 0n }, onBatch }: DownloadOptions = {},
): AsyncGenerator<ExportEntry, void, undefined> {
  const written = new Set<string>();
  let { finalSize } = start;
  let next: FrozenNote | undefined;
  for (; finalSize < start.index; finalSize = next.size) {
    next = await frozenAbove(http, finalSize);
    if (next.size > start.index) break;
    yield noteEntry(next);
  }
  if (next !== undefined && next.size <= start.index) next = undefined;
  for await (const { index, leaf, records } of batchesOf(http, tree, start.index)) {
    const { network, blobs } = readAt(index, () => describe({ leaf, records }));
    if (index === 0n) yield { kind: "header", network };
    for (const sha256 of blobs) {
      const id = toHex(sha256);
      if (!written.has(id)) yield { kind: "blob", content: await http.blob(sha256) };
      written.add(id);
    }
    yield { kind: "batch", leaf, records };
    next ??= await frozenAbove(http, index);
    if (next.size === index + 1n) {
      yield noteEntry(next);
      next = undefined;
    }
    onBatch?.(index, tree.size);
  }
}

/** What of a batch matters for reading on. */
function describe({ leaf, records }: Pick<ReadBatch, "leaf" | "records">): {
  readonly network: Uint8Array;
  readonly blobs: readonly Uint8Array[];
} {
  const { header } = parseLeaf(leaf);
  const named = kindOfBatch(header) === "governance" ? namedBlobs(records) : [];
  return { network: header.network, blobs: named.map(({ sha256 }) => sha256) };
}

/** What cannot be decoded is thrown with the index at which it stands. */
function readAt<T>(index: bigint, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw cause instanceof CausewayError ? misplaced(cause, index) : cause;
  }
}

function misplaced(cause: CausewayError, index: bigint): CausewayError {
  const fields = { ...cause.fields, index: String(index) };
  return new CausewayError(cause.code, `at index ${index}: ${cause.message}`, { cause, fields });
}

interface FrozenNote extends ServedNote {
  readonly size: bigint;
}

function noteEntry({ note, digest }: FrozenNote): ExportEntry {
  return { kind: "note", note, ...(digest === undefined ? {} : { digest }) };
}

async function frozenAbove(http: LedgerHttp, index: bigint): Promise<FrozenNote> {
  const served = await http.finalAfter(index);
  const { size } = checkpointOf(served.note);
  if (size > index) return { ...served, size };
  throw new CausewayError("MALFORMED", `the note for index ${index} does not cover it`);
}

function checkpointOf(note: Uint8Array): { readonly size: bigint; readonly root: Uint8Array } {
  return parseCheckpoint(parseNote(note).text);
}

interface ReadBatch {
  readonly index: bigint;
  readonly leaf: Uint8Array;
  readonly records: readonly Uint8Array[];
}

async function* batchesOf(
  http: LedgerHttp,
  tree: Pick<TileReader, "size" | "entries">,
  from: bigint,
): AsyncGenerator<ReadBatch> {
  const width = BigInt(tileWidth);
  for (let bundle = from / width; bundle * width < tree.size; bundle += 1n) {
    const leaves = await tree.entries(bundle);
    const first = bundle * width;
    const skip = first < from ? Number(from - first) : 0;
    for (let at = skip; at < leaves.length; at += bodiesInFlightMax) {
      const part = leaves.slice(at, at + bodiesInFlightMax);
      const read = part.map(async (leaf, i): Promise<ReadBatch> => {
        const index = first + BigInt(at + i);
        return { index, leaf, records: await http.records(index) };
      });
      yield* await Promise.all(read);
    }
  }
}
