import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { toHex, utf8 } from "../../src/base/bytes.ts";
import type { Scheduler } from "../../src/base/clock.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { submitGatherMs } from "../../src/base/limits.ts";
import type { Journal } from "../../src/ledger/journal/journal.ts";
import { openJournal } from "../../src/ledger/journal/sealer.ts";
import { startSubmitter, type Submitter } from "../../src/ledger/journal/submitter.ts";
import type {
  Engine,
  FinalCheckpoint,
  IncludedBatch,
  SealedBatch,
  SubmitResult,
} from "../../src/ledger/ports.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { journalOptions, openTestJournal, realScheduler, temporaryFolder } from "./support.ts";

/** A ledger of one chain that takes batches in order, beside the replica that follows it. */
class Ledger implements Pick<Engine, "submit"> {
  readonly leaves: string[] = [];
  failures = 0;
  refusal: SubmitResult | undefined;
  #final: FinalCheckpoint | undefined;
  term = 0n;
  readonly #listeners = new Set<(checkpoint: FinalCheckpoint) => void>();
  readonly #included = new Set<() => void>();

  submit(batch: SealedBatch): Promise<SubmitResult> {
    if (this.failures-- > 0) {
      return Promise.reject(new CausewayError("LEDGER_UNAVAILABLE", "away"));
    }
    if (this.refusal !== undefined) return Promise.resolve(this.refusal);
    const { leafHash, header } = openLeaf(batch.leaf);
    const hash = toHex(leafHash);
    if (!this.leaves.includes(hash)) {
      if (header.seq !== BigInt(this.leaves.length)) {
        return Promise.resolve({ kind: "rejected", reason: "CHAIN_GAP", atSize: 0n });
      }
      this.leaves.push(hash);
    }
    return Promise.resolve({ kind: "included", index: BigInt(this.leaves.indexOf(hash)) });
  }

