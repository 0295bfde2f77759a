import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import type { QueuedRecord, SealedRecord, Seen } from "../../src/ledger/ports.ts";
import { openJournal } from "../../src/ledger/journal/sealer.ts";
import type { Journal, SealerOptions } from "../../src/ledger/journal/journal.ts";
import { openLeaf, verifyLeaf } from "../../src/record/leaf.ts";
import { recordHash } from "../../src/record/record.ts";
import { rootOfInclusion } from "../../src/merkle/verify.ts";
import { batchKey, journalOptions, openTestJournal, SetClock, temporaryFolder } from "./support.ts";

function evidence(text: string, more: Partial<QueuedRecord> = {}): QueuedRecord {
  return { kind: "evidence", record: utf8(text), decidedAtMs: 0, states: [], ...more };
}

async function sealed(journal: Journal, record: QueuedRecord): Promise<SealedRecord> {
  const result = await journal.sealer.seal(record);
  assert.ok(result !== undefined, "the record was dropped");
  return result;
}

function code(expected: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof CausewayError, String(error));
    assert.equal(error.code, expected);
    return true;
  };
}

/** Checks a proof from the record's bytes to the signature, with nothing of the journal's own. */
function assertProof(result: SealedRecord): void {
  const leaf = openLeaf(result.leaf);
  verifyLeaf({ leaf, publicKey: batchKey, verifier: createNodeVerifier() });
  assert.deepEqual(toHex(leaf.leafHash), toHex(result.leafHash));
  const root = rootOfInclusion({
    leafHash: recordHash(result.record),
    index: result.position,
    size: leaf.header.count,
    proof: result.path,
  });
  assert.equal(toHex(root ?? new Uint8Array()), toHex(leaf.header.recordsRoot));
}

async function withSetClock(
  t: TestContext,
  overrides: Partial<SealerOptions> = {},
): Promise<{ clock: SetClock; journal: Journal; folder: string }> {
  const folder = temporaryFolder(t);
  const clock = new SetClock();
  return { clock, folder, journal: await openTestJournal(t, folder, { clock, ...overrides }) };
}

describe("sealing", () => {
  it("gives each of 200 concurrent callers a proof of the own record, in few batches", async (t) => {
    const journal = await openTestJournal(t, temporaryFolder(t));
    const texts = Array.from({ length: 200 }, (_, i) => `record ${i}`);
    const results = await Promise.all(texts.map((text) => sealed(journal, evidence(text))));
    for (const [i, result] of results.entries()) {
      assert.equal(toHex(result.record), toHex(utf8(texts[i] as string)));
      assertProof(result);
    }
    const handles = new Set(results.map((one) => `${toHex(one.leafHash)}/${one.position}`));
    assert.equal(handles.size, 200);
    assert.equal(journal.reader.batchCount(), 1);
  });

  it("groups what arrives while a batch is at the worker", async (t) => {
    const journal = await openTestJournal(t, temporaryFolder(t));
    const first = sealed(journal, evidence("first"));
    await new Promise((resolve) => setImmediate(resolve));
    const later = Array.from({ length: 50 }, (_, i) => sealed(journal, evidence(`later ${i}`)));
    await first;
    await Promise.all(later);
    assert.ok(journal.reader.batchCount() <= 3, `${journal.reader.batchCount()} batches`);
  });

  it("has the batch in the journal when a caller is answered", async (t) => {
    const journal = await openTestJournal(t, temporaryFolder(t));
    const result = await sealed(journal, evidence("durable"));
    const batch = journal.reader.batchByLeafHash(result.leafHash);
    assert.deepEqual(batch?.records.map(toHex), [toHex(utf8("durable"))]);
    assert.deepEqual(batch?.place, { stage: "sealed" });
  });

  it("keeps governance and evidence in batches of their own", async (t) => {
    const journal = await openTestJournal(t, temporaryFolder(t));
    const kinds = ["governance", "evidence", "governance", "evidence"] as const;
    const results = await Promise.all(
      kinds.map((kind, i) => sealed(journal, evidence(`${kind} ${i}`, { kind }))),
    );
    assert.equal(
      toHex(results[0]?.leafHash as Uint8Array),
      toHex(results[2]?.leafHash as Uint8Array),
    );
    assert.equal(
      toHex(results[1]?.leafHash as Uint8Array),
      toHex(results[3]?.leafHash as Uint8Array),
    );
    assert.equal(journal.reader.batchCount(), 2);
  });

  it("names the seen checkpoint of the closing turn and goes on from it after a restart", async (t) => {
    const folder = temporaryFolder(t);
    let seen: Seen = { size: 5n, root: new Uint8Array(32).fill(5) };
    const first = await openJournal(journalOptions(folder, { seen: () => seen }));
    const result = await sealed(first, evidence("a"));
    assert.equal(openLeaf(result.leaf).header.seenSize, 5n);
    await first.close();
    seen = { size: 4n, root: new Uint8Array(32).fill(4) };
    const second = await openTestJournal(t, folder, { seen: () => seen });
    assert.equal(second.tipAtStart?.seenSize, 5n);
    await assert.rejects(second.sealer.seal(evidence("b")), code("LEDGER_BEHIND"));
    seen = { size: 5n, root: new Uint8Array(32).fill(6) };
    await assert.rejects(second.sealer.seal(evidence("c")), code("LEDGER_FORK"));
    seen = { size: 6n, root: new Uint8Array(32).fill(6) };
    const next = openLeaf((await sealed(second, evidence("d"))).leaf).header;
    assert.equal(next.seenSize, 6n);
    assert.equal(next.seq, 1n);
    assert.equal(toHex(next.prev), toHex(result.leafHash));
    assert.notEqual(toHex(next.boot), toHex(openLeaf(result.leaf).header.boot));
  });
});

