import assert from "node:assert/strict";
import fs, { mkdtempSync, rmSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { openSqlite } from "../../src/ledger/store/sqlite-open.ts";
import { WalSync } from "../../src/ledger/store/wal-sync.ts";

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "causeway-wal-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test("callers are answered in order, whatever is committed while a sync runs", async (t) => {
  const path = join(folder(t), "a.db");
  const db = openSqlite(path, "CREATE TABLE IF NOT EXISTS t (n INTEGER)");
  const sync = new WalSync(path);
  const insert = db.prepare("INSERT INTO t VALUES (?)");
  const answered: number[] = [];
  const calls = Array.from({ length: 50 }, async (_, n) => {
    insert.run(n);
    await sync.soon();
    answered.push(n);
    if (n % 10 === 0) sync.now();
  });
  await Promise.all(calls);
  assert.deepEqual(
    answered,
    answered.map((_, n) => n),
  );
  sync.close();
  db.close();
});

test("what waits when the store is closed is answered, and what comes after it is a defect", async (t) => {
  const path = join(folder(t), "a.db");
  const db = openSqlite(path, "CREATE TABLE IF NOT EXISTS t (n INTEGER)");
  const sync = new WalSync(path);
  db.exec("INSERT INTO t VALUES (1)");
  const waiting = [sync.soon(), sync.soon()];
  sync.close();
  db.close();
  await Promise.all(waiting);
  assert.throws(() => sync.soon(), { name: "AssertionError" });
});

test("a log that cannot be opened is STORAGE_FAILED", (t) => {
  const path = join(folder(t), "missing", "a.db");
  assert.throws(() => new WalSync(path), { code: "STORAGE_FAILED" });
});

test("a sync that ends well answers nobody once another one has failed", async (t) => {
  const path = join(folder(t), "a.db");
  const db = openSqlite(path, "CREATE TABLE IF NOT EXISTS t (n INTEGER)");
  const sync = new WalSync(path);
  const mock = t.mock.method(fs, "fdatasyncSync", () => {
    throw Object.assign(new Error("lost"), { code: "EIO" });
  });
  syncBuiltinESMExports();
  t.after(() => {
    mock.mock.restore();
    syncBuiltinESMExports();
  });
  const calls = [sync.soon(), sync.soon()];
  assert.throws(() => sync.now(), { code: "STORAGE_FAILED", fields: { code: "EIO" } });
  for (const call of calls) await assert.rejects(call, { code: "STORAGE_FAILED" });
  assert.throws(() => sync.assertWell(), { code: "STORAGE_FAILED" });
  await assert.rejects(sync.soon(), { code: "STORAGE_FAILED" });
  sync.close();
  db.close();
});