  finalise(): void {
    const empty = new Uint8Array();
    const size = BigInt(this.leaves.length);
    const checkpoint = { size, root: empty, note: empty, timeMs: 0 };
    this.#final = checkpoint;
    for (const listener of this.#listeners) listener(checkpoint);
  }

  final(): FinalCheckpoint | undefined {
    return this.#final;
  }

  onFinal(listener: (checkpoint: FinalCheckpoint) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onIncluded(listener: (batch: IncludedBatch) => void): () => void {
    const told = (): void => listener(undefined as unknown as IncludedBatch);
    this.#included.add(told);
    return () => this.#included.delete(told);
  }

  /** Another sequencer goes on from what is final, and its first leaf is included. */
  changeTerm(): void {
    this.leaves.length = Number(this.#final?.size ?? 0n);
    this.term += 1n;
    for (const told of this.#included) told();
  }

  indexOfLeaf(leafHash: Uint8Array): bigint | undefined {
    const index = this.leaves.indexOf(toHex(leafHash));
    return index < 0 ? undefined : BigInt(index);
  }

  frozenNote(): FinalCheckpoint | undefined {
    return this.#final;
  }
}

function submitTo(
  ledger: Ledger,
  journal: Journal,
  onRefused?: (reason: string) => void,
  scheduler: Scheduler = realScheduler,
): Submitter {
  return startSubmitter({
    journal,
    engine: ledger,
    replica: ledger,
    scheduler,
    term: () => ledger.term,
    onRefused: ({ number, reason }) => {
      if (onRefused === undefined) assert.fail(`${number} was refused: ${reason}`);
      onRefused(`${number} ${reason}`);
    },
  });
}

async function seal(journal: Journal, ...texts: readonly string[]): Promise<void> {
  for (const text of texts) {
    const record = utf8(text);
    await journal.sealer.seal({ kind: "evidence", record, decidedAtMs: 0, states: [] });
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 500; i++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail("it does not come about");
}

async function started(t: TestContext, ledger: Ledger): Promise<[Journal, Submitter]> {
  const journal = await openTestJournal(t, temporaryFolder(t));
  const submitter = submitTo(ledger, journal);
  t.after(() => submitter.stop());
  return [journal, submitter];
}

describe("the submitter", () => {
  it("brings batches to a ledger that was away, and lets go of them when they are final", async (t) => {
    const ledger = new Ledger();
    ledger.failures = 4;
    const [journal, submitter] = await started(t, ledger);
    await seal(journal, "a", "b", "c");
    await until(() => ledger.leaves.length === 3);
    assert.equal(submitter.unfinishedCount(), 3);
    ledger.finalise();
    assert.equal(submitter.unfinishedCount(), 0);
  });

  it("submits the first batch after a pause at once, and together what is sealed soon after it", async (t) => {
    const ledger = new Ledger();
    const journal = await openTestJournal(t, temporaryFolder(t));
    const gathered: (() => void)[] = [];
    const submitter = submitTo(ledger, journal, undefined, {
      after: (delayMs, run) => {
        if (delayMs !== submitGatherMs) return realScheduler.after(delayMs, run);
        gathered.push(run);
        return () => undefined;
      },
    });
    t.after(() => submitter.stop());
    await seal(journal, "a");
    assert.equal(ledger.leaves.length, 1);
    await seal(journal, "b", "c");
    assert.equal(ledger.leaves.length, 1);
    assert.equal(submitter.unfinishedCount(), 3);
    assert.equal(gathered.length, 1);
    gathered.shift()?.();
    assert.equal(ledger.leaves.length, 3);
    gathered.shift()?.();
    await seal(journal, "d");
    assert.equal(ledger.leaves.length, 4);
  });

  it("submits after a restart what an earlier process left, and finds what is final by itself", async (t) => {
    const folder = temporaryFolder(t);
    const ledger = new Ledger();
    const first = await openJournal(journalOptions(folder));
    const before = submitTo(ledger, first);
    await seal(first, "a");
    await until(() => ledger.leaves.length === 1);
    before.stop();
    await seal(first, "b", "c");
    await first.close();
    ledger.finalise();
    const second = await openTestJournal(t, folder);
    assert.equal(second.reader.finalCount(), 0);
    const after = submitTo(ledger, second);
    t.after(() => after.stop());
    await until(() => ledger.leaves.length === 3);
    ledger.finalise();
    await until(() => second.reader.finalCount() === 3);
    assert.deepEqual(second.reader.unfinished(), []);
    assert.deepEqual(second.reader.batch(1)?.place, {
      stage: "final",
      index: 1n,
      term: 0n,
      finalSize: 3n,
    });
  });

  it("submits again in a new term what was included and not final, and keeps what is final", async (t) => {
    const ledger = new Ledger();
    const [journal, submitter] = await started(t, ledger);
    await seal(journal, "a");
    await until(() => ledger.leaves.length === 1);
    ledger.finalise();
    await seal(journal, "b", "c");
    await until(() => journal.reader.batch(2)?.place.stage === "included");
    ledger.changeTerm();
    await until(() => ledger.leaves.length === 3);
    await until(() => journal.reader.batch(2)?.place.term === 1n);
    assert.deepEqual(journal.reader.batch(2)?.place, { stage: "included", index: 2n, term: 1n });
    assert.equal(journal.reader.batch(0)?.place.term, 0n);
    assert.equal(submitter.unfinishedCount(), 2);
  });

  it("halts sealing with the ledger's reason when the own batch is refused", async (t) => {
    const ledger = new Ledger();
    ledger.refusal = { kind: "rejected", reason: "CHAIN_FORK", atSize: 7n };
    const journal = await openTestJournal(t, temporaryFolder(t));
    const refusals: string[] = [];
    const submitter = submitTo(ledger, journal, (refusal) => refusals.push(refusal));
    t.after(() => submitter.stop());
    await seal(journal, "a");
    await until(() => refusals.length > 0);
    assert.deepEqual(refusals, ["0 CHAIN_FORK"]);
    await assert.rejects(
      seal(journal, "b"),
      (error) => error instanceof CausewayError && error.code === "CHAIN_FORK",
    );
  });
});
