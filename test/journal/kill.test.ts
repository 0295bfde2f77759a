import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { parseUtf8, toHex } from "../../src/base/bytes.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import type { Journal } from "../../src/ledger/journal/journal.ts";
import { openJournal } from "../../src/ledger/journal/sealer.ts";
import { openLeaf, verifyLeaf } from "../../src/record/leaf.ts";
import { batchKey, journalOptions, temporaryFolder } from "./support.ts";

const main = fileURLToPath(new URL("./sealing-main.js", import.meta.url));
const killMain = fileURLToPath(new URL("./kill-main.js", import.meta.url));

interface Run {
  readonly child: ChildProcess;
  output(): string;
  until(pattern: RegExp): Promise<void>;
  readonly ended: Promise<void>;
}

function start(t: TestContext, script: string, ...args: string[]): Run {
  const child = spawn(process.execPath, [script, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  let output = "";
  const waiters = new Set<() => void>();
  child.stdout.on("data", (chunk: Buffer) => {
    output += chunk.toString();
    for (const check of waiters) check();
  });
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  return {
    child,
    output: () => output,
    ended,
    until: (pattern) =>
      new Promise((resolve) => {
        const check = (): void => {
          if (!pattern.test(output)) return;
          waiters.delete(check);
          resolve();
        };
        waiters.add(check);
        check();
      }),
  };
}

/** `<handle> <record>` of each complete line that the program printed. */
function printed(run: Run): readonly string[] {
  const lines = run.output().split("\n").slice(0, -1);
  return lines.filter((line) => /^[0-9a-f]{64}\/\d+ /.test(line));
}

/** Every record of the chain with its handle, after checking the chain from its first leaf on. */
function readChain(journal: Journal): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const verifier = createNodeVerifier();
  let prev = "00".repeat(32);
  for (let number = 0; number < journal.reader.batchCount(); number++) {
    const batch = journal.reader.batch(number);
    assert.ok(batch !== undefined, `batch ${number} is missing`);
    const leaf = openLeaf(batch.leaf);
    verifyLeaf({ leaf, publicKey: batchKey, verifier });
    assert.equal(toHex(leaf.header.prev), prev);
    assert.equal(leaf.header.seq, BigInt(number));
    assert.equal(leaf.header.count, batch.records.length);
    prev = toHex(leaf.leafHash);
    for (const [position, record] of batch.records.entries()) {
      const text = parseUtf8(record) as string;
      assert.ok(!found.has(text), `${text} stands twice`);
      found.set(text, `${prev}/${position}`);
    }
  }
  return found;
}

describe("SIGKILL", () => {
  it("at any moment loses no record that a caller was told of, and leaves a chain without a gap", async (t) => {
    const folder = temporaryFolder(t);
    const told: string[] = [];
    let seed = 42;
    for (let round = 0; round < 10; round++) {
      const run = start(t, main, folder, String(1 + (round % 3) * 20));
      await run.until(/ready/);
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      await new Promise((resolve) => setTimeout(resolve, 5 + (seed % 120)));
      run.child.kill("SIGKILL");
      await run.ended;
      told.push(...printed(run));
      const journal = await openJournal(journalOptions(folder));
      const found = readChain(journal);
      for (const line of told) {
        const [handle, text] = line.split(" ") as [string, string];
        assert.equal(found.get(text), handle);
      }
      // The state that commits with a record is there exactly when the record is.
      const states = journal.reader
        .states("sealed/")
        .map(({ value }) => parseUtf8(value) as string);
      assert.deepEqual(states, [...found.keys()].sort());
      await journal.close();
    }
    assert.ok(told.length > 0, "no record was sealed before a kill");
  });

  it("between close and commit leaves nothing of the batch", async (t) => {
    const folder = temporaryFolder(t);
    const run = start(t, killMain, folder, "before-commit");
    await run.until(/standing before-commit/);
    run.child.kill("SIGKILL");
    await run.ended;
    const journal = await openJournal(journalOptions(folder));
    t.after(() => journal.close());
    assert.deepEqual([...readChain(journal).keys()], ["first"]);
    assert.deepEqual(printed(run).length, 1);
  });

  it("between commit and release leaves a batch that the next start submits", async (t) => {
    const folder = temporaryFolder(t);
    const run = start(t, killMain, folder, "before-release");
    await run.until(/standing before-release/);
    run.child.kill("SIGKILL");
    await run.ended;
    const journal = await openJournal(journalOptions(folder));
    t.after(() => journal.close());
    assert.deepEqual([...readChain(journal).keys()], ["first", "second"]);
    assert.equal(printed(run).length, 1);
    assert.deepEqual(journal.reader.unfinished(), [
      { number: 0, stage: "sealed" },
      { number: 1, stage: "sealed" },
    ]);
  });
});

describe("a disk that fails at the commit", () => {
  it("ends the process, and nobody was told of the record", async (t) => {
    const folder = temporaryFolder(t);
    const run = start(t, killMain, folder, "commit-fails");
    await run.ended;
    assert.equal(run.child.exitCode, 70);
    assert.match(run.output(), /fatal STORAGE_FAILED/);
    assert.equal(printed(run).length, 1);
    const journal = await openJournal(journalOptions(folder));
    t.after(() => journal.close());
    assert.deepEqual([...readChain(journal).keys()], ["first"]);
  });

  it("ends the process also when the batch became durable all the same", async (t) => {
    const folder = temporaryFolder(t);
    const run = start(t, killMain, folder, "commit-unknown");
    await run.ended;
    assert.equal(run.child.exitCode, 70);
    assert.equal(printed(run).length, 1);
    const journal = await openJournal(journalOptions(folder));
    t.after(() => journal.close());
    assert.deepEqual([...readChain(journal).keys()], ["first", "second"]);
  });

  it("ends the process when the worker itself dies", async (t) => {
    const run = start(t, killMain, temporaryFolder(t), "worker-dies");
    await run.ended;
    assert.equal(run.child.exitCode, 70);
    assert.match(run.output(), /fatal STORAGE_FAILED/);
    assert.equal(printed(run).length, 1);
  });
});
