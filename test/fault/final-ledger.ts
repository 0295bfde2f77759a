/** The final part of the ledger as any outsider reads it over HTTP, with the chains checked. */
import assert from "node:assert/strict";
import { toHex } from "../../src/base/bytes.ts";
import type { Record as LedgerRecord } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { Header } from "../../src/gen/causeway/record/v1/header_pb.ts";
import { parseBody } from "../../src/ledger/embedded/bodies.ts";
import { decodeEntryBundle } from "../../src/merkle/entry-bundle.ts";
import { formatTilePath, tileWidthAt } from "../../src/merkle/tile-path.ts";
import { parseCheckpoint } from "../../src/note/checkpoint.ts";
import { parseNote } from "../../src/note/note.ts";
import { openBatch } from "../../src/record/batch.ts";
import { openRecord, recordHash } from "../../src/record/record.ts";

export interface PlacedRecord {
  /** Hex of the leaf hash, a slash, the position. */
  readonly handle: string;
  /** Hex. */
  readonly hash: string;
  readonly gateway: string;
  readonly body: LedgerRecord["body"];
}

interface Tip {
  readonly header: Header;
  readonly leafHash: string;
}

/** Grows with the ledger; what was read once is not read again. */
export class FinalLedger {
  readonly #address: string;
  readonly #leaves = new Set<string>();
  readonly #tips = new Map<string, Tip>();
  readonly records: PlacedRecord[] = [];
  #size = 0n;

  constructor(address: string) {
    this.#address = address;
  }

  /** Leaves that were read. */
  get size(): bigint {
    return this.#size;
  }

  has(leafHash: Uint8Array): boolean {
    return this.#leaves.has(toHex(leafHash));
  }

  /** Reads what has become final, and fails where a chain has a gap or a leaf stands twice. */
  async update(): Promise<void> {
    const { size } = parseCheckpoint(parseNote(await this.#get("checkpoint")).text);
    for (let index = this.#size / 256n; index * 256n < size; index++) {
      const width = tileWidthAt("entries", index, size);
      const path = formatTilePath({ level: "entries", index, width });
      const leaves = decodeEntryBundle(await this.#get(path), width);
      for (const [i, leaf] of leaves.entries()) {
        const at = index * 256n + BigInt(i);
        if (at < this.#size) continue;
        this.#take(leaf, parseBody(await this.#get(`records/${at}`)));
        this.#size = at + 1n;
      }
    }
  }

  #take(leaf: Uint8Array, records: readonly Uint8Array[]): void {
    const { header, leafHash } = openBatch({ leaf, records });
    const hash = toHex(leafHash);
    assert.ok(!this.#leaves.has(hash), `leaf ${hash} stands twice`);
    this.#leaves.add(hash);
    const { gateway } = header;
    const tip = this.#tips.get(gateway);
    assert.equal(header.seq, tip === undefined ? 0n : tip.header.seq + 1n, `a gap in ${gateway}`);
    assert.equal(toHex(header.prev), tip?.leafHash ?? "00".repeat(32));
    this.#tips.set(gateway, { header, leafHash: hash });
    for (const [position, bytes] of records.entries()) {
      const handle = `${hash}/${position}`;
      const { body } = openRecord(bytes);
      this.records.push({ handle, hash: toHex(recordHash(bytes)), gateway, body });
    }
  }

  async #get(path: string): Promise<Uint8Array> {
    const response = await fetch(`http://${this.#address}/${path}`);
    assert.equal(response.status, 200, path);
    return new Uint8Array(await response.arrayBuffer());
  }
}
