import assert from "node:assert/strict";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { addSignatures, cosignCheckpoint } from "../../src/note/sign.ts";
import { formatNote, parseNote } from "../../src/note/note.ts";
import type { Signer } from "../../src/crypto/ports.ts";
import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { signHead } from "../../src/ledger/embedded/checkpoints.ts";
import { ledgerFile } from "../../src/ledger/embedded/ledger-node.ts";
import { type LedgerNetwork, readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { cosigningNow, trustOf } from "../../src/ledger/embedded/trust.ts";
import { originOf } from "../../src/registry/cosigning.ts";
import type { FollowItem, FollowStart, LedgerHost } from "../../src/ledger/embedded/ports.ts";
import { statusRecord, type TestLedger } from "../support/ledger.ts";
import { TwoCities, until } from "./support.ts";

/** Sends what a test says to every follower, from index 0 on, and nothing else. */
class ScriptedSequencer implements LedgerHost {
  readonly items: FollowItem[] = [];
  readonly starts: FollowStart[] = [];

  async submit(): Promise<never> {
    throw new Error("not asked in these tests");
  }

  async putBlob(): Promise<void> {}

  blob(): undefined {}

  async *follow(start: FollowStart, signal: AbortSignal): AsyncGenerator<FollowItem> {
    this.starts.push(start);
    for (let sent = 0; !signal.aborted; ) {
      const item = this.items[sent];
      if (item === undefined) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        continue;
      }
      sent++;
      if (item.kind !== "batch" || item.index >= start.fromIndex) yield item;
    }
  }
}

interface Lie {
  readonly cities: TwoCities;
  readonly network: LedgerNetwork;
  readonly sequencer: ScriptedSequencer;
}

/** A follower whose sequencer has shown batches 0 and 1 and the head of size 2, and which trusts it so far. */
async function followed(t: test.TestContext): Promise<Lie> {
  const cities = await TwoCities.found(t);
  const sequencer = new ScriptedSequencer();
  cities.hangzhou.sockets.host = sequencer;
  const network = readLedgerNetwork(cities.network.payload);
  await cities.ledger.appendEvidence(cities.network.provider.gateway);
  sequencer.items.push(batchOf(cities.ledger, 0), batchOf(cities.ledger, 1));
  sequencer.items.push(headOf({ cities, network, sequencer }, 2n));
  await cities.startFollower();
  await until(() => cities.shenzhen.running.replica.reader.head()?.size === 2n, "the first head");
  return { cities, network, sequencer };
}

function batchOf(ledger: TestLedger, index: number): FollowItem {
  const batch = ledger.batches[index];
  assert.ok(batch !== undefined);
  return { kind: "batch", index: BigInt(index), batch };
}

function headOf(
  { cities, network }: Lie,
  size: bigint,
  change: { ledger?: TestLedger; root?: Uint8Array; digest?: Uint8Array; signer?: Signer } = {},
): Extract<FollowItem, { kind: "head" }> {
  const ledger = change.ledger ?? cities.ledger;
  const root = change.root ?? (ledger.rootAt(size) as Uint8Array);
  const digest = change.digest ?? ledger.states[Number(size)]?.digest;
  assert.ok(digest !== undefined);
  const note = signHead(
    originOf(network.id, 0n),
    { size, root },
    change.signer ?? cities.network.log,
  );
  return { kind: "head", note, registryDigest: digest };
}

async function faultOf({
  cities,
}: Lie): Promise<{ reason: string; held?: Uint8Array; shown?: Uint8Array; index?: bigint }> {
  return until(() => cities.shenzhen.running.replica.fault(), "the ledger is distrusted");
}

test("a head of another root is LEDGER_FORK, and both signed heads are kept", async (t) => {
  const lie = await followed(t);
  const { sequencer, cities } = lie;
  await cities.ledger.appendEvidence(cities.network.provider.gateway);
  const forged = headOf(lie, 3n, { root: new Uint8Array(32).fill(7) });
  sequencer.items.push(batchOf(cities.ledger, 2), forged);
  const fault = await faultOf(lie);
  assert.equal(fault.reason, "LEDGER_FORK");
  assert.deepEqual(fault.held, headOf(lie, 2n).note);
  assert.deepEqual(fault.shown, forged.note);
});

