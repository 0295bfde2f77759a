import { assertInvariant } from "../../base/errors.ts";
import { concatBytes, u64be } from "../../base/bytes.ts";
import type { ReasonCode } from "../../base/reasons.ts";
import { copyDatabase } from "./sqlite-copy.ts";
import { storing } from "./sqlite-errors.ts";
import type { Sqlite, Statement } from "./sqlite-open.ts";
import type {
  ChainPlace,
  DroppedLeaf,
  Fault,
  ForkedLeaf,
  LedgerReader,
  Snapshot,
  StoredBatch,
  StoredNote,
} from "./store.ts";

/** The driver's buffer as plain bytes: `slice` of a Buffer would be a view of it. */
export function plainBytes(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The key of a place in a chain: its order is that of (epoch, seq). */
export function placeKey(place: ChainPlace): Uint8Array {
  return concatBytes(u64be(place.epoch), u64be(place.seq));
}

interface BatchColumns {
  readonly leaf_index: bigint;
  readonly leaf_hash: Uint8Array;
  readonly leaf: Uint8Array;
  readonly body: Uint8Array;
}

interface FaultColumns {
  readonly reason: ReasonCode;
  readonly held: Uint8Array | null;
  readonly shown: Uint8Array | null;
  readonly leaf_index: bigint | null;
  readonly term: bigint | null;
  readonly at_ms: bigint;
}

interface ForkedColumns {
  readonly gateway: string;
  readonly place: Uint8Array;
  readonly leaf: Uint8Array;
}

interface DroppedColumns {
  readonly term: bigint;
  readonly leaf_index: bigint;
  readonly leaf: Uint8Array;
}

export const snapshotMark: string = "snapshot";
export const finalSnapshotMark: string = "snapshot of a final size";

const batchColumns = "leaf_index, leaf_hash, leaf, body";

/** Reads the ledger's tables. Statements are prepared once and kept for the life of the process. */
export class SqliteLedgerReader implements LedgerReader {
  readonly #db: Sqlite;
  readonly #size: Statement;
  readonly #batch: Statement;
  readonly #from: Statement;
  readonly #leaves: Statement;
  readonly #byHash: Statement;
  readonly #byPlace: Statement;
  readonly #digest: Statement;
  readonly #node: Statement;
  readonly #nodes: Statement;
  readonly #void: Statement;
  readonly #blob: Statement;
  readonly #blobSize: Statement;
  readonly #blobName: Statement;
  readonly #frozenAfter: Statement;
  readonly #frozenBefore: Statement;
  readonly #newestFrozen: Statement;
  readonly #mark: Statement;
  readonly #faults: Statement;
  readonly #forkedLeaves: Statement;
  readonly #droppedLeaves: Statement;
  readonly #droppedHeads: Statement;
  readonly #forked: Statement;

  constructor(db: Sqlite) {
    this.#db = db;
    const prepare = (sql: string): Statement =>
      storing(() => db.prepare<unknown[]>(sql)).safeIntegers(true);
    this.#size = prepare("SELECT COALESCE(MAX(leaf_index) + 1, 0) AS size FROM leaves");
    this.#batch = prepare(`SELECT ${batchColumns} FROM leaves WHERE leaf_index = ?`);
    this.#from = prepare(
      `SELECT ${batchColumns} FROM leaves WHERE leaf_index >= ? ORDER BY leaf_index LIMIT ?`,
    );
    this.#leaves = prepare(
      "SELECT leaf FROM leaves WHERE leaf_index >= ? AND leaf_index < ? ORDER BY leaf_index",
    );
    this.#byHash = prepare("SELECT leaf_index FROM leaves WHERE leaf_hash = ?");
    this.#byPlace = prepare(
      "SELECT leaf_index, leaf_hash FROM leaves WHERE gateway = ? AND place = ?",
    );
    this.#digest = prepare("SELECT registry_digest FROM leaves WHERE leaf_index = ?");
    this.#node = prepare("SELECT hash FROM nodes WHERE level = ? AND node_index = ?");
    this.#nodes = prepare(
      `SELECT hash FROM nodes WHERE level = ? AND node_index >= ? AND node_index < ?
       ORDER BY node_index`,
    );
    this.#void = prepare("SELECT reason FROM voids WHERE leaf_index = ? AND position = ?");
    this.#blob = prepare("SELECT content FROM blobs WHERE sha256 = ?");
    this.#blobSize = prepare("SELECT length(content) AS bytes FROM blobs WHERE sha256 = ?");
    this.#blobName = prepare("SELECT leaf_index FROM blob_names WHERE sha256 = ?");
    this.#frozenAfter = prepare(
      "SELECT size, note FROM frozen_notes WHERE size > ? ORDER BY size LIMIT 1",
    );
    this.#frozenBefore = prepare(
      "SELECT size, note FROM frozen_notes WHERE size < ? ORDER BY size DESC LIMIT 1",
    );
    this.#newestFrozen = prepare("SELECT size, note FROM frozen_notes ORDER BY size DESC LIMIT 1");
    this.#mark = prepare("SELECT size, value FROM marks WHERE name = ?");
    this.#faults = prepare(
      `SELECT reason, held, shown, leaf_index, term, at_ms
       FROM faults LEFT JOIN fault_terms USING (number) ORDER BY number`,
    );
    this.#forkedLeaves = prepare(
      "SELECT gateway, place, leaf FROM forked_leaves ORDER BY gateway, place",
    );
    this.#droppedLeaves = prepare(
      "SELECT term, leaf_index, leaf FROM dropped_leaves ORDER BY number",
    );
    this.#droppedHeads = prepare("SELECT size, note FROM dropped_heads ORDER BY number");
    this.#forked = prepare(
      "SELECT leaf FROM forked_leaves WHERE gateway = ? AND place >= ? ORDER BY place LIMIT 1",
    );
  }

  size(): bigint {
    return (get<{ size: bigint }>(this.#size) as { size: bigint }).size;
  }

  batch(index: bigint): StoredBatch | undefined {
    const row = get<BatchColumns>(this.#batch, index);
    return row === undefined ? undefined : toBatch(row);
  }

  batches(range: { from: bigint; countMax: number; bytesMax: number }): readonly StoredBatch[] {
    return storing(() => {
      const out: StoredBatch[] = [];
      let bytes = 0;
      for (const row of this.#from.iterate(range.from, range.countMax) as Iterable<BatchColumns>) {
        out.push(toBatch(plain(row)));
        bytes += row.body.length;
        if (bytes >= range.bytesMax) break;
      }
      return out;
    });
  }

  leaves(range: { from: bigint; count: number }): readonly Uint8Array[] {
    const end = range.from + BigInt(range.count);
    const rows = storing(() => this.#leaves.all(range.from, end)) as { leaf: Uint8Array }[];
    return rows.map((row) => plainBytes(row.leaf));
  }

  indexOfLeaf(leafHash: Uint8Array): bigint | undefined {
    return get<{ leaf_index: bigint }>(this.#byHash, leafHash)?.leaf_index;
  }

  atPlace(place: ChainPlace): { index: bigint; leafHash: Uint8Array } | undefined {
    const row = get<BatchColumns>(this.#byPlace, place.gateway, placeKey(place));
    return row === undefined ? undefined : { index: row.leaf_index, leafHash: row.leaf_hash };
  }

  registryDigest(index: bigint): Uint8Array | undefined {
    return get<{ registry_digest: Uint8Array }>(this.#digest, index)?.registry_digest;
  }

  readHash(level: number, index: bigint): Uint8Array {
    const row = get<{ hash: Uint8Array }>(this.#node, level, index);
    assertInvariant(row !== undefined, `no subtree ${level}/${index} in ${this.size()} leaves`);
    return row.hash;
  }

  readHashes(level: number, index: bigint, count: number): readonly Uint8Array[] {
    const end = index + BigInt(count);
    const rows = storing(() => this.#nodes.all(level, index, end)) as { hash: Uint8Array }[];
    assertInvariant(rows.length === count, `subtrees ${level}/${index} on are not stored`);
    return rows.map(({ hash }) => hash);
  }

  voidReason(index: bigint, position: number): ReasonCode | undefined {
    return get<{ reason: ReasonCode }>(this.#void, index, position)?.reason;
  }

  blob(sha256: Uint8Array): Uint8Array | undefined {
    return get<{ content: Uint8Array }>(this.#blob, sha256)?.content;
  }

  blobSize(sha256: Uint8Array): number | undefined {
    const row = get<{ bytes: bigint }>(this.#blobSize, sha256);
    return row === undefined ? undefined : Number(row.bytes);
  }

  blobNamedAt(sha256: Uint8Array): bigint | undefined {
    return get<{ leaf_index: bigint }>(this.#blobName, sha256)?.leaf_index;
  }

  frozenAfter(size: bigint): StoredNote | undefined {
    return get<StoredNote>(this.#frozenAfter, size);
  }

  frozenBefore(size: bigint): StoredNote | undefined {
    return get<StoredNote>(this.#frozenBefore, size);
  }

  newestFrozen(): StoredNote | undefined {
    return get<StoredNote>(this.#newestFrozen);
  }

  heartbeat(): Uint8Array | undefined {
    return this.#markOf("heartbeat")?.value;
  }

  head(): StoredNote | undefined {
    const mark = this.#markOf("head");
    return mark === undefined ? undefined : { size: mark.size, note: mark.value };
  }

  snapshot(size?: bigint): Snapshot | undefined {
    for (const name of [snapshotMark, finalSnapshotMark]) {
      const mark = this.#markOf(name);
      if (mark === undefined || (size !== undefined && mark.size > size)) continue;
      return { size: mark.size, state: mark.value };
    }
    return undefined;
  }

  forkedLeaves(): readonly ForkedLeaf[] {
    const rows = storing(() => this.#forkedLeaves.all()) as ForkedColumns[];
    return rows.map((row) => {
      const { gateway, place, leaf } = plain(row);
      const view = new DataView(place.buffer, place.byteOffset, place.byteLength);
      return { place: { gateway, epoch: view.getBigUint64(0), seq: view.getBigUint64(8) }, leaf };
    });
  }

  droppedLeaves(): readonly DroppedLeaf[] {
    const rows = storing(() => this.#droppedLeaves.all()) as DroppedColumns[];
    return rows.map((row) => {
      const { term, leaf_index: index, leaf } = plain(row);
      return { term, index, leaf };
    });
  }

  droppedHeads(): readonly StoredNote[] {
    const rows = storing(() => this.#droppedHeads.all()) as StoredNote[];
    return rows.map(plain);
  }

  network(): Uint8Array | undefined {
    return this.#markOf("network")?.value;
  }

  faults(): readonly Fault[] {
    return storing(() => (this.#faults.all() as FaultColumns[]).map((row) => toFault(plain(row))));
  }

  forkedLeaf(from: ChainPlace): Uint8Array | undefined {
    return get<{ leaf: Uint8Array }>(this.#forked, from.gateway, placeKey(from))?.leaf;
  }

  async copyTo(path: string): Promise<void> {
    await copyDatabase(this.#db, path);
  }

  #markOf(name: string): { size: bigint; value: Uint8Array } | undefined {
    return get<{ size: bigint; value: Uint8Array }>(this.#mark, name);
  }
}

function get<T extends object>(statement: Statement, ...parameters: unknown[]): T | undefined {
  const row = storing(() => statement.get(...parameters)) as T | undefined;
  return row === undefined ? undefined : plain(row);
}

function plain<T extends object>(row: T): T {
  const entries = Object.entries(row) as [string, unknown][];
  return Object.fromEntries(
    entries.map(([name, value]) => [name, value instanceof Uint8Array ? plainBytes(value) : value]),
  ) as T;
}

function toBatch(row: BatchColumns): StoredBatch {
  assertInvariant(row.leaf_index >= 0n, "a stored leaf has a negative index");
  return {
    index: row.leaf_index,
    leaf: row.leaf,
    leafHash: row.leaf_hash,
    body: row.body,
  };
}

function toFault(row: FaultColumns): Fault {
  return {
    reason: row.reason,
    ...(row.held === null ? {} : { held: row.held }),
    ...(row.shown === null ? {} : { shown: row.shown }),
    ...(row.leaf_index === null ? {} : { index: row.leaf_index }),
    ...(row.term === null ? {} : { term: row.term }),
    atMs: Number(row.at_ms),
  };
}
