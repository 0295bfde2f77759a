import { equalBytes } from "../../base/bytes.ts";
import { assertInvariant, CausewayError } from "../../base/errors.ts";
import { blobBytesMax } from "../../base/limits.ts";
import { sha256 as sha256Of } from "../../base/sha256.ts";
import { storing } from "./sqlite-errors.ts";
import { openSqlite, type Sqlite, type Statement } from "./sqlite-open.ts";
import { finalSnapshotMark, placeKey, snapshotMark, SqliteLedgerReader } from "./sqlite-reader.ts";
import { ledgerSchema } from "./sqlite-schema.ts";
import type { BatchRow, ChainPlace, Fault, LedgerWriter, Snapshot, StoredNote } from "./store.ts";
import { WalSync } from "./wal-sync.ts";

/** What is left of the leaves from `@start` on, which `@term` does not keep. */
const truncation: readonly string[] = [
  `INSERT INTO dropped_leaves (term, leaf_index, leaf)
   SELECT @term, leaf_index, leaf FROM leaves WHERE leaf_index >= @start ORDER BY leaf_index`,
  `INSERT INTO dropped_heads (size, note)
   SELECT size, value FROM marks WHERE name = 'head' AND size > @start`,
  "DELETE FROM marks WHERE name = 'head' AND size > @start",
  `DELETE FROM marks WHERE name = '${snapshotMark}' AND size > @start`,
  "DELETE FROM leaves WHERE leaf_index >= @start",
  "DELETE FROM voids WHERE leaf_index >= @start",
  "DELETE FROM blob_names WHERE leaf_index >= @start",
];

/** The ledger of one process on disk. Opening locks the file, so that no second process writes it. */
export class SqliteLedgerStore implements LedgerWriter {
  readonly reader: SqliteLedgerReader;
  readonly #db: Sqlite;
  readonly #sync: WalSync;
  readonly #leaf: Statement;
  readonly #node: Statement;
  readonly #void: Statement;
  readonly #blob: Statement;
  readonly #blobName: Statement;
  readonly #frozen: Statement;
  readonly #mark: Statement;
  readonly #fault: Statement;
  readonly #faultTerm: Statement;
  readonly #forked: Statement;
  readonly #keepSnapshot: Statement;
  readonly #truncation: readonly Statement[];
  readonly #dropNodes: Statement;