test("a second history of the same size is LEDGER_FORK", async (t) => {
  const lie = await followed(t);
  const { sequencer, cities } = lie;
  const other = cities.ledger.fork();
  const { gateway } = cities.network.provider;
  await cities.ledger.appendEvidence(gateway, [statusRecord(1)]);
  await other.appendEvidence(gateway, [statusRecord(2)]);
  const forked = headOf(lie, 3n, { ledger: other });
  sequencer.items.push(batchOf(cities.ledger, 2), headOf(lie, 3n), forked);
  const fault = await faultOf(lie);
  assert.equal(fault.reason, "LEDGER_FORK");
  assert.deepEqual([fault.held, fault.shown], [headOf(lie, 3n).note, forked.note]);
});

test("a log that shrank is LEDGER_FORK", async (t) => {
  const lie = await followed(t);
  lie.sequencer.items.push(headOf(lie, 1n));
  const fault = await faultOf(lie);
  assert.equal(fault.reason, "LEDGER_FORK");
  assert.deepEqual([fault.held, fault.shown], [headOf(lie, 2n).note, headOf(lie, 1n).note]);
});

test("another registry digest is DIGEST_DIVERGES", async (t) => {
  const lie = await followed(t);
  const digest = new Uint8Array(32).fill(1);
  lie.sequencer.items.push(headOf(lie, 2n, { digest }));
  assert.equal((await faultOf(lie)).reason, "DIGEST_DIVERGES");
});

test("a batch that structure refuses ends the trust at its index", async (t) => {
  const lie = await followed(t);
  const { cities, sequencer } = lie;
  const { leaf, records } = cities.ledger.seal(cities.network.provider.gateway, [statusRecord()], {
    kind: "evidence",
  });
  leaf[0] = (leaf[0] as number) ^ 1;
  sequencer.items.push({ kind: "batch", index: 2n, batch: { leaf, records } });
  const fault = await faultOf(lie);
  assert.deepEqual([fault.reason, fault.index], ["SIGNATURE_INVALID", 2n]);
  assert.equal(cities.shenzhen.running.replica.state().size, 2n);
});

test("a note of a quorum over another tree is LEDGER_FORK", async (t) => {
  const lie = await followed(t);
  const { cities, network, sequencer } = lie;
  const root = new Uint8Array(32).fill(3);
  const { note } = headOf(lie, 2n, { root });
  const checkpoint = { origin: originOf(network.id, 0n), size: 2n, root, extensions: [] };
  const { witnesses } = cosigningNow(trustOf(network, network.founding));
  const lines = witnesses.map(({ key }, i) => {
    const signer = cities.witnessKey(i as 0 | 1);
    return cosignCheckpoint({ checkpoint, name: key.name, signer, timeMs: Date.now() });
  });
  const final = formatNote(addSignatures(parseNote(note), lines));
  sequencer.items.push({ kind: "final", note: final });
  const fault = await faultOf(lie);
  assert.deepEqual([fault.reason, fault.shown], ["LEDGER_FORK", final]);
  assert.equal(cities.shenzhen.running.replica.final(), undefined);
});

test("a head that the log did not sign proves nothing: the stream is begun anew and the trust stays", async (t) => {
  const lie = await followed(t);
  const { cities, sequencer } = lie;
  const signer = cities.network.signer("a stranger");
  sequencer.items.push(headOf(lie, 2n, { signer, root: new Uint8Array(32) }));
  await until(() => sequencer.starts.length > 1, "a second stream");
  assert.equal(cities.shenzhen.running.replica.fault(), undefined);
  const interrupted = cities.shenzhen.reports.find(({ event }) => event === "follow interrupted");
  assert.equal(interrupted?.reason, "NOTE_SIGNER_UNKNOWN");
});

test("a head ahead of its batches is not believed, and is no fork", async (t) => {
  const lie = await followed(t);
  const { cities, sequencer } = lie;
  await cities.ledger.appendEvidence(cities.network.provider.gateway);
  sequencer.items.push(headOf(lie, 3n));
  await until(() => sequencer.starts.length > 1, "a second stream");
  const { replica } = cities.shenzhen.running;
  assert.equal(replica.fault(), undefined);
  assert.equal(replica.reader.head()?.size, 2n);
});