describe("the recheck in the closing turn", () => {
  it("sees what the header will say", async (t) => {
    const { clock, journal } = await withSetClock(t, {
      seen: () => ({ size: 9n, root: new Uint8Array(32).fill(9) }),
    });
    const calls: [bigint, number][] = [];
    const result = await sealed(
      journal,
      evidence("a", {
        recheck: (seen, closedAtMs) => {
          calls.push([seen.size, closedAtMs]);
          return { kind: "stands" };
        },
      }),
    );
    const { header } = openLeaf(result.leaf);
    assert.deepEqual(calls, [[header.seenSize, Number(header.sealedAt)]]);
    assert.equal(Number(header.sealedAt), clock.ms);
  });

  it("replaces a record and its states", async (t) => {
    const journal = await openTestJournal(t, temporaryFolder(t));
    const result = await sealed(
      journal,
      evidence("receipt", {
        states: [{ key: "attempt/1", value: utf8("released") }],
        recheck: () => ({
          kind: "replaced",
          record: utf8("refusal"),
          states: [{ key: "attempt/1", value: utf8("refused") }],
        }),
      }),
    );
    assert.equal(result.replaced, true);
    assert.equal(toHex(result.record), toHex(utf8("refusal")));
    assertProof(result);
    assert.equal(toHex(journal.reader.state("attempt/1") as Uint8Array), toHex(utf8("refused")));
  });

  it("drops a record, seals the others and leaves no trace of it", async (t) => {
    const journal = await openTestJournal(t, temporaryFolder(t));
    const [dropped, kept] = await Promise.all([
      journal.sealer.seal(
        evidence("gone", {
          states: [{ key: "gone", value: utf8("x") }],
          recheck: () => ({ kind: "dropped" }),
        }),
      ),
      sealed(journal, evidence("kept")),
    ]);
    assert.equal(dropped, undefined);
    assert.equal(openLeaf(kept.leaf).header.count, 1);
    assert.equal(journal.reader.state("gone"), undefined);
  });

  it("seals no batch when it drops every record", async (t) => {
    const journal = await openTestJournal(t, temporaryFolder(t));
    const recheck = (): { kind: "dropped" } => ({ kind: "dropped" });
    await Promise.all(["a", "b"].map((text) => journal.sealer.seal(evidence(text, { recheck }))));
    assert.equal(journal.reader.batchCount(), 0);
  });

  it("that throws costs only its own record", async (t) => {
    const journal = await openTestJournal(t, temporaryFolder(t));
    const failing = journal.sealer.seal(
      evidence("a", {
        recheck: () => {
          throw new TypeError("no such grant");
        },
      }),
    );
    const other = sealed(journal, evidence("b"));
    await assert.rejects(failing, new TypeError("no such grant"));
    assert.equal(openLeaf((await other).leaf).header.count, 1);
  });

  it("that queues a record has it sealed in a later batch", async (t) => {
    const journal = await openTestJournal(t, temporaryFolder(t));
    let nested: Promise<SealedRecord> | undefined;
    const outer = await sealed(
      journal,
      evidence("outer", {
        recheck: () => {
          nested = sealed(journal, evidence("nested"));
          return { kind: "stands" };
        },
      }),
    );
    assert.equal(openLeaf((await (nested as Promise<SealedRecord>)).leaf).header.seq, 1n);
    assert.equal(openLeaf(outer.leaf).header.count, 1);
  });
});

