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
 * What a log that is pruned no longer serves is 410: tiles, bundles and records whose end index is at or
 * below the minimum index. Who asks too often is answered 429 with `retry-after`, and everybody 503 while
 * clients have not taken what was answered before. Bundles, records and blobs
 * are compressed for a client that takes gzip; hashes do not get smaller.
 *
 * A note comes with the header `causeway-registry-digest`: what this gateway's fold gives at its size, hex.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { concatBytes, parseHex, toHex } from "../../src/base/bytes.ts";
import { httpBytesInFlightMax } from "../../src/base/limits.ts";
import type { FinalCheckpoint } from "../../src/ledger/ports.ts";
import type { LedgerReader } from "../../src/ledger/store/store.ts";
import { encodeEntryBundle } from "../../src/merkle/entry-bundle.ts";
import { parseTreeSize } from "../../src/merkle/size.ts";
import { readTile } from "../../src/merkle/tile-hashes.ts";
import { parseTilePath, type Tile, tileWidth, tileWidthAt } from "../../src/merkle/tile-path.ts";
import { acceptsGzip, gzipIfSmaller } from "./content-encoding.ts";
import type { RateLimiter } from "./rate-limit.ts";

export interface LedgerArchive {
  readonly reader: LedgerReader;
  /** Newest final checkpoint: nothing above its size is served. */
  final(): FinalCheckpoint | undefined;
  /** Lines of outside witnesses for this checkpoint, which never count for the quorum; each ends in LF. */
  outsideCosignatures?(final: FinalCheckpoint): Uint8Array | undefined;
}

export interface LedgerReadOptions {
  readonly limiter?: RateLimiter | undefined;
  /** Bytes of answers that are not taken yet; `httpBytesInFlightMax` unless told. */
  readonly bytesInFlightMax?: number;
  /** Leaves below it are not published any more; 0 unless a retention policy says so. */
  readonly minimumIndex?: bigint | undefined;
}

interface Resource {
  readonly body: Uint8Array;
  readonly contentType: string;
  readonly cacheControl: string;
  /** Whether gzip makes it smaller. */
  readonly compressible?: boolean;
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

export function createLedgerReadHandler(
  archive: LedgerArchive,
  options: LedgerReadOptions = {},
): LedgerReadHandler {
  const { bytesInFlightMax = httpBytesInFlightMax } = options;
  let bytesInFlight = 0;
  return (request, response) => {
    const path = request.url ?? "";
    if (!/^\/(?:checkpoint|(?:tile|records|blobs|final)\/.*)$/.test(path)) return false;
    const retryAfterS = options.limiter?.(request.socket.remoteAddress ?? "");
    if (retryAfterS !== undefined) {
      const headers = { "retry-after": String(retryAfterS), "cache-control": "no-store" };
      send(request, response, { status: 429, headers, body: "too many requests\n" });
      return true;
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      const headers = { allow: "GET, HEAD" };
      send(request, response, { status: 405, headers, body: "GET and HEAD only\n" });
      return true;
    }
    if (bytesInFlight >= bytesInFlightMax) {
      const headers = { "retry-after": "1", "cache-control": "no-store" };
      send(request, response, { status: 503, headers, body: "busy\n" });
      return true;
    }
    const resource = findResource(archive, path, options.minimumIndex ?? 0n);
    if (typeof resource === "object") {
      const { length } = resource.body;
      bytesInFlight += length;
      response.once("close", () => {
        bytesInFlight -= length;
      });
      sendResource(request, response, resource);
      return true;
    }
    // What is missing now may be final in a second.
    const headers = { "cache-control": "no-store" };
    const answer =
      resource === "pruned"
        ? { status: 410, headers, body: "below the minimum index\n" }
        : { status: 404, headers, body: "not found\n" };
    send(request, response, answer);
    return true;
  };
}

function sendResource(request: IncomingMessage, response: ServerResponse, found: Resource): void {
  const { body, contentType, cacheControl, digest, compressible = false } = found;
  const headers = {
    "content-type": contentType,
    "cache-control": cacheControl,
    ...(digest === undefined ? {} : { [registryDigestHeader]: toHex(digest) }),
    ...(compressible ? { vary: "accept-encoding" } : {}),
  };
  const plain = { status: 200, headers, body };
  if (!compressible || !acceptsGzip(request.headers["accept-encoding"]?.toString())) {
    send(request, response, plain);
    return;
  }
  gzipIfSmaller(body).then(
    (smaller) => {
      if (smaller === undefined) return send(request, response, plain);
      const encoded = { ...headers, "content-encoding": "gzip" };
      send(request, response, { status: 200, headers: encoded, body: smaller });
    },
    () => send(request, response, plain),
  );
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  answer: {
    readonly status: number;
    readonly headers: Readonly<Record<string, string>>;
    readonly body: Uint8Array | string;
  },
): void {
  const { status, headers, body } = answer;
  if (response.destroyed) return;
  response.writeHead(status, {
    "content-type": text,
    "content-length": Buffer.byteLength(body),
    "x-content-type-options": "nosniff",
    "access-control-allow-origin": "*",
    ...headers,
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function findResource(
  archive: LedgerArchive,
  path: string,
  minimumIndex: bigint,
): Resource | "pruned" | undefined {
  const final = archive.final();
  if (final === undefined) return undefined;
  const { reader } = archive;
  if (path === "/checkpoint") {
    const outside = archive.outsideCosignatures?.(final) ?? new Uint8Array(0);
    const note = concatBytes(final.note, outside);
    return noteResource(reader, { size: final.size, note }, shortLived);
  }
  if (path.startsWith("/tile/")) {
    const tile = parseTilePath(path.slice(1));
    if (tile === undefined) return undefined;
    return endIndex(tile) <= minimumIndex ? "pruned" : findTile(reader, tile, final.size);
  }
  const [, folder, name = "", ...more] = path.split("/");
  if (more.length > 0) return undefined;
  if (folder === "blobs") return findBlob(reader, name, final.size);
  const index = parseTreeSize(name);
  if (index === undefined || index >= final.size) return undefined;
  if (folder === "records") {
    return index < minimumIndex ? "pruned" : immutableOctets(reader.batch(index)?.body);
  }
  const frozen = reader.frozenAfter(index);
  return frozen === undefined ? undefined : noteResource(reader, frozen, immutable);
}

/** The index behind the last leaf that a tile spans once it is full (C2SP tlog-tiles, pruning). */
function endIndex({ level, index }: Tile): bigint {
  const height = level === "entries" ? 1 : level + 1;
  return (index + 1n) << BigInt(8 * height);
}

function noteResource(
  reader: LedgerReader,
  { note, size }: Pick<FinalCheckpoint, "note" | "size">,
  cacheControl: string,
): Resource {
  const digest = size === 0n ? undefined : reader.registryDigest(size - 1n);
  return { body: note, contentType: text, cacheControl, digest };
}

function findTile(reader: LedgerReader, tile: Tile, size: bigint): Resource | undefined {
  const { level, index, width } = tile;
  if (tileWidthAt(level, index, size) < width) return undefined;
  if (level === "entries") {
    const from = index * BigInt(tileWidth);
    return immutableOctets(encodeEntryBundle(reader.leaves({ from, count: width })));
  }
  const body = readTile({ level, index, width }, reader);
  return { body, contentType: octets, cacheControl: immutable };
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
  if (body === undefined) return undefined;
  return { body, contentType: octets, cacheControl: immutable, compressible: true };
}
