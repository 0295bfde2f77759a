import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { systemScheduler } from "../../gateway/runtime.ts";
import { type HeldRecord, type HeldRecords, openHeld } from "../../src/ledger/held/held.ts";

function heldRecord(leaf: number, position: number): HeldRecord {
  return {
    leafHash: new Uint8Array(32).fill(leaf),
    leaf: Uint8Array.of(leaf, leaf),
    record: Uint8Array.of(leaf, position),
    position,
    path: [new Uint8Array(32).fill(position), new Uint8Array(32).fill(leaf)],
  };
}

const byFirst = ([a = 0]: readonly number[], [b = 0]: readonly number[]): number => a - b;

const plain = (records: readonly HeldRecord[]): unknown =>
  records.map(({ leafHash, leaf, record, position, path }) => ({
    leafHash: [...leafHash],
    leaf: [...leaf],
    record: [...record],
    position,
    path: path.map((hash) => [...hash]),
  }));

describe("records held on disk", () => {
  let folder: string;
  let store: HeldRecords;
  const open = (recordsMax = 1000): Promise<HeldRecords> =>
    openHeld({
      path: join(folder, "held.sqlite"),
      scheduler: systemScheduler,
      recordsMax,
      onFailed: (error) => assert.fail(error),
    });

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "causeway-"));
    store = await open();
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true });
  });

  it("come back whole, by their position, also after a restart", async () => {
    for (const position of [2, 0, 1, 0]) store.put(heldRecord(7, position));
    store.put(heldRecord(8, 0));
    const expected = plain([0, 1, 2].map((position) => heldRecord(7, position)));
    assert.deepEqual(plain(await store.get(heldRecord(7, 0).leafHash)), expected);
    await store.close();
    store = await open();
    assert.deepEqual(plain(await store.get(heldRecord(7, 0).leafHash)), expected);
    const leaves = await store.leaves();
    assert.deepEqual(leaves.map(({ leaf }) => [...leaf]).toSorted(byFirst), [
      [7, 7],
      [8, 8],
    ]);
  });

  it("go with their leaf, those too that were not written yet", async () => {
    store.put(heldRecord(7, 0));
    store.remove([heldRecord(7, 0).leafHash]);
    assert.deepEqual(await store.get(heldRecord(7, 0).leafHash), []);
    assert.deepEqual(await store.leaves(), []);
  });

  it("are bounded: the oldest go, with leaves that have none left", async () => {
    await store.close();
    store = await open(32);
    for (let leaf = 0; leaf < 40; leaf++) store.put(heldRecord(leaf, 0));
    const leaves = await store.leaves();
    assert.ok(leaves.length <= 32 && leaves.length >= 28, String(leaves.length));
    assert.deepEqual(await store.get(heldRecord(0, 0).leafHash), []);
    assert.equal((await store.get(heldRecord(39, 0).leafHash)).length, 1);
  });
});