describe("what is not sealed", () => {
  it("is BUSY past the queue's bytes, and again taken once it drained", async (t) => {
    const journal = await openTestJournal(t, temporaryFolder(t), { queueBytesMax: 1000 });
    const record = new Uint8Array(400).fill(1);
    const two = [evidence("", { record }), evidence("", { record })].map((one) =>
      sealed(journal, one),
    );
    await assert.rejects(journal.sealer.seal(evidence("", { record })), code("BUSY"));
    await Promise.all(two);
    assertProof(await sealed(journal, evidence("", { record })));
  });

  it("is TOO_LARGE when it fits no batch", async (t) => {
    const journal = await openTestJournal(t, temporaryFolder(t));
    const record = new Uint8Array(512 * 1024 + 1);
    await assert.rejects(journal.sealer.seal(evidence("", { record })), code("TOO_LARGE"));
    assertProof(await sealed(journal, evidence("", { record: record.subarray(1) })));
  });

  it("waits under a halt's reason until it is lifted", async (t) => {
    const journal = await openTestJournal(t, temporaryFolder(t));
    const waiting = journal.sealer.seal(evidence("a"));
    journal.halt("JOURNAL_ROLLED_BACK");
    await assert.rejects(waiting, code("JOURNAL_ROLLED_BACK"));
    await assert.rejects(journal.sealer.seal(evidence("b")), code("JOURNAL_ROLLED_BACK"));
    journal.lift("JOURNAL_ROLLED_BACK");
    assertProof(await sealed(journal, evidence("c")));
  });

  it("is SHUTTING_DOWN after a close, which seals what was queued before", async (t) => {
    const folder = temporaryFolder(t);
    const journal = await openJournal(journalOptions(folder));
    const before = sealed(journal, evidence("before"));
    const closed = journal.close();
    await assert.rejects(journal.sealer.seal(evidence("after")), code("SHUTTING_DOWN"));
    const { leafHash } = await before;
    await closed;
    const again = await openTestJournal(t, folder);
    assert.equal(toHex(again.tipAtStart?.leafHash as Uint8Array), toHex(leafHash));
  });
});