  constructor(path: string) {
    const db = openSqlite(path, ledgerSchema);
    this.#db = db;
    this.#sync = new WalSync(path);
    this.reader = new SqliteLedgerReader(db);
    const prepare = (sql: string): Statement => storing(() => db.prepare<unknown[]>(sql));
    this.#leaf = prepare(
      `INSERT INTO leaves (leaf_index, leaf_hash, gateway, place, registry_digest, leaf, body)
       SELECT @index, @leafHash, @gateway, @place, @registryDigest, @leaf, @body
       WHERE @index = (SELECT COALESCE(MAX(leaf_index) + 1, 0) FROM leaves)`,
    );
    this.#node = prepare("INSERT INTO nodes (level, node_index, hash) VALUES (?, ?, ?)");
    this.#void = prepare("INSERT INTO voids (leaf_index, position, reason) VALUES (?, ?, ?)");
    this.#blob = prepare("INSERT OR IGNORE INTO blobs (sha256, content) VALUES (?, ?)");
    this.#blobName = prepare("INSERT OR IGNORE INTO blob_names (sha256, leaf_index) VALUES (?, ?)");
    this.#frozen = prepare("INSERT OR IGNORE INTO frozen_notes (size, note) VALUES (?, ?)");
    this.#mark = prepare(
      `INSERT INTO marks (name, size, value) VALUES (?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET size = excluded.size, value = excluded.value
       WHERE excluded.size >= marks.size`,
    );
    this.#fault = prepare(
      "INSERT INTO faults (reason, held, shown, leaf_index, at_ms) VALUES (?, ?, ?, ?, ?)",
    );
    this.#faultTerm = prepare("INSERT INTO fault_terms (number, term) VALUES (?, ?)");
    this.#keepSnapshot = prepare(
      `INSERT INTO marks (name, size, value)
       SELECT '${finalSnapshotMark}', size, value FROM marks
       WHERE name = '${snapshotMark}' AND size <= ?
       ON CONFLICT (name) DO UPDATE SET size = excluded.size, value = excluded.value`,
    );
    this.#truncation = truncation.map(prepare);
    this.#dropNodes = prepare("DELETE FROM nodes WHERE level = ? AND node_index >= ?");
    this.#forked = prepare(
      `INSERT INTO forked_leaves (gateway, place, leaf) SELECT @gateway, @place, @leaf
       WHERE NOT EXISTS (SELECT 1 FROM forked_leaves WHERE gateway = @gateway AND place = @place)`,
    );
  }

  append(rows: readonly BatchRow[]): void {
    this.#write(() => rows.forEach((row) => this.#appendOne(row)));
  }

  synced(): Promise<void> {
    return this.#sync.soon();
  }

  /** One transaction, on the disk with the next sync. */
  #write(change: () => void): void {
    this.#sync.assertWell();
    storing(() => this.#db.transaction(change).immediate());
  }

  /** One transaction, on the disk when it returns. */
  #writeNow<T>(change: () => T): T {
    this.#sync.assertWell();
    const result = storing(() => this.#db.transaction(change).immediate());
    this.#sync.now();
    return result;
  }

  /** One transaction that the disk has soon; nobody waits for it, and everything fails once it did not. */
  #writeSoon(change: () => void): void {
    this.#write(change);
    this.#sync.soon().catch(() => undefined);
  }

  truncateAndAppend(
    { start, term }: { readonly start: bigint; readonly term: bigint },
    rows: readonly BatchRow[],
  ): void {
    const change = (): void => {
      const size = this.reader.size();
      assertInvariant(start <= size, `there are no ${start} leaves to go on from`);
      const final = this.reader.newestFrozen()?.size ?? 0n;
      assertInvariant(start >= final, "nothing final is dropped");
      if (start < size) {
        for (const statement of this.#truncation) statement.run({ start, term });
        // A complete subtree that ends behind the start holds a leaf that is dropped.
        for (let level = 0; 1n << BigInt(level) <= size; level++) {
          this.#dropNodes.run(level, start >> BigInt(level));
        }
      }
      for (const row of rows) this.#appendOne(row);
    };
    this.#writeNow(change);
  }

  #appendOne(row: BatchRow): void {
    const { changes } = this.#leaf.run({
      index: row.index,
      leafHash: row.leafHash,
      gateway: row.place.gateway,
      place: placeKey(row.place),
      registryDigest: row.registryDigest,
      leaf: row.leaf,
      body: row.body,
    });
    assertInvariant(changes === 1, `batch ${row.index} does not follow the last stored one`);
    for (const node of row.nodes) this.#node.run(node.level, node.index, node.hash);
    for (const entry of row.voids) this.#void.run(row.index, entry.position, entry.reason);
    for (const sha256 of row.blobs) this.#blobName.run(sha256, row.index);
  }

  putBlob(sha256: Uint8Array, content: Uint8Array): boolean {
    if (content.length > blobBytesMax) {
      throw new CausewayError("TOO_LARGE", `a blob has at most ${blobBytesMax} bytes`);
    }
    if (!equalBytes(sha256Of(content), sha256)) {
      throw new CausewayError("BLOB_MISMATCH", "the content does not have the announced digest");
    }
    return this.#writeNow(() => this.#blob.run(sha256, content)).changes === 1;
  }

  freeze(final: StoredNote): void {
    this.#writeSoon(() => {
      this.#frozen.run(final.size, final.note);
      this.#mark.run("heartbeat", final.size, final.note);
    });
  }

  setHeartbeat(note: Uint8Array): void {
    const size = this.reader.newestFrozen()?.size;
    assertInvariant(size !== undefined, "a heartbeat follows a final size");
    this.#writeSoon(() => this.#mark.run("heartbeat", size, note));
  }

  setHead(head: StoredNote): void {
    this.#writeSoon(() => this.#mark.run("head", head.size, head.note));
  }

  setSnapshot(snapshot: Snapshot, finalSize: bigint): void {
    const replace = (): void => {
      this.#keepSnapshot.run(finalSize);
      this.#mark.run(snapshotMark, snapshot.size, snapshot.state);
    };
    this.#writeSoon(replace);
  }

  addFault(fault: Fault): void {
    const { reason, held = null, shown = null, index = null, term, atMs } = fault;
    const add = (): void => {
      const { lastInsertRowid } = this.#fault.run(reason, held, shown, index, atMs);
      if (term !== undefined) this.#faultTerm.run(lastInsertRowid, term);
    };
    this.#writeNow(add);
  }

  addForkedLeaf(place: ChainPlace, leaf: Uint8Array): void {
    const { gateway } = place;
    this.#writeNow(() => this.#forked.run({ gateway, place: placeKey(place), leaf }));
  }

  setNetwork(id: Uint8Array): void {
    this.#writeNow(() => this.#mark.run("network", 0, id));
  }

  close(): void {
    this.#sync.close();
    this.#db.close();
  }
}
