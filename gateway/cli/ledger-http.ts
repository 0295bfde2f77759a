/** A gateway's read-only HTTP listener as a client reads it: bytes within bounds, nothing of it believed. */
import { concatBytes, parseHex, toHex } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import {
  batchBytesMax,
  batchRecordsMax,
  blobBytesMax,
  leafBytesMax,
  noteBytesMax,
} from "../../src/base/limits.ts";
import { decodeEntryBundle } from "../../src/merkle/entry-bundle.ts";
import { formatTilePath } from "../../src/merkle/tile-path.ts";
import { registryDigestHeader } from "../ledger/http-read.ts";
import { parseHostPort } from "../tls.ts";

const fetchMs = 10_000;

interface Answer {
  readonly body: Uint8Array;
  readonly headers: Headers;
}

/** A frozen note, and the registry digest that the gateway has at its size, if it tells one. */
export interface ServedNote {
  readonly note: Uint8Array;
  readonly digest?: Uint8Array;
}

/** Functions reject with LEDGER_UNAVAILABLE, TOO_LARGE or MALFORMED. */
export class LedgerHttp {
  readonly #address: string;

  /** @param address `host:port`. Throws CONFIG_INVALID. */
  constructor(address: string) {
    parseHostPort(address);
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

  /** The leaves `256·bundle` and on, `width` of them, 1 to 256. */
  async leaves(bundle: bigint, width: number): Promise<readonly Uint8Array[]> {
    const path = formatTilePath({ level: "entries", index: bundle, width });
    const bytes = await this.#get(`/${path}`, width * (leafBytesMax + 2));
    return decodeEntryBundle(bytes, width);
  }

  /** The records of the batch at an index. */
  async records(index: bigint): Promise<readonly Uint8Array[]> {
    return splitRecords(await this.#get(`/records/${index}`, batchBytesMax + 4 * batchRecordsMax));
  }

  /** A blob that a final statement names, by its SHA-256. */
  blob(sha256: Uint8Array): Promise<Uint8Array> {
    return this.#get(`/blobs/${toHex(sha256)}`, blobBytesMax);
  }

  async #get(path: string, bytesMax: number): Promise<Uint8Array> {
    return (await this.#ask(path, bytesMax)).body;
  }

  async #ask(path: string, bytesMax: number): Promise<Answer> {
    const url = `http://${this.#address}${path}`;
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    let headers: Headers;
    try {
      const signal = AbortSignal.timeout(fetchMs);
      const response = await fetch(url, { redirect: "error", signal });
      ({ headers } = response);
      if (!response.ok) throw new Error(`status ${response.status}`);
      for await (const chunk of response.body ?? []) {
        bytes += chunk.length;
        if (bytes > bytesMax) {
          throw new CausewayError("TOO_LARGE", `${url} exceeds ${bytesMax} bytes`);
        }
        chunks.push(chunk);
      }
    } catch (cause) {
      if (cause instanceof CausewayError) throw cause;
      throw new CausewayError("LEDGER_UNAVAILABLE", `${url} does not answer as it should`, {
        cause,
      });
    }
    return { body: concatBytes(...chunks), headers };
  }
}

/** Records after their lengths as 32 bits big-endian. */
function splitRecords(body: Uint8Array): readonly Uint8Array[] {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const records: Uint8Array[] = [];
  for (let at = 0; at < body.length; ) {
    const begin = at + 4;
    const end = begin <= body.length ? begin + view.getUint32(at) : Number.POSITIVE_INFINITY;
    if (end > body.length) throw new CausewayError("MALFORMED", "a record ends after its batch");
    records.push(body.subarray(begin, end));
    at = end;
  }
  return records;
}
