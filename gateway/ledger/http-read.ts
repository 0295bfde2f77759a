/**
 * The ledger over HTTP, read-only and final only (C2SP tlog-tiles; FORMATS.md section 5):
 *
 * - `/checkpoint`: the newest final checkpoint with its cosignatures.
 * - `/tile/<L>/<N>[.p/<W>]` and `/tile/entries/<N>[.p/<W>]`: tiles and entry bundles.
 * - `/records/<index>`: the bodies of one batch, for each record in order its length as 32 bits
 *   big-endian and its bytes, nothing before, between or behind. The RFC 6962 root over them is
 *   `records_root` of the header in the leaf at that index.
 * - `/blobs/<sha256>`: a blob that a final statement names, 64 lower-case hex digits.
 * - `/final/<index>`: the note frozen for the first final size above the index.
 *
 * A note comes with the header `causeway-registry-digest`: what this gateway's fold gives at its size, hex.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { parseHex, toHex } from "../../src/base/bytes.ts";
import type { FinalCheckpoint } from "../../src/ledger/ports.ts";
import type { LedgerReader } from "../../src/ledger/store/store.ts";
import { encodeEntryBundle } from "../../src/merkle/entry-bundle.ts";
import { parseTreeSize } from "../../src/merkle/size.ts";
import { readTile } from "../../src/merkle/tile-hashes.ts";
import { parseTilePath, tileWidthAt } from "../../src/merkle/tile-path.ts";

export interface LedgerArchive {
  readonly reader: LedgerReader;
  /** Newest final checkpoint: nothing above its size is served. */
  final(): FinalCheckpoint | undefined;
}

interface Resource {
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly cacheControl: string;
  /** Registry digest after the size of a note. */
  readonly digest?: Uint8Array | undefined;
}

/** Names the registry digest that goes with a note. */
export const registryDigestHeader = "causeway-registry-digest" as const;

const text = "text/plain; charset=utf-8";
const octets = "application/octet-stream";
const immutable = "public, max-age=31536000, immutable";
// Shorter than the pause between two checkpoints of a busy network would serve nobody.
const shortLived = "public, max-age=1";

/** Answers a request for the ledger; `false` when the path is none of the ledger's. */
export type LedgerReadHandler = (request: IncomingMessage, response: ServerResponse) => boolean;

export function createLedgerReadHandler(archive: LedgerArchive): LedgerReadHandler {
  return (request, response) => {
    const path = request.url ?? "";
    if (!/^\/(?:checkpoint|(?:tile|records|blobs|final)\/.*)$/.test(path)) return false;
    if (request.method !== "GET" && request.method !== "HEAD") {
      send(request, response, 405, { allow: "GET, HEAD" }, "GET and HEAD only\n");
      return true;
    }
    const resource = findResource(archive, path);
    if (resource === undefined) {
      // What is missing now may be final in a second.
      send(request, response, 404, { "cache-control": "no-store" }, "not found\n");
      return true;
    }
    const { body, contentType, cacheControl, digest } = resource;
    const headers = {
      "content-type": contentType,
      "cache-control": cacheControl,
      ...(digest === undefined ? {} : { [registryDigestHeader]: toHex(digest) }),
    };
    send(request, response, 200, headers, body);
    return true;
  };
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array | string,
): void {
  response.writeHead(status, {
    "content-type": text,
    "content-length": Buffer.byteLength(body),
    "x-content-type-options": "nosniff",
    "access-control-allow-origin": "*",
    ...headers,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function findResource(archive: LedgerArchive, path: string): Resource | undefined {
  const final = archive.final();
  if (final === undefined) return undefined;
  if (path === "/checkpoint") {
    return noteResource(archive.reader, final, shortLived);
  }
  if (path.startsWith("/tile/")) return findTile(archive.reader, path.slice(1), final.size);
  const [, folder, name = "", ...more] = path.split("/");
  if (more.length > 0) return undefined;
  if (folder === "blobs") return findBlob(archive.reader, name, final.size);
  const index = parseTreeSize(name);
  if (index === undefined || index >= final.size) return undefined;
  if (folder === "records") return immutableOctets(archive.reader.batch(index)?.body);
  const frozen = archive.reader.frozenAfter(index);
  return frozen === undefined ? undefined : noteResource(archive.reader, frozen, immutable);
}

function noteResource(
  reader: LedgerReader,
  { note, size }: Pick<FinalCheckpoint, "note" | "size">,
  cacheControl: string,
): Resource {
  const digest = size === 0n ? undefined : reader.registryDigest(size - 1n);
  return { body: note, contentType: text, cacheControl, digest };
}

function findTile(reader: LedgerReader, path: string, size: bigint): Resource | undefined {
  const tile = parseTilePath(path);
  if (tile === undefined) return undefined;
  const { level, index, width } = tile;
  if (tileWidthAt(level, index, size) < width) return undefined;
  if (level === "entries") {
    return immutableOctets(encodeEntryBundle(reader.leaves({ from: index * 256n, count: width })));
  }
  return immutableOctets(readTile({ level, index, width }, reader));
}

function findBlob(reader: LedgerReader, name: string, size: bigint): Resource | undefined {
  const sha256 = parseHex(name);
  if (sha256?.length !== 32) return undefined;
  const namedAt = reader.blobNamedAt(sha256);
  // Anyone may have put a blob; only one that a final statement names is the ledger's.
  if (namedAt === undefined || namedAt >= size) return undefined;
  return immutableOctets(reader.blob(sha256));
}

function immutableOctets(body: Uint8Array | undefined): Resource | undefined {
  return body === undefined ? undefined : { body, contentType: octets, cacheControl: immutable };
}
