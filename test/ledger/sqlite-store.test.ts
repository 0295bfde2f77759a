import assert from "node:assert/strict";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import Database from "better-sqlite3";
import { utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { SqliteLedgerStore } from "../../src/ledger/store/sqlite-store.ts";
import { SqliteWitnessStore } from "../../src/ledger/store/sqlite-witness-store.ts";
import type { BatchRow, WitnessedHead } from "../../src/ledger/store/store.ts";
import { AssertionError } from "../../src/base/errors.ts";
import {
  appendLeaf,
  type CompactRange,
  emptyRange,
  rangeRoot,
} from "../../src/merkle/compact-range.ts";
import { rootAt } from "../../src/merkle/reader.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { temporaryFolder } from "./support.ts";

function openStore(t: TestContext, folder: string = temporaryFolder(t)): SqliteLedgerStore {
  const store = new SqliteLedgerStore(join(folder, "ledger.sqlite"));
  t.after(() => store.close());
  return store;
}

function rows(count: number, name = "leaf"): readonly BatchRow[] {
  let range: CompactRange = emptyRange;
  return Array.from({ length: count }, (_, i) => {
    const leaf = utf8(`${name} ${i}`);
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
  first.setSnapshot({ size: 2n, state: utf8("state") }, 0n);
  first.addFault({ reason: "LEDGER_FORK", held: utf8("a"), shown: utf8("b"), atMs: 5 });
  first.addFault({ reason: "LEDGER_FORK", shown: utf8("c"), term: 3n, atMs: 6 });
  first.close();
  const { reader } = openStore(t, folder);
  assert.equal(reader.size(), 3n);
  assert.deepEqual(reader.snapshot(), { size: 2n, state: utf8("state") });
  assert.deepEqual(reader.faults(), [
    { reason: "LEDGER_FORK", held: utf8("a"), shown: utf8("b"), atMs: 5 },
    { reason: "LEDGER_FORK", shown: utf8("c"), term: 3n, atMs: 6 },
  ]);
});

test("what is dropped leaves no trace in the tree, stays as evidence, and makes room for others", (t) => {
  const store = openStore(t);
  const old = rows(7);
  store.append(old);
  store.freeze({ size: 3n, note: utf8("final") });
  store.setHead({ size: 7n, note: utf8("head of seven") });
  store.setSnapshot({ size: 2n, state: utf8("two") }, 3n);
  store.setSnapshot({ size: 6n, state: utf8("six") }, 3n);
  const other = rows(6, "other").slice(5);
  // The same first five leaves, then another sixth.
  let range = old.slice(0, 5).reduce((r, row) => appendLeaf(r, row.leafHash).range, emptyRange);
  const replaced = other.map((row) => {
    const appended = appendLeaf(range, row.leafHash);
    range = appended.range;
    return { ...row, nodes: appended.nodes };
  });
  store.truncateAndAppend({ start: 5n, term: 1n }, replaced);
  const { reader } = store;
  assert.equal(reader.size(), 6n);
  assert.deepEqual(rootAt(6n, reader), rangeRoot(range));
  assert.equal(reader.indexOfLeaf((old[6] as BatchRow).leafHash), undefined);
  assert.deepEqual(
    reader.droppedLeaves().map(({ term, index, leaf }) => [term, index, leaf]),
    old.slice(5).map(({ index, leaf }) => [1n, index, leaf]),
  );
  assert.deepEqual(reader.droppedHeads(), [{ size: 7n, note: utf8("head of seven") }]);
  assert.equal(reader.head(), undefined);
  assert.deepEqual(reader.snapshot(), { size: 2n, state: utf8("two") });
  assert.equal(reader.frozenAfter(0n)?.size, 3n);
});

for (const start of [0n, 1n, 2n, 4n, 8n, 9n, 12n]) {
  test(`a tree of 13 that goes on from ${start} has the roots of the leaves alone`, (t) => {
    const store = openStore(t);
    store.append(rows(13));
    const kept = rows(13).slice(0, Number(start));
    let range = kept.reduce((r, row) => appendLeaf(r, row.leafHash).range, emptyRange);
    const added = rows(17, "later")
      .slice(Number(start))
      .map((row) => {
        const appended = appendLeaf(range, row.leafHash);
        range = appended.range;
        return { ...row, nodes: appended.nodes };
      });
    store.truncateAndAppend({ start, term: 2n }, added);
    const all = [...kept, ...added];
    for (let size = 1; size <= all.length; size++) {
      const expected = all
        .slice(0, size)
        .reduce((r, row) => appendLeaf(r, row.leafHash).range, emptyRange);
      assert.deepEqual(rootAt(BigInt(size), store.reader), rangeRoot(expected), `size ${size}`);
    }
  });
}

test("nothing final is dropped", (t) => {
  const store = openStore(t);
  store.append(rows(4));
  store.freeze({ size: 3n, note: utf8("final") });
  assert.throws(() => store.truncateAndAppend({ start: 2n, term: 1n }, []), AssertionError);
  assert.equal(store.reader.size(), 4n);
});

test("a leaf that contradicts the included one is read back with its place", (t) => {
  const store = openStore(t);
  const place = { gateway: "hangzhou/civil-affairs/gw1", epoch: 1n, seq: 258n };
  store.addForkedLeaf(place, utf8("forked"));
  store.addForkedLeaf(place, utf8("more of it"));
  assert.deepEqual(store.reader.forkedLeaves(), [{ place, leaf: utf8("forked") }]);
});

const headOf = (size: bigint): WitnessedHead => ({
  size,
  root: sha256(utf8(`root ${size}`)),
  note: utf8(`note ${size}`),
});

function advance(
  store: SqliteWitnessStore,
  origin: string,
  before: WitnessedHead | undefined,
  after: WitnessedHead,
  term = 0n,
): boolean {
  return store.advance({ origin, term, before, after });
}

test("a promise is replaced only by one who knows it", (t) => {
  const store = new SqliteWitnessStore(join(temporaryFolder(t), "witness.sqlite"));
  t.after(() => store.close());
  assert.equal(advance(store, "o", undefined, headOf(1n)), true);
  assert.equal(advance(store, "o", undefined, headOf(2n)), false);
  assert.equal(advance(store, "o", headOf(3n), headOf(4n)), false);
  const another = { ...headOf(1n), root: sha256(utf8("x")) };
  assert.equal(advance(store, "o", another, headOf(2n)), false);
  assert.deepEqual(store.latest("o"), headOf(1n));
  assert.equal(advance(store, "o", headOf(1n), headOf(2n)), true);
  assert.equal(advance(store, "o", headOf(2n), headOf(1n)), false, "a promise never shrinks");
  assert.deepEqual(store.latest("o"), headOf(2n));
  assert.equal(store.latest("p"), undefined);
});

test("a promised term ends what is below it, and is never taken back", (t) => {
  const path = join(temporaryFolder(t), "witness.sqlite");
  const store = new SqliteWitnessStore(path);
  assert.equal(store.promisedTerm(), 0n);
  assert.equal(advance(store, "o/1", undefined, headOf(1n), 1n), true);
  assert.equal(store.promisedTerm(), 1n, "promised with the first cosignature in it");
  assert.equal(store.promiseTerm({ term: 1n, choice: "a" }), false);
  assert.equal(store.promiseTerm({ term: 3n, choice: "a" }), true);
  assert.equal(store.promiseTerm({ term: 2n, choice: "b" }), false);
  assert.equal(advance(store, "o/1", headOf(1n), headOf(2n), 1n), false);
  assert.equal(advance(store, "o/2", undefined, headOf(1n), 2n), false);
  assert.equal(advance(store, "o/3", undefined, headOf(5n), 3n), true);
  store.close();
  const again = new SqliteWitnessStore(path);
  t.after(() => again.close());
  assert.equal(again.promisedTerm(), 3n);
  assert.equal(again.promisedChoice(), "a");
  assert.deepEqual(
    again.promises(),
    new Map([
      ["o/1", headOf(1n)],
      ["o/3", headOf(5n)],
    ]),
  );
});

test("a lost state is remembered by key and term", (t) => {
  const path = join(temporaryFolder(t), "witness.sqlite");
  const store = new SqliteWitnessStore(path);
  assert.equal(store.lost(), undefined);
  store.setLost({ key: "aa", term: 1n });
  store.setLost({ key: "bb", term: 4n });
  store.close();
  const again = new SqliteWitnessStore(path);
  t.after(() => again.close());
  assert.deepEqual(again.lost(), { key: "bb", term: 4n });
});

test("the promises of a store of an earlier release stand, with no term above the first", (t) => {
  const path = join(temporaryFolder(t), "witness.sqlite");
  const store = new SqliteWitnessStore(path);
  advance(store, "o", undefined, headOf(2n));
  store.close();
  const db = new Database(path);
  db.exec("DROP TABLE promised_term; DROP TABLE lost_state;");
  db.close();
  const again = new SqliteWitnessStore(path);
  t.after(() => again.close());
  assert.deepEqual(again.latest("o"), headOf(2n));
  assert.equal(again.promisedTerm(), 0n);
  assert.equal(advance(again, "o", headOf(2n), headOf(3n)), true);
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
