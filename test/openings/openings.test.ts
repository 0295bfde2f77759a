import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import Database from "better-sqlite3";
import fc from "fast-check";
import { parseUtf8, toHex, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { createOpeningsCipher } from "../../src/ledger/openings/openings-cipher.ts";
import type { Opening } from "../../src/ledger/openings/opening.ts";
import { openOpenings, type Openings } from "../../src/ledger/openings/openings.ts";
import { SqliteOpenings } from "../../src/ledger/openings/sqlite-openings.ts";
import { realScheduler, temporaryFolder } from "../journal/support.ts";

const key = new Uint8Array(32).fill(1);
const id = utf8("attempt-one");
const other = utf8("attempt-two");
const seed = new Uint8Array(32).fill(9);

function opening(parts: {
  seed?: Uint8Array;
  values?: [string, Uint8Array][];
  salts?: [string, Uint8Array][];
}): Opening {
  return {
    ...(parts.seed === undefined ? {} : { seed: parts.seed }),
    salts: new Map(parts.salts),
    values: new Map(parts.values),
  };
}

async function open(t: TestContext, folder: string, withKey: Uint8Array = key): Promise<Openings> {
  const openings = await openOpenings({
    path: join(folder, "openings.db"),
    key: withKey,
    scheduler: realScheduler,
    onFailed: (error) => {
      throw error;
    },
  });
  t.after(() => openings.close());
  return openings;
}

/** Every byte of every file of the folder. */
function bytesOf(folder: string): Buffer {
  return Buffer.concat(readdirSync(folder).map((name) => readFileSync(join(folder, name))));
}

function code(expected: string): (error: unknown) => boolean {
  return (error) => error instanceof CausewayError && error.code === expected;
}

describe("openings", () => {
  it("come back as they were put, also after a restart", async (t) => {
    const folder = temporaryFolder(t);
    const first = await open(t, folder);
    const value = opening({
      seed,
      values: [["case", utf8("2026-17")]],
      salts: [["request", seed]],
    });
    first.put(id, value);
    assert.deepEqual(await first.get(id), value);
    assert.equal(await first.get(other), undefined);
    await first.close();
    const second = await open(t, folder);
    const again = await second.get(id);
    assert.equal(toHex(again?.seed as Uint8Array), toHex(seed));
    assert.equal(toHex(again?.values.get("case") as Uint8Array), toHex(utf8("2026-17")));
    assert.equal(toHex(again?.salts.get("request") as Uint8Array), toHex(seed));
  });

  it("of one id add up, the later one replacing", async (t) => {
    const openings = await open(t, temporaryFolder(t));
    openings.put(id, opening({ seed, values: [["case", utf8("old")]] }));
    openings.put(id, opening({ values: [["case", utf8("new")]], salts: [["status", seed]] }));
    const merged = await openings.get(id);
    assert.equal(toHex(merged?.seed as Uint8Array), toHex(seed));
    assert.equal(toHex(merged?.values.get("case") as Uint8Array), toHex(utf8("new")));
    assert.deepEqual([...(merged?.salts.keys() ?? [])], ["status"]);
  });

  it("do not stand in the clear in any file", async (t) => {
    const folder = temporaryFolder(t);
    const openings = await open(t, folder);
    openings.put(id, opening({ values: [["official", utf8("a value to be found")]] }));
    await openings.flush();
    const before = bytesOf(folder);
    assert.ok(before.includes(Buffer.from(id)), "the opening is not on disk at all");
    assert.ok(!before.includes("a value to be found"));
    assert.ok(!before.includes("official"));
  });

  it("are gone from every file once an erasure is answered, and the others stay", async (t) => {
    const folder = temporaryFolder(t);
    const openings = await open(t, folder);
    openings.put(id, opening({ seed }));
    openings.put(other, opening({ seed }));
    await openings.close();
    const db = new Database(join(folder, "openings.db"), { readonly: true });
    const part = db.prepare("SELECT part FROM openings WHERE id = ?").pluck().get(Buffer.from(id));
    db.close();
    assert.ok(bytesOf(folder).includes(part as Buffer), "the ciphertext was not on disk before");
    const again = await open(t, folder);
    assert.equal(await again.erase([id, utf8("never put")]), 1);
    const after = bytesOf(folder);
    assert.ok(!after.includes(part as Buffer));
    assert.ok(!after.includes(Buffer.from(id)));
    assert.equal(await again.get(id), undefined);
    assert.equal(toHex((await again.get(other))?.seed as Uint8Array), toHex(seed));
  });

  it("of every size and in any order of puts are gone from every file once they are erased", async (t) => {
    const ids = fc.array(fc.nat(7), { minLength: 1, maxLength: 40 });
    const run = fc.record({
      puts: ids,
      sizes: fc.array(fc.nat(9_000), { minLength: 1 }),
      erased: ids,
    });
    await fc.assert(
      fc.asyncProperty(run, async ({ puts, sizes, erased }) => {
        const folder = temporaryFolder(t);
        const path = join(folder, "openings.db");
        const store = new SqliteOpenings(path, key);
        for (const [i, n] of puts.entries()) {
          const part = new Uint8Array(sizes[i % sizes.length] as number).fill(i);
          store.put([{ id: utf8(`attempt of the number ${n}`), part }]);
          // Parts lie on pages of the database, which are split and joined, before others come.
          if (i % 5 === 4) store.erase([utf8("never put")]);
        }
        store.close();
        const db = new Database(path, { readonly: true });
        const rows = db.prepare("SELECT id, part FROM openings").all() as {
          id: Buffer;
          part: Buffer;
        }[];
        db.close();
        const again = new SqliteOpenings(path, key);
        const gone = new Set(erased.map((n) => `attempt of the number ${n}`));
        again.erase([...gone].map(utf8));
        const after = bytesOf(folder);
        for (const { id: name, part } of rows) {
          if (!gone.has(name.toString())) continue;
          // The first bytes are the nonce: no two parts share them.
          for (let at = 0; at + 12 <= part.length; at += 1024) {
            assert.ok(!after.includes(part.subarray(at, at + 12)), `${name.toString()} at ${at}`);
          }
        }
        again.close();
      }),
      { numRuns: 40 },
    );
  });

  it("cannot be opened from copies that pages keep: their keys are in no file, and the others' stay", (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, "openings.db");
    const ids = Array.from({ length: 300 }, (_, i) => utf8(`attempt ${i}`));
    const store = new SqliteOpenings(path, key);
    // Sizes at which pages are joined when their rows go, and keep copies of what was moved.
    for (const [i, one] of ids.entries()) {
      const part = new Uint8Array(20 + ((i * 37) % 140));
      store.put([
        { id: one, part },
        { id: one, part },
      ]);
    }
    store.close();
    const db = new Database(path, { readonly: true });
    const keys = db
      .prepare("SELECT id, part_key FROM openings JOIN part_keys USING (number)")
      .all() as { id: Buffer; part_key: Buffer }[];
    db.close();
    assert.equal(keys.length, 600);
    assert.equal(new Set(keys.map(({ part_key: one }) => one.toString("hex"))).size, 600);

    const again = new SqliteOpenings(path, key);
    const isGone = (name: Uint8Array): boolean => Number(parseUtf8(name)?.split(" ")[1]) % 3 > 0;
    for (const one of ids.filter(isGone)) assert.equal(again.erase([one]), 1);
    const after = bytesOf(folder);
    for (const { id: name, part_key: one } of keys) {
      assert.equal(after.includes(one.subarray(0, 12)), !isGone(name), name.toString());
    }
    for (const one of ids) assert.equal(again.get(one).length, isGone(one) ? 0 : 2);
    again.close();
  });

  it("of a store from before the keys are still read and erased", (t) => {
    const path = join(temporaryFolder(t), "openings.db");
    new SqliteOpenings(path, key).close();
    const db = new Database(path);
    const sealed = createOpeningsCipher(key).encrypt({ id, rowKey: new Uint8Array(0) }, seed);
    db.prepare("INSERT INTO openings (id, part) VALUES (?, ?)").run(id, sealed);
    db.exec("DROP TABLE part_keys");
    db.close();
    const store = new SqliteOpenings(path, key);
    store.put([{ id, part: utf8("later") }]);
    assert.deepEqual(store.get(id).map(toHex), [toHex(seed), toHex(utf8("later"))]);
    assert.equal(store.erase([id]), 1);
    assert.deepEqual(store.get(id), []);
    store.close();
  });

  it("that are still buffered are erased too", async (t) => {
    const folder = temporaryFolder(t);
    const openings = await open(t, folder);
    openings.put(id, opening({ seed }));
    assert.equal(await openings.erase([id]), 1);
    assert.ok(!bytesOf(folder).includes(Buffer.from(id)));
  });

  it("are KEY_LOCKED under another key", async (t) => {
    const folder = temporaryFolder(t);
    await (await open(t, folder)).close();
    await assert.rejects(open(t, folder, new Uint8Array(32).fill(2)), code("KEY_LOCKED"));
    await open(t, folder);
  });

  it("take nothing after they are closed", async (t) => {
    const openings = await open(t, temporaryFolder(t));
    await openings.close();
    assert.throws(() => openings.put(id, opening({ seed })), code("SHUTTING_DOWN"));
    await assert.rejects(openings.get(id), code("SHUTTING_DOWN"));
  });
});

describe("the cipher of the openings", () => {
  const cipher = createOpeningsCipher(key);
  const row = { id, rowKey: new Uint8Array(32).fill(7) };

  it("refuses a part that is moved to another id, and one whose key is gone", () => {
    const sealed = cipher.encrypt(row, seed);
    assert.throws(() => cipher.decrypt({ ...row, id: other }, sealed), code("KEY_LOCKED"));
    const zeros = new Uint8Array(32);
    assert.throws(() => cipher.decrypt({ ...row, rowKey: zeros }, sealed), code("KEY_LOCKED"));
  });

  it("refuses every single-bit change", () => {
    const sealed = cipher.encrypt(row, utf8("x"));
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Uint8Array.from(sealed);
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.throws(() => cipher.decrypt(row, changed), code("KEY_LOCKED"));
    }
  });

  it("never encrypts one value to the same bytes twice", () => {
    assert.notEqual(toHex(cipher.encrypt(row, seed)), toHex(cipher.encrypt(row, seed)));
  });
});
