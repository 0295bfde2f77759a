/** A gateway's read-only HTTP listener as a client reads it: bytes within bounds, nothing of it believed. */
import { setTimeout as delay } from "node:timers/promises";
import { concatBytes, parseHex, toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import {
  batchBytesMax,
  batchRecordsMax,
  blobBytesMax,
  leafBytesMax,
  noteBytesMax,
} from "../../src/base/limits.ts";
import { hashBytes } from "../../src/merkle/hash.ts";
import { formatTilePath, type Tile } from "../../src/merkle/tile-path.ts";
import type { TileSource } from "../../src/merkle/tile-reader.ts";
import { registryDigestHeader } from "../ledger/http-read.ts";
import { parseHostPort } from "../tls.ts";

const fetchMs = 10_000;
/** How often a gateway that is asked too often is asked again, and how long at most between two times. */
const busyRetriesMax = 20;
const busyWaitMsMax = 10_000;
/** By then it is known of every connection that is kept whether its other end has gone. */
const brokenWaitMs = 100;
/** How fetch names the end of a connection that stood. */
const brokenCodes: readonly unknown[] = ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"];

interface Answer {
  readonly body: Uint8Array;
  readonly headers: Headers;
}

/** What a log does not serve: not there, or pruned. */
const notServed: readonly number[] = [404, 410];

/** A frozen note, and the registry digest that the gateway has at its size, if it tells one. */
export interface ServedNote {
  readonly note: Uint8Array;
  readonly digest?: Uint8Array;
}

/** Functions reject with LEDGER_UNAVAILABLE, TOO_LARGE or MALFORMED. */
export class LedgerHttp implements TileSource {
  readonly #address: string;

  /** @param address `host:port`. Throws USAGE_INVALID. */
  constructor(address: string) {
    assertAddress(address);
    this.#address = address;
  }

  /** The note of the newest final checkpoint. */
  checkpoint(): Promise<Uint8Array> {
    return this.#get("/checkpoint", noteBytesMax);
  }

  /** The note of the first final checkpoint above an index. */
  async finalAfter(index: bigint): Promise<ServedNote> {
    const { body, headers } = await this.#ask(`/final/${index}`, noteBytesMax);
    const digest = parseHex(headers.get(registryDigestHeader) ?? "");
    return digest?.length === 32 ? { note: body, digest } : { note: body };
  }

  /** A tile or entry bundle; `undefined` where the gateway does not serve it. */
  async fetchTile(tile: Tile): Promise<Uint8Array | undefined> {
    const entryBytesMax = tile.level === "entries" ? leafBytesMax + 2 : hashBytes;
    const path = `/${formatTilePath(tile)}`;
    return (await this.#askIfServed(path, tile.width * entryBytesMax))?.body;
  }

  /** The records of the batch at an index. */
  async records(index: bigint): Promise<readonly Uint8Array[]> {
    const body = await this.#get(`/records/${index}`, batchBytesMax + 4 * batchRecordsMax);
    const records = splitRecords(body);
    if (records !== undefined) return records;
    throw new CausewayError("MALFORMED", `a record at index ${index} ends after its batch`, {
      fields: { index: String(index) },
    });
  }

  /** A blob that a final statement names, by its SHA-256. */
  blob(sha256: Uint8Array): Promise<Uint8Array> {
    return this.#get(`/blobs/${toHex(sha256)}`, blobBytesMax);
  }

  async #get(path: string, bytesMax: number): Promise<Uint8Array> {
    return (await this.#ask(path, bytesMax)).body;
  }

  async #ask(path: string, bytesMax: number): Promise<Answer> {
    const answer = await this.#askIfServed(path, bytesMax);
    if (answer !== undefined) return answer;
    throw new CausewayError("LEDGER_UNAVAILABLE", `${this.#urlOf(path)} is not served`);
  }

  /** `undefined` when it is not served. A gateway that says how long to wait is asked again. */
  async #askIfServed(path: string, bytesMax: number): Promise<Answer | undefined> {
    const url = this.#urlOf(path);
    for (let retry = 0; ; retry++) {
      const response = await fetchOnce(url);
      if (response.status !== 429 || retry === busyRetriesMax)
        return readAnswer(url, response, bytesMax);
      await response.body?.cancel();
      const seconds = Number(response.headers.get("retry-after") ?? 1);
      await delay(Math.min(busyWaitMsMax, Math.max(1, seconds || 1) * 1000));
    }
  }

  #urlOf(path: string): string {
    return `http://${this.#address}${path}`;
  }
}

/**
 * A gateway ends connections that are idle, and a client that was busy meanwhile learns of it by asking:
 * what only reads is then asked once more (RFC 9110, section 9.2.2).
 */
async function fetchOnce(url: string): Promise<Response> {
  try {
    return await tryToFetch(url).catch(async (cause: unknown) => {
      if (!isBrokenConnection(cause)) throw cause;
      await delay(brokenWaitMs);
      return tryToFetch(url);
    });
  } catch (cause) {
    throw unavailable(url, cause);
  }
}

function tryToFetch(url: string): Promise<Response> {
  // Bundles may come compressed whatever is asked for: fetch decodes them by their own header.
  const headers = { "accept-encoding": "gzip, identity" };
  return fetch(url, { redirect: "error", headers, signal: AbortSignal.timeout(fetchMs) });
}

/** Whether fetch failed because a connection ended before it brought an answer. */
function isBrokenConnection(error: unknown): boolean {
  if (!(error instanceof TypeError)) return false;
  const cause = error.cause as { readonly code?: unknown } | undefined;
  return brokenCodes.includes(cause?.code);
}

async function readAnswer(
  url: string,
  response: Response,
  bytesMax: number,
): Promise<Answer | undefined> {
  const { headers, ok, status } = response;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    if (!ok) {
      await response.body?.cancel();
      if (notServed.includes(status)) return undefined;
      throw new Error(`status ${status}`);
    }
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      if (bytes > bytesMax) {
        throw new CausewayError("TOO_LARGE", `${url} exceeds ${bytesMax} bytes`);
      }
      chunks.push(chunk);
    }
  } catch (cause) {
    if (cause instanceof CausewayError) throw cause;
    throw unavailable(url, cause);
  }
  return { body: concatBytes(...chunks), headers };
}

function unavailable(url: string, cause: unknown): CausewayError {
  const text = `${url} does not answer as it should`;
  return new CausewayError("LEDGER_UNAVAILABLE", text, { cause });
}

/** Records after their lengths as 32 bits big-endian. */
function splitRecords(body: Uint8Array): readonly Uint8Array[] | undefined {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const records: Uint8Array[] = [];
  for (let at = 0; at < body.length; ) {
    const begin = at + 4;
    const end = begin <= body.length ? begin + view.getUint32(at) : Number.POSITIVE_INFINITY;
    if (end > body.length) return undefined;
    records.push(body.subarray(begin, end));
    at = end;
  }
  return records;
}

function assertAddress(address: string): void {
  try {
    parseHostPort(address);
  } catch (cause) {
    throw new CausewayError("USAGE_INVALID", `${address} is not host:port`, { cause });
  }
}
