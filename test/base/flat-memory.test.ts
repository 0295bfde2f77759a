import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { toHex, u32be } from "../../src/base/bytes.ts";
import { ByteRows } from "../../src/base/byte-rows.ts";
import { DigestTable } from "../../src/base/digest-table.ts";
import { NumberList } from "../../src/base/number-list.ts";
import { sha256 } from "../../src/base/sha256.ts";

/** Few of them, so that names meet; crowded ones have their first place and their step in common. */
const digests = fc.oneof(
  fc.nat(40).map((n) => sha256(u32be(n))),
  fc.nat(40).map((n) => {
    const digest = new Uint8Array(32);
    digest[31] = n;
    return digest;
  }),
);
const indexes = fc.oneof(fc.nat(3), fc.constantFrom(0xffffffff, 0x80000000));

describe("a table of digests", () => {
  test("holds what a map by digest and index would hold, however it grows", () => {
    const entries = fc.array(fc.tuple(digests, indexes, fc.nat(0xfffffffe)), { maxLength: 400 });
    fc.assert(
      fc.property(entries, digests, indexes, (set, digest, index) => {
        const table = new DigestTable();
        const map = new Map<string, number>();
        const keyOf = (name: Uint8Array, at: number): string => `${toHex(name)} ${at}`;
        for (const [name, at, number] of set) {
          table.set(name, at, number);
          map.set(keyOf(name, at), number);
        }
        for (const [name, at] of set) {
          assert.equal(table.get(name, at), map.get(keyOf(name, at)));
        }
        assert.equal(table.get(digest, index), map.get(keyOf(digest, index)));
        assert.equal(table.count, map.size);
      }),
    );
  });

  test("is not slow where indexes were chosen that end alike", () => {
    const digest = sha256(u32be(7));
    const count = 45_000;
    const before = process.cpuUsage().user;
    const table = new DigestTable();
    for (let n = 0; n < count; n++) table.set(digest, n * 0x10000, n);
    const tookMs = (process.cpuUsage().user - before) / 1000;
    assert.equal(table.get(digest, 0x10000), 1);
    assert.equal(table.count, count);
    assert.ok(tookMs < 500, `${tookMs} ms`);
  });

  test("takes nothing but digests", () => {
    assert.throws(() => new DigestTable().set(new Uint8Array(31), 0, 0));
    assert.throws(() => new DigestTable().get(new Uint8Array(33), 0));
  });
});

describe("a list of numbers", () => {
  test("gives each back, and counts those up to a bound as a filter would", () => {
    const ascending = fc
      .array(fc.integer(), { maxLength: 100 })
      .map((all) => all.sort((a, b) => a - b));
    fc.assert(
      fc.property(ascending, fc.integer(), (numbers, bound) => {
        const list = new NumberList();
        for (const number of numbers) list.push(number);
        assert.equal(list.count, numbers.length);
        assert.deepEqual(
          numbers.map((_, i) => list.at(i)),
          numbers,
        );
        assert.equal(list.at(numbers.length), undefined);
        assert.equal(list.at(-1), undefined);
        for (const at of [bound, ...numbers]) {
          assert.equal(list.countUpTo(at), numbers.filter((number) => number <= at).length);
        }
      }),
    );
  });
});

describe("rows of bytes", () => {
  test("come back as they were added, as copies, over several chunks", () => {
    const rows = new ByteRows(32);
    const added = Array.from({ length: 2500 }, (_, n) => sha256(u32be(n)));
    for (const row of added) rows.push(row);
    assert.equal(rows.count, 2500);
    for (const [n, row] of added.entries()) assert.deepEqual(rows.at(n), row);
    rows.at(7)?.fill(0);
    assert.deepEqual(rows.at(7), added[7]);
    assert.equal(rows.at(2500), undefined);
  });

  test("have one length", () => {
    assert.throws(() => new ByteRows(32).push(new Uint8Array(31)), RangeError);
  });
});
