import assert from "node:assert/strict";
import test from "node:test";
import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { statusRecord } from "../support/ledger.ts";
import { faultOf, followed, headOf, ScriptedSequencer } from "./scripted-sequencer.ts";
import { TwoCities, until } from "./support.ts";

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
