/** A gateway's read-only HTTP over any items, honest or not: what it has it serves. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { toHex } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { ExportEntry } from "../../src/audit/export-file.ts";
import { LedgerTree } from "../../src/audit/ledger-tree.ts";
import { registryDigestHeader } from "../../gateway/ledger/http-read.ts";
import { encodeEntryBundle } from "../../src/merkle/entry-bundle.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { readTile } from "../../src/merkle/tile-hashes.ts";
import { parseTilePath, tileWidthAt } from "../../src/merkle/tile-path.ts";
import { parseCheckpoint } from "../../src/note/checkpoint.ts";
import { parseNote } from "../../src/note/note.ts";

type Batch = Extract<ExportEntry, { kind: "batch" }>;
type Note = Extract<ExportEntry, { kind: "note" }>;

interface Answer {
  readonly body: Uint8Array;
  readonly digest?: Uint8Array | undefined;
}

/** `host:port` and the end of a server that serves these items under `checkpoint`. */
export async function serveEntries(
  entries: readonly ExportEntry[],
  checkpoint?: Uint8Array,
): Promise<{ readonly from: string; readonly close: () => Promise<void> }> {
  const batches = entries.filter((entry): entry is Batch => entry.kind === "batch");
  const notes = entries.filter((entry): entry is Note => entry.kind === "note");
  const blobs = new Map(
    entries.flatMap((entry) =>
      entry.kind === "blob" ? [[toHex(sha256(entry.content)), entry.content] as const] : [],
    ),
  );
  const tree = new LedgerTree();
  for (const { leaf } of batches) tree.append(leafHash(leaf));
  const newest = checkpoint ?? (notes.at(-1) as Note).note;
  const size = sizeOf(newest);

  function find(path: string): Answer | undefined {
    if (path === "/checkpoint") return { body: newest };
    const [, folder, name = ""] = path.split("/");
    if (folder === "tile") return findTile(path.slice(1));
    if (folder === "blobs") return bodyOf(blobs.get(name));
    const index = BigInt(name);
    if (folder === "records") return bodyOf(framed(batches[Number(index)]?.records));
    const frozen = notes.find(({ note }) => sizeOf(note) > index);
    return frozen === undefined ? undefined : { body: frozen.note, digest: frozen.digest };
  }

  function findTile(path: string): Answer | undefined {
    const tile = parseTilePath(path);
    if (tile === undefined || tileWidthAt(tile.level, tile.index, size) < tile.width) return;
    const { level, index, width } = tile;
    const has = level === "entries" ? tileWidthAt(level, index, tree.size) >= width : true;
    if (!has || size > tree.size) return;
    if (level !== "entries") return { body: readTile({ level, index, width }, tree) };
    const first = Number(index) * 256;
    const leaves = batches.slice(first, first + width).map(({ leaf }) => leaf);
    return { body: encodeEntryBundle(leaves) };
  }

  const server: Server = createServer((request, response) => {
    const answer = find(request.url ?? "");
    if (answer === undefined) return void response.writeHead(404).end();
    const { body, digest } = answer;
    const headers = digest === undefined ? {} : { [registryDigestHeader]: toHex(digest) };
    response.writeHead(200, headers).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    from: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function sizeOf(note: Uint8Array): bigint {
  return parseCheckpoint(parseNote(note).text).size;
}

function bodyOf(body: Uint8Array | undefined): Answer | undefined {
  return body === undefined ? undefined : { body };
}

function framed(records: readonly Uint8Array[] | undefined): Uint8Array | undefined {
  if (records === undefined) return undefined;
  const parts = records.flatMap((record) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(record.length);
    return [length, record];
  });
  return Buffer.concat(parts);
}
