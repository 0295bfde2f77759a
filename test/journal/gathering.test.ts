import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { sealExpectMs, sealGatherMs, sealTogetherMin } from "../../src/base/limits.ts";
import type { Journal } from "../../src/ledger/journal/journal.ts";
import type { SealedRecord } from "../../src/ledger/ports.ts";
import { openTestJournal, SetClock, temporaryFolder } from "./support.ts";

interface Gathered {
  readonly journal: Journal;
  readonly clock: SetClock;
  /** Ends the waiting for more records. */
  readonly endWait: () => void;
  readonly waits: () => number;
  readonly seal: (kind?: "evidence" | "governance") => Promise<SealedRecord | undefined>;
}

/** A journal whose waiting for more records ends when the test says so. */
async function gathering(t: TestContext): Promise<Gathered> {
  const clock = new SetClock();
  const waits = new Set<() => void>();
  const scheduler = {
    after: (delayMs: number, run: () => void): (() => void) => {
      if (delayMs !== sealGatherMs) return () => undefined;
      waits.add(run);
      return () => void waits.delete(run);
    },
  };
  const journal = await openTestJournal(t, temporaryFolder(t), { clock, scheduler });
  let sealed = 0;
  return {
    journal,
    clock,
    endWait: () => {
      const [run] = waits;
      assert.ok(run !== undefined, "nothing waits");
      waits.delete(run);
      run();
    },
    waits: () => waits.size,
    seal: (kind = "evidence") => {
      const record = utf8(`record ${sealed++}`);
      return journal.sealer.seal({ kind, record, decidedAtMs: clock.ms, states: [] });
    },
  };
}

/** Begins to expect records; each has an end of its own. */
function expected(journal: Journal, count: number): (() => void)[] {
  return Array.from({ length: count }, () => journal.expected.expect());
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a batch and the records that are expected", () => {
  it("is sealed at once when nothing is expected", async (t) => {
    const { journal, seal, waits } = await gathering(t);
    await seal();
    assert.equal(waits(), 0);
    assert.equal(journal.reader.batchCount(), 1);
  });

  it("waits until the last expected record is queued, and holds all of them", async (t) => {
    const { journal, seal, waits } = await gathering(t);
    const [last, ...others] = expected(journal, sealTogetherMin);
    const records = [seal()];
    for (const arrived of others) {
      records.push(seal());
      arrived();
    }
    await turn();
    assert.equal(journal.reader.batchCount(), 0, "one is still expected");
    records.push(seal());
    last?.();
    const leaves = await Promise.all(records);
    assert.equal(new Set(leaves.map((one) => one?.leaf)).size, 1);
    assert.equal(journal.reader.batchCount(), 1);
    assert.equal(waits(), 0, "the wait ends with the batch");
  });

  it("is sealed at once when it would be a few records together", async (t) => {
    const { journal, seal, waits } = await gathering(t);
    expected(journal, sealTogetherMin - 2);
    await seal();
    assert.equal(waits(), 0);
  });

  it("waits no longer than it may for what does not come", async (t) => {
    const { journal, seal, endWait } = await gathering(t);
    const ends = expected(journal, sealTogetherMin);
    const record = seal();
    await turn();
    assert.equal(journal.reader.batchCount(), 0);
    endWait();
    await record;
    assert.equal(journal.reader.batchCount(), 1);
    const next = seal();
    await turn();
    assert.equal(journal.reader.batchCount(), 1, "the next batch waits again");
    for (const end of ends) end();
    await next;
  });

  it("does not wait for what has been expected for long", async (t) => {
    const { clock, journal, seal, waits } = await gathering(t);
    expected(journal, sealTogetherMin);
    clock.ms += sealExpectMs;
    await seal();
    assert.equal(waits(), 0);
  });

  it("does not wait with a record of governance", async (t) => {
    const { journal, seal, waits } = await gathering(t);
    expected(journal, sealTogetherMin);
    await seal("governance");
    assert.equal(waits(), 0);
  });

  it("is sealed when the journal closes", async (t) => {
    const { journal, seal } = await gathering(t);
    expected(journal, sealTogetherMin);
    const record = seal();
    await turn();
    await journal.close();
    assert.ok((await record) !== undefined);
  });

  it("has waited already when it was gathered behind a batch that was being written", async (t) => {
    const { journal, seal, endWait } = await gathering(t);
    const first = seal();
    await turn();
    expected(journal, sealTogetherMin);
    const second = seal();
    endWait();
    await Promise.all([first, second]);
    assert.equal(journal.reader.batchCount(), 2);
  });
});
