/** Journals that are written again, in new epochs and under new batch keys. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import Database from "better-sqlite3";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { createEd25519KeyPair, createNodeVerifier } from "../../src/crypto/node.ts";
import type { Journal } from "../../src/ledger/journal/journal.ts";
import { openJournal } from "../../src/ledger/journal/sealer.ts";
import { inspectJournal } from "../../src/ledger/journal/sqlite-inspect.ts";
import { rebuildJournal } from "../../src/ledger/journal/sqlite-rebuild.ts";
import { openSqliteJournalReader } from "../../src/ledger/journal/sqlite-reader.ts";
import { keyDigest, openLeaf } from "../../src/record/leaf.ts";
import { chainOf, rebuiltIdentity } from "./rebuilt-chain.ts";
import { batchKey, journalOptions, temporaryFolder } from "./support.ts";

const verifier = createNodeVerifier();

function code(expected: string): (error: unknown) => boolean {
  return (error) => error instanceof CausewayError && error.code === expected;
}

async function seal(journal: Journal, ...texts: readonly string[]): Promise<void> {
  for (const text of texts) {
    const record = utf8(text);
    await journal.sealer.seal({ kind: "evidence", record, decidedAtMs: 0, states: [] });
  }
}

/** A journal of these texts, one batch each, that stands for the ledger. */
async function sealed(
  folder: string,
  name: string,
  texts: readonly string[],
  epoch?: bigint,
): Promise<void> {
  const options = { path: join(folder, name), ...(epoch === undefined ? {} : { epoch }) };
  const journal = await openJournal(journalOptions(folder, options));
  await seal(journal, ...texts);
  await journal.close();
}

function rebuild(folder: string): ReturnType<typeof rebuildJournal> {
  return rebuildJournal({
    path: join(folder, "journal.db"),
    identity: rebuiltIdentity,
    verifier,
    batches: chainOf(join(folder, "ledger.db")),
    awaitedEpoch: 2n,
  });
}

describe("epochs of a journal", () => {
  it("go on where the newest one was, unless another is asked for", async (t) => {
    const folder = temporaryFolder(t);
    await sealed(folder, "journal.db", ["a", "b"]);
    await sealed(folder, "journal.db", ["c"], 3n);
    const journal = await openJournal(journalOptions(folder));
    assert.equal(journal.epoch, 3n);
    await seal(journal, "d");
    const places = [0, 1, 2, 3].map((number) => {
      const batch = journal.reader.batch(number);
      return `${batch?.epoch}/${batch?.seq}`;
    });
    assert.deepEqual(places, ["0/0", "0/1", "3/0", "3/1"]);
    const first = openLeaf(journal.reader.batch(2)?.leaf as Uint8Array).header;
    assert.equal(toHex(first.prev), toHex(journal.reader.leafHash(1) as Uint8Array));
    await journal.close();
    await assert.rejects(
      openJournal(journalOptions(folder, { epoch: 2n })),
      code("JOURNAL_MISMATCH"),
    );
  });
});

describe("the batch key of a journal", () => {
  const newSeed = new Uint8Array(32).fill(8);
  const newKey = createEd25519KeyPair(newSeed).publicKey;
  const bound = { batchKeySeed: newSeed, otherBatchKeys: [batchKey, newKey] };

  it("is followed by another one that the ledger binds, and the chain goes on", async (t) => {
    const folder = temporaryFolder(t);
    await sealed(folder, "journal.db", ["a"]);
    const journal = await openJournal(journalOptions(folder, bound));
    await seal(journal, "b");
    await journal.close();
    const again = await openJournal(journalOptions(folder, bound));
    const keys = [0, 1].map((n) =>
      toHex(openLeaf(again.reader.batch(n)?.leaf as Uint8Array).header.key),
    );
    assert.deepEqual(
      keys,
      [batchKey, newKey].map((key) => toHex(keyDigest(key))),
    );
    await again.close();
  });

  it("does not come back once it was followed", async (t) => {
    const folder = temporaryFolder(t);
    await sealed(folder, "journal.db", ["a"]);
    await (await openJournal(journalOptions(folder, bound))).close();
    const old = { otherBatchKeys: [batchKey, newKey] };
    await assert.rejects(openJournal(journalOptions(folder, old)), code("JOURNAL_MISMATCH"));
  });

  it("is not followed by one when the ledger binds the first to nobody", async (t) => {
    const folder = temporaryFolder(t);
    await sealed(folder, "journal.db", ["a"]);
    await assert.rejects(
      openJournal(journalOptions(folder, { batchKeySeed: newSeed })),
      code("JOURNAL_MISMATCH"),
    );
  });
});