describe("the clock", () => {
  it("is held at its last value when it steps back by half a second", async (t) => {
    const { clock, journal } = await withSetClock(t);
    const before = openLeaf((await sealed(journal, evidence("a", { decidedAtMs: clock.ms }))).leaf);
    clock.ms -= 500;
    const after = openLeaf((await sealed(journal, evidence("b", { decidedAtMs: clock.ms }))).leaf);
    assert.equal(after.header.sealedAt, before.header.sealedAt);
    assert.equal(Number(after.header.firstAt), clock.ms);
  });

  it("is CLOCK_OFF when it steps back by five seconds, until it has caught up", async (t) => {
    const { clock, folder, journal } = await withSetClock(t);
    await sealed(journal, evidence("a"));
    clock.ms -= 5000;
    await assert.rejects(journal.sealer.seal(evidence("b")), code("CLOCK_OFF"));
    await journal.close();
    const again = await openTestJournal(t, folder, { clock });
    await assert.rejects(again.sealer.seal(evidence("c")), code("CLOCK_OFF"));
    clock.ms += 4000;
    assertProof(await sealed(again, evidence("d")));
  });

  it("gives first_at the earliest decision and never one after the seal", async (t) => {
    const { clock, journal } = await withSetClock(t);
    const times = [clock.ms - 30, clock.ms - 70, clock.ms + 400];
    const [one] = await Promise.all(
      times.map((decidedAtMs, i) => sealed(journal, evidence(`r${i}`, { decidedAtMs }))),
    );
    const { header } = openLeaf((one as SealedRecord).leaf);
    assert.equal(Number(header.firstAt), clock.ms - 70);
    assert.equal(Number(header.sealedAt), clock.ms + 400);
  });
});

describe("states", () => {
  it("change with the record that causes them, and are read by prefix after a restart", async (t) => {
    const folder = temporaryFolder(t);
    const first = await openJournal(journalOptions(folder));
    const put = (key: string): QueuedRecord =>
      evidence(key, { states: [{ key, value: utf8(key) }] });
    await Promise.all(
      ["open/b", "open/a", "opened", "other/c"].map((key) => sealed(first, put(key))),
    );
    await sealed(first, evidence("closing", { states: [{ key: "open/b" }] }));
    first.saveStates([{ key: "scan", value: utf8("17") }]);
    await first.close();
    const second = await openTestJournal(t, folder);
    const keys = (prefix: string): string[] => second.reader.states(prefix).map(({ key }) => key);
    assert.deepEqual(keys("open/"), ["open/a"]);
    assert.deepEqual(keys("open"), ["open/a", "opened"]);
    assert.deepEqual(keys(""), ["open/a", "opened", "other/c", "scan"]);
  });
});

describe("places", () => {
  it("move from sealed to final, and a final one never back", async (t) => {
    const folder = temporaryFolder(t);
    const journal = await openJournal(journalOptions(folder));
    const results = [await sealed(journal, evidence("a")), await sealed(journal, evidence("b"))];
    journal.mark({ number: 0, stage: "submitted" });
    journal.mark({ number: 0, stage: "included", index: 41n, term: 0n });
    journal.mark({ number: 0, stage: "final", index: 41n, term: 0n, finalSize: 44n });
    journal.mark({ number: 0, stage: "submitted" });
    journal.mark({ number: 1, stage: "included", index: 42n, term: 0n });
    await journal.close();
    const { reader } = await openTestJournal(t, folder);
    assert.equal(reader.finalCount(), 1);
    const first = reader.batchByLeafHash(results[0]?.leafHash as Uint8Array);
    assert.deepEqual(first?.place, { stage: "final", index: 41n, term: 0n, finalSize: 44n });
    assert.equal(reader.batchByLeafHash(results[1]?.leafHash as Uint8Array)?.number, 1);
    assert.deepEqual(reader.unfinished(), [{ number: 1, stage: "included", index: 42n, term: 0n }]);
    assert.equal(reader.batchAt({ epoch: 0n, seq: 1n })?.number, 1);
    assert.equal(reader.batchAt({ epoch: 1n, seq: 0n }), undefined);
    assert.deepEqual(
      reader.newest({ countMax: 9, before: 1 }).map(({ number }) => number),
      [0],
    );
  });
});

