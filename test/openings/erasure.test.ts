import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { systemRandom, systemScheduler } from "../../gateway/runtime.ts";
import { createAdminOpenings } from "../../gateway/evidence-openings.ts";
import { openingId } from "../../gateway/openings.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { createUuidV7 } from "../../src/base/ids.ts";
import type { OpeningsErased } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { QueuedRecord, SealedRecord, Sealer } from "../../src/ledger/ports.ts";
import { erasedHash, erasureRoot, erasureSalt } from "../../src/ledger/openings/erasure.ts";
import { type Openings, openOpenings } from "../../src/ledger/openings/openings.ts";
import { treePath } from "../../src/merkle/batch-tree.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { isIncluded } from "../../src/record/inclusion.ts";
import { openRecord } from "../../src/record/record.ts";

const secretValue = utf8("case 2026-001 of a person");
const dayMs = 24 * 3600 * 1000;
const startMs = Date.UTC(2026, 0, 1);

describe("an erasure of openings", () => {
  let folder: string;
  let openings: Openings;
  const states = new Map<string, Uint8Array>();
  let erased: OpeningsErased[] = [];
  let isSealing = true;

  const sealer: Sealer = {
    seal: (queued: QueuedRecord) => {
      if (!isSealing) return Promise.reject(new CausewayError("CLOCK_OFF", "not now"));
      const { body } = openRecord(queued.record);
      if (body.case === "openingsErased") erased.push(body.value);
      for (const { key, value } of queued.states) states.set(key, value ?? new Uint8Array());
      return Promise.resolve({ record: queued.record } as SealedRecord);
    },
  };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "causeway-"));
    states.clear();
    erased = [];
    isSealing = true;
    openings = await open();
  });
  afterEach(async () => {
    await openings.close();
    rmSync(folder, { recursive: true });
  });

  const open = (): Promise<Openings> =>
    openOpenings({
      path: join(folder, "openings.sqlite"),
      key: new Uint8Array(32),
      scheduler: systemScheduler,
      onFailed: () => undefined,
    });

  const admin = (): ReturnType<typeof createAdminOpenings> =>
    createAdminOpenings({
      openings,
      journal: { state: (key) => states.get(key) },
      sealer,
      clock: { nowMs: () => startMs },
      random: systemRandom,
    });

  function put(atMs: number, attempt = 1, side: "consumer" | "provider" = "consumer"): Uint8Array {
    const xid = createUuidV7(atMs, systemRandom(10));
    putAgain(xid, attempt, side);
    return xid;
  }

  function putAgain(xid: Uint8Array, attempt: number, side: "consumer" | "provider"): void {
    openings.put(openingId({ xid, attempt, side }), {
      seed: systemRandom(32),
      salts: new Map([["case", systemRandom(32)]]),
      values: new Map([["case", secretValue]]),
    });
  }

  it("takes every attempt of an exchange on both sides, and nothing of another", async () => {
    const xid = put(startMs);
    putAgain(xid, 2, "consumer");
    putAgain(xid, 1, "provider");
    const other = put(startMs);
    assert.equal((await admin().show(xid, "")).length, 3);
    assert.equal((await admin().erase(xid)).count, 3);
    assert.deepEqual(await admin().show(xid, ""), []);
    assert.deepEqual((await admin().show(other, "case"))[0]?.value, secretValue);
    assert.deepEqual(await admin().show(other, "official"), []);
    assert.deepEqual(
      erased.map(({ count }) => count),
      [3n],
    );
    await admin().erase(xid);
    assert.equal(erased.length, 1);
  });

  it("takes all exchanges before a time, and none of that time or later", async () => {
    const before = [put(startMs - dayMs), put(startMs - 1)];
    const after = [put(startMs), put(startMs + dayMs)];
    assert.equal((await admin().eraseBefore(startMs)).count, 2);
    for (const xid of before) assert.equal((await admin().show(xid, "")).length, 0);
    for (const xid of after) assert.equal((await admin().show(xid, "")).length, 1);
  });

  it("leaves no write-ahead log behind, which held it too", async () => {
    const xid = put(startMs);
    await openings.flush();
    const logBytes = (): number => statSync(join(folder, "openings.sqlite-wal")).size;
    assert.ok(logBytes() > 0);
    await admin().erase(xid);
    assert.equal(logBytes(), 0);
  });

  it("that could not be recorded is recorded by the next start, once", async () => {
    isSealing = false;
    const xid = put(startMs);
    await assert.rejects(admin().erase(xid));
    assert.deepEqual([(await admin().show(xid, "")).length, erased.length], [0, 0]);
    isSealing = true;
    await admin().catchUp();
    await admin().catchUp();
    assert.equal(erased.length, 1);
  });

  it("of a store that was lost and made again is recorded too", async () => {
    for (let i = 0; i < 3; i++) await admin().erase(put(startMs));
    await openings.close();
    rmSync(join(folder, "openings.sqlite"));
    openings = await open();
    for (let i = 0; i < 2; i++) await admin().erase(put(startMs));
    await admin().catchUp();
    assert.equal(erased.length, 5);
    assert.equal(new Set(erased.map(({ root }) => Buffer.from(root).toString("hex"))).size, 5);
  });

  it("can be shown of one exchange by its salt and path, under the recorded root", () => {
    const secret = systemRandom(32);
    const ids = Array.from({ length: 5 }, (_, i) => Uint8Array.of(i));
    const hashes = ids.map((id) => erasedHash(erasureSalt(secret, id), id));
    const root = erasureRoot(secret, ids);
    for (const [index, data] of hashes.entries()) {
      const path = treePath(hashes.map(leafHash), index);
      assert.ok(isIncluded({ data, index, count: ids.length, path, root }));
      const forged = { data: erasedHash(secret, ids[index] as Uint8Array), index };
      assert.ok(!isIncluded({ ...forged, count: ids.length, path, root }));
    }
  });
});