test("a term that would begin below what is final is not taken, and nothing is dropped", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { batch } = await cities.ledger.appendEvidence(cities.network.provider.gateway);
  await cities.hangzhou.running.engine.submit(batch);
  await cities.finalAtBoth(2n);
  await cities.shenzhen.stop();
  await cities.hangzhou.stop();
  const sequencer = new ScriptedSequencer();
  cities.hangzhou.sockets.host = sequencer;
  sequencer.items.push({ kind: "term opened", term: 1n, start: 1n });
  await cities.startFollower();
  await until(() => sequencer.starts.length > 2, "it asks again");
  const { replica } = cities.shenzhen.running;
  assert.equal(replica.fault(), undefined);
  assert.deepEqual([replica.state().size, replica.final()?.size], [2n, 2n]);
  assert.deepEqual(replica.reader.droppedLeaves(), []);
  const told = cities.shenzhen.reports.filter(({ event }) => event === "follow interrupted");
  assert.ok(told.some(({ reason }) => reason === "LEDGER_FORK"));
});

test("a term that is begun without votes changes nothing that is stored", async (t) => {
  const lie = await followed(t);
  const { cities, sequencer } = lie;
  const { gateway } = cities.network.provider;
  const other = cities.ledger.fork();
  const { batch } = await other.appendEvidence(gateway, [statusRecord(5)]);
  sequencer.items.push(
    { kind: "term opened", term: 1n, start: 2n },
    { kind: "batch", index: 2n, batch },
  );
  await until(() => sequencer.starts.length > 0, "it follows");
  await new Promise((resolve) => setTimeout(resolve, 300));
  const { replica } = cities.shenzhen.running;
  assert.equal(replica.state().size, 2n);
  assert.equal(replica.term().term, 0n);
  assert.equal(replica.fault(), undefined);
});

test("distrust outlives a restart: nothing is followed, submitted or cosigned", async (t) => {
  const lie = await followed(t);
  const { cities, sequencer } = lie;
  sequencer.items.push(headOf(lie, 1n));
  await faultOf(lie);
  await cities.shenzhen.stop();
  sequencer.starts.length = 0;
  await cities.startFollower();
  const { replica, engine, witness } = cities.shenzhen.running;
  assert.equal(replica.fault()?.reason, "LEDGER_FORK");
  const [, batch] = cities.ledger.batches;
  assert.ok(batch !== undefined);
  await assert.rejects(engine.submit(batch), { code: "LEDGER_FORK" });
  const checkpoint = headOf(lie, 2n).note;
  const answer = await witness?.addCheckpoint(
    formatAddCheckpoint({ oldSize: 0n, proof: [], checkpoint }),
  );
  assert.equal(answer?.status, 503);
  assert.deepEqual(sequencer.starts, []);
});

test("a sequencer whose disk was set back is told by a witness, and stops for good before it signs anything", async (t) => {
  const cities = await TwoCities.found(t);
  const { hangzhou, shenzhen, ledger, network } = cities;
  const file = join(hangzhou.folder, ledgerFile);
  copyFileSync(file, `${file}.old`);
  await cities.startBoth();
  const { batch } = await ledger.appendEvidence(network.provider.gateway);
  await hangzhou.running.engine.submit(batch);
  await cities.finalAtBoth(2n);
  await hangzhou.stop();
  copyFileSync(`${file}.old`, file);
  for (const start of ["first", "second"]) {
    await cities.startSequencer();
    await until(
      () => hangzhou.reports.some(({ event }) => event === "sequencer stopped"),
      `the sequencer stops at its ${start} start`,
    );
    await assert.rejects(hangzhou.running.engine.submit(batch), { code: "LEDGER_FORK" });
    const fault = hangzhou.running.replica.fault();
    assert.equal(fault?.reason, "LEDGER_FORK");
    assert.ok(fault.shown !== undefined);
    hangzhou.reports.splice(0);
    await hangzhou.stop();
  }
  assert.equal(shenzhen.running.replica.final()?.size, 2n);
  assert.equal(shenzhen.running.replica.fault(), undefined, "nothing else was ever signed");
});