describe("a journal", () => {
  it("is JOURNAL_LOCKED for a second opening in this process", async (t) => {
    const folder = temporaryFolder(t);
    const journal = await openTestJournal(t, folder);
    await assert.rejects(openJournal(journalOptions(folder)), code("JOURNAL_LOCKED"));
    assertProof(await sealed(journal, evidence("still sealing")));
  });

  it("is JOURNAL_LOCKED for another process", async (t) => {
    const folder = temporaryFolder(t);
    const journal = await openTestJournal(t, folder);
    const main = fileURLToPath(new URL("./sealing-main.js", import.meta.url));
    const { stdout } = spawnSync(process.execPath, [main, folder, "1"], { encoding: "utf8" });
    assert.equal(stdout, "refused JOURNAL_LOCKED\n");
    assertProof(await sealed(journal, evidence("still sealing")));
  });

  for (const [what, overrides] of [
    ["gateway", { gateway: "hangzhou/market-regulation/gw2" }],
    ["network", { network: new Uint8Array(32) }],
    ["key", { batchKeySeed: new Uint8Array(32).fill(4) }],
  ] as const) {
    it(`is JOURNAL_MISMATCH under another ${what}`, async (t) => {
      const folder = temporaryFolder(t);
      await (await openJournal(journalOptions(folder))).close();
      await assert.rejects(
        openJournal(journalOptions(folder, overrides)),
        code("JOURNAL_MISMATCH"),
      );
      await openTestJournal(t, folder);
    });
  }

  it("is JOURNAL_MISMATCH when a boot comes back or the epoch goes back", async (t) => {
    const folder = temporaryFolder(t);
    const options = journalOptions(folder, { epoch: 2n });
    const journal = await openJournal(options);
    await sealed(journal, evidence("a"));
    await journal.close();
    await assert.rejects(openJournal(options), code("JOURNAL_MISMATCH"));
    await assert.rejects(
      openJournal(journalOptions(folder, { epoch: 1n })),
      code("JOURNAL_MISMATCH"),
    );
  });

  it("begins a later epoch at seq 0 on the last leaf", async (t) => {
    const folder = temporaryFolder(t);
    const first = await openJournal(journalOptions(folder));
    const last = await sealed(first, evidence("a"));
    await first.close();
    const second = await openTestJournal(t, folder, { epoch: 3n });
    const { header } = openLeaf((await sealed(second, evidence("b"))).leaf);
    assert.equal(header.epoch, 3n);
    assert.equal(header.seq, 0n);
    assert.equal(toHex(header.prev), toHex(last.leafHash));
    assert.equal(second.reader.batchAt({ epoch: 3n, seq: 0n })?.number, 1);
  });

  it("runs on WAL with every commit synced", async (t) => {
    const folder = temporaryFolder(t);
    await openTestJournal(t, folder);
    const db = new Database(join(folder, "journal.db"), { readonly: true });
    t.after(() => db.close());
    assert.equal(db.pragma("journal_mode", { simple: true }), "wal");
  });
});

describe("a damaged journal is STORAGE_FAILED:", () => {
  const damages: readonly (readonly [string, string])[] = [
    ["a changed record at the tip", "UPDATE batches SET body = X'0000000178' WHERE number = 2"],
    ["a missing batch below the tip", "DELETE FROM batches WHERE number = 1"],
    ["a missing first batch", "DELETE FROM batches WHERE number = 0"],
    ["another leaf hash", "UPDATE batches SET leaf_hash = zeroblob(32) WHERE number = 1"],
    ["another sequence number", "UPDATE batches SET seq = 7 WHERE number = 1"],
    ["a leaf cut short", "UPDATE batches SET leaf = X'00' WHERE number = 1"],
    [
      "a changed signature at the tip",
      `UPDATE batches SET leaf = CAST(zeroblob(64) || substr(leaf, 65) AS BLOB) WHERE number = 2`,
    ],
    [
      "two batches exchanged",
      `UPDATE batches SET number = -1 WHERE number = 0;
       UPDATE batches SET number = 0 WHERE number = 1;
       UPDATE batches SET number = 1 WHERE number = -1`,
    ],
  ];
  for (const [what, sql] of damages) {
    it(what, async (t) => {
      const folder = temporaryFolder(t);
      const journal = await openJournal(journalOptions(folder));
      for (const text of ["a", "b", "c"]) await sealed(journal, evidence(text));
      await journal.close();
      const db = new Database(join(folder, "journal.db"));
      db.exec(sql);
      db.close();
      await assert.rejects(openTestJournal(t, folder), code("STORAGE_FAILED"));
    });
  }
});
