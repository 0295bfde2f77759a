/** Old copies that were put back: each is told by the node itself, or by the first that knows better. */
import assert from "node:assert/strict";
import { copyFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { watchOwnChain } from "../../gateway/own-chain.ts";
import { systemRandom } from "../../gateway/runtime.ts";
import { utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { ledgerFile, witnessFile } from "../../src/ledger/embedded/ledger-node.ts";
import { readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import type { Journal } from "../../src/ledger/journal/journal.ts";
import type { JournalBatch } from "../../src/ledger/journal/store.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";
import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { parseCheckpoint } from "../../src/note/checkpoint.ts";
import { parseNote } from "../../src/note/note.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { equivocationKind } from "../../src/registry/equivocation.ts";
import { openTestJournal } from "../journal/support.ts";
import { statusRecord, TestLedger } from "../support/ledger.ts";
import { batchOf, faultOf, headOf, ScriptedSequencer } from "./scripted-sequencer.ts";
import { type Member, TwoCities, until } from "./support.ts";

/** Copies a closed database, and later puts the copy in its place. */
class Copy {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
    copyFileSync(file, `${file}.old`);
  }

  static of({ folder }: Member, name: string): Copy {
    return new Copy(join(folder, name));
  }

  restore(): void {
    for (const end of ["", "-wal", "-shm"]) rmSync(this.#file + end, { force: true });
    copyFileSync(`${this.#file}.old`, this.#file);
  }
}

/** Both cities have size 1 final; a copy of a file of one of them is taken then, and both go on to size 2. */
async function copied(
  t: TestContext,
  of: "hangzhou" | "shenzhen",
  name: string,
): Promise<{ readonly cities: TwoCities; readonly copy: Copy }> {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  await cities[of].stop();
  const copy = Copy.of(cities[of], name);
  await (of === "hangzhou" ? cities.startSequencer() : cities.startFollower());
  const { batch } = await cities.ledger.appendEvidence(cities.network.provider.gateway);
  await until(() => cities.hangzhou.node?.isSequencer(), "it sequences");
  await cities.hangzhou.running.engine.submit(batch);
  await cities.finalAtBoth(2n);
  await cities[of].stop();
  return { cities, copy };
}

test("an old copy of the sequencer's store is told by a witness: it stops for good before it signs, with both heads", async (t) => {
  const { cities, copy } = await copied(t, "hangzhou", ledgerFile);
  const { hangzhou, shenzhen, ledger, network } = cities;
  const { reader } = shenzhen.running.replica;
  const lost = parseNote(reader.head()?.note as Uint8Array).text;
  copy.restore();
  const { batch } = await ledger.fork().appendEvidence(network.provider.gateway, [statusRecord(3)]);
  for (const start of ["first", "second"]) {
    await cities.startSequencer();
    const isStopped = (): boolean =>
      hangzhou.reports.some(({ event }) => event === "sequencer stopped");
    await until(isStopped, `it stops at its ${start} start`);
    await assert.rejects(hangzhou.running.engine.submit(batch), { code: "LEDGER_FORK" });
    const fault = hangzhou.running.replica.fault();
    assert.equal(fault?.reason, "LEDGER_FORK");
    assert.equal(parseNote(fault.shown as Uint8Array).text, lost, "the head that it lacks");
    const held = parseCheckpoint(parseNote(fault.held as Uint8Array).text);
    assert.equal(held.size, 1n);
    hangzhou.reports.splice(0);
    await hangzhou.stop();
  }
  const { replica } = shenzhen.running;
  assert.deepEqual([replica.final()?.size, replica.fault()], [2n, undefined]);
});

test("an old copy of a follower's store is brought up to what is final, with the same tree", async (t) => {
  const { cities, copy } = await copied(t, "shenzhen", ledgerFile);
  copy.restore();
  await cities.startFollower();
  await cities.finalAtBoth(2n);
  const { replica } = cities.shenzhen.running;
  assert.deepEqual(replica.rootAt(2n), cities.ledger.rootAt(2n));
  assert.equal(replica.fault(), undefined);
});

test("an old copy of a follower's store that is shown another history is told by its own witness, with both heads", async (t) => {
  const { cities, copy } = await copied(t, "shenzhen", ledgerFile);
  const { hangzhou, shenzhen, network } = cities;
  const held = hangzhou.running.replica.reader.head()?.note;
  await hangzhou.stop();
  copy.restore();
  const sequencer = new ScriptedSequencer();
  hangzhou.sockets.host = sequencer;
  const other = await TestLedger.founded(network);
  await other.appendEvidence(network.consumer.gateway, [statusRecord(5)]);
  const lie = { cities, sequencer, network: readLedgerNetwork(network.payload) };
  const forged = headOf(lie, 2n, { ledger: other });
  sequencer.items.push(batchOf(other, 0), batchOf(other, 1), forged);
  await cities.startFollower();
  const { replica, witness } = shenzhen.running;
  await until(() => replica.reader.head()?.size === 2n, "it takes the other history");
  const request = formatAddCheckpoint({ oldSize: 2n, proof: [], checkpoint: forged.note });
  const answer = await witness?.addCheckpoint(request);
  assert.equal(answer?.status, 422);
  const fault = await faultOf(lie);
  assert.deepEqual([fault.reason, fault.held, fault.shown], ["LEDGER_FORK", held, forged.note]);
});

for (const what of ["an old copy", "nothing"] as const) {
  test(`a witness with ${what} of its state cosigns nothing in this term, and says why`, async (t) => {
    const { cities, copy } = await copied(t, "shenzhen", witnessFile);
    const { shenzhen, hangzhou, ledger, network } = cities;
    copy.restore();
    if (what === "nothing") rmSync(join(shenzhen.folder, witnessFile));
    await cities.startFollower();
    const isTold = (): boolean =>
      shenzhen.reports.some(({ reason }) => reason === "WITNESS_STATE_LOST");
    await until(isTold, "it is told");
    const { batch } = await ledger.appendEvidence(network.provider.gateway);
    await hangzhou.running.engine.submit(batch);
    await until(() => shenzhen.running.replica.state().size === 3n, "it follows");
    const checkpoint = shenzhen.running.replica.reader.head()?.note as Uint8Array;
    const answers = [0n, 1n, 2n].map(async (oldSize) => {
      const request = formatAddCheckpoint({ oldSize, proof: [], checkpoint });
      return (await shenzhen.running.witness?.addCheckpoint(request))?.status;
    });
    assert.deepEqual(await Promise.all(answers), [503, 503, 503]);
    assert.equal(hangzhou.running.replica.final()?.size, 2n);
    const promise = await shenzhen.running.promiseTerm({
      term: 1n,
      logKey: network.signer("log of term 1").publicKey,
      sequencer: hangzhou.peer,
    });
    assert.deepEqual(promise, { kind: "refused", reason: "WITNESS_STATE_LOST" });
  });
}

/** The journal of Shenzhen's gateway, as a start of its process opens it. */
async function openJournal(
  t: TestContext,
  { shenzhen, network }: TwoCities,
  boot: Uint8Array,
): Promise<Journal> {
  const { id } = network.consumer.gateway;
  return openTestJournal(t, shenzhen.folder, {
    gateway: id,
    network: network.id,
    // As the test network makes its keys.
    batchKeySeed: sha256(utf8(`causeway/${id} batch`)),
    boot,
    seen: () => shenzhen.running.replica.final() ?? { size: 0n, root: emptyRoot },
  });
}

async function seal(journal: Journal, number: number): Promise<JournalBatch> {
  const record = statusRecord(number);
  await journal.sealer.seal({ kind: "evidence", record, decidedAtMs: Date.now(), states: [] });
  return journal.reader.tip() as JournalBatch;
}

for (const boot of ["another boot", "the same boot"] as const) {
  test(`an old copy of a journal that goes on in ${boot} is told at its start; what it would seal is a second leaf for a place`, async (t) => {
    const cities = await TwoCities.found(t);
    await cities.startBoth();
    const { shenzhen, hangzhou } = cities;
    const { network } = cities;
    const gateway = network.consumer.gateway.id;
    const first = systemRandom(16);
    const before = await openJournal(t, cities, first);
    await shenzhen.running.engine.submit(await seal(before, 1));
    await cities.finalAtBoth(2n);
    await before.close();
    const copy = new Copy(join(shenzhen.folder, "journal.db"));
    const newer = systemRandom(16);
    const gone = await openJournal(t, cities, newer);
    const lost = await seal(gone, 2);
    await shenzhen.running.engine.submit(lost);
    await cities.finalAtBoth(3n);
    await gone.close();
    copy.restore();

    const journal = await openJournal(
      t,
      cities,
      boot === "the same boot" ? newer : systemRandom(16),
    );
    const halted: string[] = [];
    const { replica } = shenzhen.running;
    const stop = watchOwnChain({
      gateway,
      startedAtMs: Date.now(),
      replica,
      journal,
      halt: (code) => halted.push(code),
      lift: () => undefined,
    });
    t.after(stop);
    assert.deepEqual(halted, ["JOURNAL_ROLLED_BACK"]);
    // A process that does not heed it is told apart by its leaf.
    const second = await seal(journal, 3);
    assert.deepEqual(await shenzhen.running.engine.submit(second), {
      kind: "rejected",
      reason: "CHAIN_FORK",
      atSize: 3n,
    });
    const [kept] = hangzhou.running.replica.reader.forkedLeaves();
    assert.deepEqual(kept, {
      place: { gateway, epoch: lost.epoch, seq: lost.seq },
      leaf: Uint8Array.from(second.leaf),
    });
    const kind = equivocationKind(openLeaf(lost.leaf).header, openLeaf(second.leaf).header);
    assert.equal(kind, boot === "the same boot" ? "equivocation" : "rollback");
  });
}
