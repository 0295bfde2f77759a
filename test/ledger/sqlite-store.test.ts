import assert from "node:assert/strict";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import Database from "better-sqlite3";
import { utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { SqliteLedgerStore } from "../../src/ledger/store/sqlite-store.ts";
import { SqliteWitnessStore } from "../../src/ledger/store/sqlite-witness-store.ts";
import type { BatchRow, WitnessedHead } from "../../src/ledger/store/store.ts";
import { appendLeaf, type CompactRange, emptyRange } from "../../src/merkle/compact-range.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { temporaryFolder } from "./support.ts";

function openStore(t: TestContext, folder: string = temporaryFolder(t)): SqliteLedgerStore {
  const store = new SqliteLedgerStore(join(folder, "ledger.sqlite"));
  t.after(() => store.close());
  return store;
}

function rows(count: number): readonly BatchRow[] {
  let range: CompactRange = emptyRange;
  return Array.from({ length: count }, (_, i) => {
    const leaf = utf8(`leaf ${i}`);
    const appended = appendLeaf(range, leafHash(leaf));
    range = appended.range;
    return {
      index: BigInt(i),
      leaf,
      leafHash: leafHash(leaf),
      body: utf8(`body ${i}`),
      place: { gateway: "hangzhou/civil-affairs/gw1", epoch: 0n, seq: BigInt(i) },
      registryDigest: sha256(utf8(`digest ${i}`)),
      nodes: appended.nodes,
      voids: i === 1 ? [{ position: 2, reason: "REPLAYED" }] : [],
      blobs: i === 1 ? [sha256(utf8("blob"))] : [],
    };
  });
}

test("what was appended is read back by index, hash, place and range", (t) => {
  const store = openStore(t);
  const batches = rows(5);
  store.append(batches.slice(0, 2));
  store.append(batches.slice(2));
  const { reader } = store;
  assert.equal(reader.size(), 5n);
  const { index, leaf, leafHash: hash, body, place } = batches[3] as BatchRow;
  assert.deepEqual(reader.batch(3n), { index, leaf, leafHash: hash, body });
  assert.equal(reader.indexOfLeaf(hash), 3n);
  assert.deepEqual(reader.atPlace(place), { index: 3n, leafHash: hash });
  assert.equal(reader.atPlace({ ...place, epoch: 1n }), undefined);
  const page = reader.batches({ from: 1n, countMax: 2, bytesMax: 1000 });
  assert.deepEqual(
    page.map((batch) => batch.index),
    [1n, 2n],
  );
  assert.equal(reader.batches({ from: 1n, countMax: 4, bytesMax: 1 }).length, 1);
  assert.equal(reader.voidReason(1n, 2), "REPLAYED");
  assert.equal(reader.voidReason(1n, 1), undefined);
  assert.equal(reader.blobNamedAt(sha256(utf8("blob"))), 1n);
  assert.deepEqual(reader.registryDigest(4n), batches[4]?.registryDigest);
});

test("a group with a gap is stored not at all", (t) => {
  const store = openStore(t);
  const [first, , third] = rows(3) as [BatchRow, BatchRow, BatchRow];
  assert.throws(() => store.append([first, third]), { name: "AssertionError" });
  assert.equal(store.reader.size(), 0n);
  assert.equal(store.reader.indexOfLeaf(first.leafHash), undefined);
});

test("no index is written twice", (t) => {
  const store = openStore(t);
  const [first] = rows(1) as [BatchRow];
  store.append([first]);
  assert.throws(() => store.append([first]), { name: "AssertionError" });
});

test("a place of a chain is taken once", (t) => {
  const store = openStore(t);
  const [first, second] = rows(2) as [BatchRow, BatchRow];
  assert.throws(() => store.append([first, { ...second, place: first.place }]), {
    code: "STORAGE_FAILED",
  });
  assert.equal(store.reader.size(), 0n);
});

test("a second process cannot open the store", (t) => {
  const folder = temporaryFolder(t);
  openStore(t, folder);
  assert.throws(() => new SqliteLedgerStore(join(folder, "ledger.sqlite")), {
    code: "STORE_LOCKED",
  });
});

test("the first note of a final size stays for ever", (t) => {
  const store = openStore(t);
  store.freeze({ size: 2n, note: utf8("first") });
  store.freeze({ size: 2n, note: utf8("second") });
  store.freeze({ size: 7n, note: utf8("third") });
  const { reader } = store;
  assert.deepEqual(reader.frozenAfter(0n), { size: 2n, note: utf8("first") });
  assert.deepEqual(reader.frozenAfter(2n), { size: 7n, note: utf8("third") });
  assert.equal(reader.frozenAfter(7n), undefined);
  store.setHeartbeat(utf8("beat"));
  assert.deepEqual(reader.heartbeat(), utf8("beat"));
  assert.deepEqual(reader.newestFrozen(), { size: 7n, note: utf8("third") });
});

test("a head never goes back", (t) => {
  const store = openStore(t);
  store.setHead({ size: 5n, note: utf8("five") });
  store.setHead({ size: 4n, note: utf8("four") });
  assert.deepEqual(store.reader.head(), { size: 5n, note: utf8("five") });
});

test("a blob of another digest is BLOB_MISMATCH, one above the limit TOO_LARGE, and neither is stored", (t) => {
  const store = openStore(t);
  const digest = sha256(utf8("blob"));
  assert.throws(() => store.putBlob(digest, utf8("other")), { code: "BLOB_MISMATCH" });
  const large = new Uint8Array(8 * 1024 * 1024 + 1);
  assert.throws(() => store.putBlob(sha256(large), large), { code: "TOO_LARGE" });
  assert.equal(store.reader.blob(digest), undefined);
  assert.equal(store.putBlob(digest, utf8("blob")), true);
  assert.equal(store.putBlob(digest, utf8("blob")), false);
  assert.deepEqual(store.reader.blob(digest), utf8("blob"));
  assert.equal(store.reader.blobSize(digest), 4);
});

test("everything is there after the store was closed and opened", (t) => {
  const folder = temporaryFolder(t);
  const first = new SqliteLedgerStore(join(folder, "ledger.sqlite"));
  first.append(rows(3));
  first.setSnapshot({ size: 2n, state: utf8("state") });
  first.addFault({ reason: "LEDGER_FORK", held: utf8("a"), shown: utf8("b"), atMs: 5 });
  first.close();
  const { reader } = openStore(t, folder);
  assert.equal(reader.size(), 3n);
  assert.deepEqual(reader.snapshot(), { size: 2n, state: utf8("state") });
  assert.deepEqual(reader.faults(), [
    { reason: "LEDGER_FORK", held: utf8("a"), shown: utf8("b"), atMs: 5 },
  ]);
});

test("a promise is replaced only by one who knows it", (t) => {
  const store = new SqliteWitnessStore(join(temporaryFolder(t), "witness.sqlite"));
  t.after(() => store.close());
  const head = (size: bigint): WitnessedHead => ({
    size,
    root: sha256(utf8(`root ${size}`)),
    note: utf8(`note ${size}`),
  });
  assert.equal(store.advance("o", undefined, head(1n)), true);
  assert.equal(store.advance("o", undefined, head(2n)), false);
  assert.equal(store.advance("o", head(3n), head(4n)), false);
  assert.equal(store.advance("o", { ...head(1n), root: sha256(utf8("x")) }, head(2n)), false);
  assert.deepEqual(store.latest("o"), head(1n));
  assert.equal(store.advance("o", head(1n), head(2n)), true);
  assert.equal(store.advance("o", head(2n), head(1n)), false, "a promise never shrinks");
  assert.deepEqual(store.latest("o"), head(2n));
  assert.equal(store.latest("p"), undefined);
});

test("of many leaves that contradict one place the first is kept, beside those of other places", (t) => {
  const folder = temporaryFolder(t);
  const store = openStore(t, folder);
  const [first, second] = rows(2) as [BatchRow, BatchRow];
  for (let i = 0; i < 20; i++) store.addForkedLeaf(first.place, Uint8Array.of(1, i));
  store.addForkedLeaf(second.place, Uint8Array.of(2));
  store.close();
  const db = new Database(join(folder, "ledger.sqlite"), { readonly: true });
  const leaves = db.prepare("SELECT hex(leaf) FROM forked_leaves ORDER BY leaf").pluck().all();
  db.close();
  assert.deepEqual(leaves, ["0100", "02"]);
});
