/**
 * The store of a ledger as a process of the benchmark: filled with a synthetic tree through the product's
 * own writer, then asked for one operation at a time.
 *
 * `node ledger-store.js --file PATH`
 */
import { parseArgs } from "node:util";
import { u64be } from "../src/base/bytes.ts";
import { appendBatchesMax } from "../src/base/limits.ts";
import { sha256 } from "../src/base/sha256.ts";
import { formatBody } from "../src/ledger/embedded/bodies.ts";
import { GrowingTree } from "../src/ledger/embedded/growing-tree.ts";
import { SqliteLedgerStore } from "../src/ledger/store/sqlite-store.ts";
import type { BatchRow } from "../src/ledger/store/store.ts";
import { encodeEntryBundle } from "../src/merkle/entry-bundle.ts";
import { leafHash } from "../src/merkle/hash.ts";
import { proveConsistency, proveInclusion } from "../src/merkle/prove.ts";
import { readTile } from "../src/merkle/tile-hashes.ts";
import { isMain, serveParent } from "./child.ts";

export const storeOperations = [
  "append, 1 leaf",
  "append, 64 leaves",
  "inclusion proof",
  "consistency proof",
  "tile",
  "entry bundle",
] as const;
export type StoreOperation = (typeof storeOperations)[number];

export type StoreQuestion =
  /** Appends until there are so many leaves; answered with the size. */
  | { readonly kind: "fill"; readonly leaves: number }
  /** Answered with microseconds, one for each time. */
  | { readonly kind: "measure"; readonly operation: StoreOperation; readonly times: number };

const leafBytes = 276;
const recordBytes = 300;
// Hashes lie in no order: the more leaves share a transaction, the fewer pages of their index are written again.
const fillRows = 32_768;
const gateways = ["hangzhou", "shenzhen", "chengdu", "wuhan"].map((city) => `${city}/bench/gw1`);

/** A tree in a file, whose leaves are synthetic and whose hashes are real. */
export class StoredTree {
  readonly #store: SqliteLedgerStore;
  readonly #tree: GrowingTree;
  /** Picks places the same way in every process. */
  #drawn = 0;

  constructor(file: string) {
    this.#store = new SqliteLedgerStore(file);
    this.#tree = new GrowingTree(this.#store.reader, this.#store.reader.size());
  }

  async answer(question: StoreQuestion): Promise<number | readonly number[]> {
    if (question.kind === "fill") {
      for (let size = Number(this.#tree.size); size < question.leaves; ) {
        const count = Math.min(fillRows, question.leaves - size);
        await this.#append(count);
        size += count;
      }
      return Number(this.#tree.size);
    }
    const { operation, times } = question;
    const taken: number[] = [];
    for (let time = 0; time < times; time++) taken.push(await this.#measure(operation));
    return taken;
  }

  close(): void {
    this.#store.close();
  }

  async #measure(operation: StoreOperation): Promise<number> {
    const run = this.#prepare(operation);
    const started = performance.now();
    const result = run();
    // Waiting for what is there already would be measured too.
    if (result instanceof Promise) await result;
    return (performance.now() - started) * 1000;
  }

  #prepare(operation: StoreOperation): () => unknown {
    const { reader } = this.#store;
    const { size } = this.#tree;
    switch (operation) {
      case "append, 1 leaf":
        return () => this.#append(1);
      case "append, 64 leaves":
        return () => this.#append(appendBatchesMax);
      case "inclusion proof": {
        const index = this.#below(size);
        return () => proveInclusion({ index, size, reader });
      }
      case "consistency proof": {
        const size1 = 1n + this.#below(size - 1n);
        return () => proveConsistency({ size1, size2: size, reader });
      }
      case "tile": {
        const index = this.#below(size / 256n);
        return () => readTile({ level: 0, index, width: 256 }, reader);
      }
      case "entry bundle": {
        const from = this.#below(size / 256n) * 256n;
        return () => encodeEntryBundle(reader.leaves({ from, count: 256 }));
      }
    }
  }

  /** Multiples of the golden ratio lie evenly and in no order. */
  #below(end: bigint): bigint {
    this.#drawn = (this.#drawn + 0.6180339887498949) % 1;
    return BigInt(Math.floor(this.#drawn * Number(end)));
  }

  /** Resolves when they are on the disk. */
  async #append(count: number): Promise<void> {
    const rows: BatchRow[] = [];
    for (let i = 0; i < count; i++) {
      const index = this.#tree.size;
      const row = rowAt(index);
      rows.push({ ...row, nodes: this.#tree.append(row.leafHash) });
    }
    this.#store.append(rows);
    await this.#store.synced();
    this.#tree.commit();
  }
}

function rowAt(index: bigint): Omit<BatchRow, "nodes"> {
  const leaf = new Uint8Array(leafBytes);
  leaf.set(u64be(index));
  const hash = leafHash(leaf);
  const count = BigInt(gateways.length);
  const gateway = gateways[Number(index % count)] as string;
  return {
    index,
    leaf,
    leafHash: hash,
    body: formatBody([new Uint8Array(recordBytes)]),
    place: { gateway, epoch: 0n, seq: index / count },
    registryDigest: sha256(hash),
    voids: [],
    blobs: [],
  };
}

if (isMain(import.meta.url)) {
  const { values } = parseArgs({ options: { file: { type: "string" } } });
  if (values.file === undefined) throw new TypeError("--file PATH is missing");
  const tree = new StoredTree(values.file);
  serveParent(0, (question) => tree.answer(question as StoreQuestion));
}