describe("a journal that is written again", () => {
  it("holds the ledger's chain, and keeps the old one aside byte for byte", async (t) => {
    const folder = temporaryFolder(t);
    await sealed(folder, "ledger.db", ["a", "b"]);
    await sealed(folder, "ledger.db", ["c"], 1n);
    await sealed(folder, "journal.db", ["another past"]);
    const before = readFileSync(join(folder, "journal.db"));
    const { tip, replaced } = rebuild(folder);
    assert.equal(replaced, join(folder, "journal.db.replaced-1"));
    assert.deepEqual(readFileSync(replaced), before);
    assert.deepEqual([tip?.epoch, tip?.seq], [1n, 0n]);
    const reader = openSqliteJournalReader(join(folder, "journal.db"));
    assert.deepEqual([reader.batchCount(), reader.finalCount()], [3, 3]);
    assert.deepEqual(
      chainOf(join(folder, "journal.db")).map(({ leafHash }) => toHex(leafHash)),
      chainOf(join(folder, "ledger.db")).map(({ leafHash }) => toHex(leafHash)),
    );
    assert.deepEqual(
      reader.states("state/").map(({ key }) => key),
      ["state/0", "state/1", "state/2"],
    );
    assert.equal(reader.batchByLeafHash(reader.leafHash(1) as Uint8Array)?.number, 1);
    reader.close();
    assert.equal(rebuild(folder).replaced, join(folder, "journal.db.replaced-2"));
  });

  it("seals nothing before its new epoch, and goes on in that one from then on", async (t) => {
    const folder = temporaryFolder(t);
    await sealed(folder, "ledger.db", ["a"]);
    rebuild(folder);
    const waiting = await openJournal(journalOptions(folder));
    assert.equal(waiting.awaitedEpoch, 2n);
    await assert.rejects(seal(waiting, "b"), code("JOURNAL_ROLLED_BACK"));
    await waiting.close();
    await sealed(folder, "journal.db", ["statement"], 2n);
    const journal = await openJournal(journalOptions(folder));
    assert.deepEqual([journal.epoch, journal.awaitedEpoch], [2n, undefined]);
    await seal(journal, "c");
    assert.deepEqual([journal.reader.tip()?.epoch, journal.reader.tip()?.seq], [2n, 1n]);
    await journal.close();
  });

  it("is refused when what is handed over is no chain of this gateway, and the old one stays", async (t) => {
    const folder = temporaryFolder(t);
    await sealed(folder, "ledger.db", ["a", "b"]);
    await sealed(folder, "journal.db", ["c"]);
    const [, second] = chainOf(join(folder, "ledger.db"));
    assert.throws(
      () =>
        rebuildJournal({
          path: join(folder, "journal.db"),
          identity: rebuiltIdentity,
          verifier,
          batches: second === undefined ? [] : [second],
          awaitedEpoch: 1n,
        }),
      code("STORAGE_FAILED"),
    );
    assert.ok(!existsSync(join(folder, "journal.db.replaced-1")));
  });

  it("does not take a boot again that its chain has used", async (t) => {
    const folder = temporaryFolder(t);
    await sealed(folder, "ledger.db", ["a"]);
    rebuild(folder);
    const boot = chainOf(join(folder, "ledger.db"))[0]?.boot as Uint8Array;
    await assert.rejects(
      openJournal(journalOptions(folder, { boot, epoch: 2n })),
      code("JOURNAL_MISMATCH"),
    );
  });
});

describe("a look into a stopped journal", () => {
  it("tells what it holds, and what stands behind a place", async (t) => {
    const folder = temporaryFolder(t);
    await sealed(folder, "journal.db", ["a", "b", "c"]);
    const journal = inspectJournal(join(folder, "journal.db"), {
      identity: rebuiltIdentity,
      verifier,
    });
    assert.ok(journal.kind === "usable");
    const [first, , third] = chainOf(join(folder, "journal.db"));
    assert.ok(first !== undefined && third !== undefined);
    assert.ok(journal.holds(third));
    assert.ok(!journal.holds({ ...third, leafHash: first.leafHash }));
    assert.equal([...journal.after(first)].length, 2);
    journal.close();
  });

  it("says why it is of no use when it is missing, damaged or half written", async (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, "journal.db");
    const look = (): string => {
      const journal = inspectJournal(path, { identity: rebuiltIdentity, verifier });
      journal.close();
      return journal.kind === "unusable" ? journal.why : "usable";
    };
    assert.match(look(), /no journal/);
    await sealed(folder, "journal.db", ["a", "b"]);
    const db = new Database(path);
    db.exec("UPDATE batches SET leaf_hash = zeroblob(32) WHERE number = 1");
    db.close();
    assert.match(look(), /batch 1/);
  });
});

const script = fileURLToPath(new URL("rebuild-main.js", import.meta.url));

async function run(folder: string, step: string): Promise<string> {
  const child = spawn(process.execPath, [script, folder, step], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  const ended = once(child, "close");
  child.stdout.on("data", (chunk: Buffer) => {
    said += chunk.toString("utf8");
    if (said.includes("standing")) child.kill("SIGKILL");
  });
  await ended;
  return said.trim();
}

describe("a recovery that is killed", () => {
  for (const step of [
    "while it is written",
    "before its last transaction",
    "before move 0",
    "after move 0",
    "before move 1",
    "after move 1",
    "after move 2",
    "after move 3",
  ]) {
    it(`${step} leaves a journal that is not used, and is ended by another run`, async (t) => {
      const folder = temporaryFolder(t);
      await sealed(folder, "ledger.db", ["a", "b", "c"]);
      await sealed(folder, "journal.db", ["another past"]);
      assert.equal(await run(folder, step), `standing ${step}`);
      // The database, its log and the log's index are moved aside; the new one comes last.
      const isReplaced = step === "after move 3";
      const opening = openJournal(journalOptions(folder));
      if (isReplaced) {
        const journal = await opening;
        await assert.rejects(seal(journal, "x"), code("JOURNAL_ROLLED_BACK"));
        await journal.close();
      } else {
        await assert.rejects(opening, code("JOURNAL_ROLLED_BACK"));
      }
      assert.equal(await run(folder, "none"), "done");
      assert.equal(chainOf(join(folder, "journal.db")).length, 3);
      const aside = readdirSync(folder).filter((name) => /replaced-\d+$/.test(name));
      const pasts = aside.map((name) => chainOf(join(folder, name)).length);
      assert.ok(pasts.includes(1), "the old journal is kept");
      assert.ok(!readdirSync(folder).some((name) => name.includes("rebuilt")));
    });
  }
});
