import assert from "node:assert/strict";
import test from "node:test";
import { utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import type { SealedBatch, SubmitResult } from "../../src/ledger/ports.ts";
import { verifyInclusion } from "../../src/merkle/verify.ts";
import { sealBatch } from "../../src/record/batch.ts";
import { statusRecord } from "../support/ledger.ts";
import { sayPolicy, sayService } from "../support/statements.ts";
import { Member, Sockets, temporaryFolder, TwoCities, until } from "./support.ts";

test("a batch submitted by a follower becomes final at both cities, with one tree and one note", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { ledger, network } = cities;
  const { batch, index } = await ledger.appendEvidence(network.consumer.gateway);
  const result = await cities.shenzhen.running.engine.submit(batch);
  assert.deepEqual(result, { kind: "included", index });
  await cities.finalAtBoth(2n);
  const [one, other] = [cities.hangzhou.running.replica, cities.shenzhen.running.replica];
  assert.deepEqual(one.frozenNote(1n)?.note, other.frozenNote(1n)?.note);
  assert.deepEqual(other.state().digest, ledger.state.digest);
  assert.deepEqual(other.rootAt(2n), ledger.rootAt(2n));
  assert.equal(other.indexOfLeaf(batch.leafHash), 1n);
  const proof = other.inclusionProof(1n, 2n);
  const root = one.final()?.root as Uint8Array;
  assert.ok(verifyInclusion({ leafHash: batch.leafHash, index, size: 2n, root, proof }));
  assert.deepEqual(other.batch(1n)?.records, batch.records);
});

test("a heartbeat renews the time of the newest size, adds no leaf, and reaches the follower", async (t) => {
  const cities = await TwoCities.found(t, { heartbeatS: 1 });
  await cities.startBoth();
  const { replica } = cities.shenzhen.running;
  const first = replica.final();
  const frozen = replica.frozenNote(0n);
  const later = await until(() => {
    const final = replica.final();
    return final !== undefined && first !== undefined && final.timeMs > first.timeMs && final;
  }, "a heartbeat");
  assert.equal(later.size, 1n);
  assert.equal(replica.state().size, 1n);
  assert.deepEqual(replica.frozenNote(0n), frozen, "the frozen note stays");
});

test("a night of quiet by the clock brings a heartbeat within seconds", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const night = 8 * 3600_000;
  cities.hangzhou.clock.offsetMs = night;
  cities.shenzhen.clock.offsetMs = night;
  const { replica } = cities.shenzhen.running;
  await until(() => (replica.final()?.timeMs ?? 0) > Date.now() + night - 60_000, "a heartbeat");
});

test("a follower that was away resumes from its own size and gets every frozen note", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { ledger, network, hangzhou, shenzhen } = cities;
  await shenzhen.stop();
  for (let i = 0; i < 70; i++) {
    const { batch } = await ledger.appendEvidence(network.provider.gateway, [statusRecord(i)]);
    await hangzhou.running.engine.submit(batch);
  }
  await cities.startFollower();
  await cities.finalAtBoth(71n);
  assert.deepEqual(shenzhen.running.replica.state().digest, ledger.state.digest);
  assert.deepEqual(
    shenzhen.running.replica.frozenNote(0n)?.note,
    hangzhou.running.replica.frozenNote(0n)?.note,
  );
  assert.equal(shenzhen.running.replica.fault(), undefined);
});

test("a follower takes up its stream again when the sequencer comes back, and the tree goes on", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { ledger, network, hangzhou } = cities;
  await hangzhou.stop();
  await cities.startSequencer();
  const { batch } = await ledger.appendEvidence(network.provider.gateway);
  assert.deepEqual(await hangzhou.running.engine.submit(batch), { kind: "included", index: 1n });
  await cities.finalAtBoth(2n);
});

test("a submit while the sequencer is away rejects LEDGER_UNAVAILABLE, and later succeeds", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { ledger, network, hangzhou, shenzhen } = cities;
  const { batch } = await ledger.appendEvidence(network.consumer.gateway);
  await hangzhou.stop();
  await assert.rejects(shenzhen.running.engine.submit(batch), { code: "LEDGER_UNAVAILABLE" });
  await cities.startSequencer();
  assert.deepEqual(await shenzhen.running.engine.submit(batch), { kind: "included", index: 1n });
});

test("the same batch submitted again and at once has one index", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { engine } = cities.shenzhen.running;
  const { batch } = await cities.ledger.appendEvidence(cities.network.consumer.gateway);
  const included = { kind: "included", index: 1n };
  const results = await Promise.all([engine.submit(batch), engine.submit(batch)]);
  assert.deepEqual(results, [included, included]);
  assert.deepEqual(await engine.submit(batch), included);
  assert.equal(cities.hangzhou.running.replica.state().size, 2n);
});

test("batches that overtake each other wait for those before them, each judged once", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { engine } = cities.hangzhou.running;
  const { gateway } = cities.network.provider;
  const batches: SealedBatch[] = [];
  for (let i = 0; i < 6; i++) {
    batches.push((await cities.ledger.appendEvidence(gateway, [statusRecord(i)])).batch);
  }
  const results: Promise<SubmitResult>[] = [];
  for (const i of [5, 2, 4, 0, 3, 1]) {
    results[i] = engine.submit(batches[i] as SealedBatch);
    // Each comes with a group of its own.
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  const included = batches.map((_, i) => ({ kind: "included", index: BigInt(i + 1) }));
  assert.deepEqual(await Promise.all(results), included);
});

test("a batch whose predecessor does not come is CHAIN_GAP after a while, and comes later", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { engine } = cities.hangzhou.running;
  const { gateway } = cities.network.provider;
  const { batch: first } = await cities.ledger.appendEvidence(gateway);
  const { batch: second } = await cities.ledger.appendEvidence(gateway, [statusRecord(1)]);
  const gap = { kind: "rejected", reason: "CHAIN_GAP", atSize: 1n };
  assert.deepEqual(await engine.submit(second), gap);
  assert.deepEqual(await engine.submit(first), { kind: "included", index: 1n });
  assert.deepEqual(await engine.submit(second), { kind: "included", index: 2n });
});

test("of two batches at one place of a chain that come at once the first is included, the other CHAIN_FORK", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { engine } = cities.hangzhou.running;
  const { gateway } = cities.network.provider;
  const other = cities.ledger.seal(gateway, [statusRecord(9)], { kind: "evidence" });
  const { batch } = await cities.ledger.appendEvidence(gateway);
  const included = { kind: "included", index: 1n };
  assert.deepEqual(
    await Promise.all([engine.submit(batch), engine.submit(other), engine.submit(batch)]),
    [included, { kind: "rejected", reason: "CHAIN_FORK", atSize: 2n }, included],
  );
});

test("a refused batch does not stand in the way of the right one at its place", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { engine } = cities.hangzhou.running;
  const { gateway } = cities.network.provider;
  const signer = cities.network.signer("a stranger");
  const forged = cities.ledger.seal(gateway, [statusRecord()], { kind: "evidence", signer });
  const { batch } = await cities.ledger.appendEvidence(gateway);
  assert.deepEqual(await Promise.all([engine.submit(forged), engine.submit(batch)]), [
    { kind: "rejected", reason: "KEY_UNKNOWN", atSize: 1n },
    { kind: "included", index: 1n },
  ]);
});

test("a clock behind the checkpoints by more than the skew is CLOCK_OFF, and mends with the clock", async (t) => {
  const cities = await TwoCities.found(t);
  const { hangzhou, shenzhen, ledger, network } = cities;
  await cities.startBoth();
  await shenzhen.stop();
  // The witness of the follower has to be as far ahead: only the replica's own clock is behind.
  shenzhen.clock.offsetMs = 60_000;
  hangzhou.clock.offsetMs = 60_000;
  await cities.startFollower();
  const { batch } = await ledger.appendEvidence(network.provider.gateway);
  await hangzhou.running.engine.submit(batch);
  await cities.finalAtBoth(2n);
  await shenzhen.stop();
  const folder = temporaryFolder(t);
  const late = new Member("shenzhen", folder, await Sockets.open(t, "late"));
  t.after(() => late.stop());
  await late.start({
    founding: network.payload,
    verifier: network.verifier,
    gateway: network.consumer.gateway.id,
    connect: () => cities.client(),
  });
  await until(() => late.reports.some(({ reason }) => reason === "CLOCK_OFF"), "CLOCK_OFF");
  assert.equal(late.running.replica.isClockBehind(), true);
  assert.equal(late.running.replica.fault(), undefined);
  late.clock.offsetMs = 60_000;
  await until(() => late.running.replica.final()?.size === 2n, "the checkpoint is taken");
  assert.equal(late.running.replica.isClockBehind(), false);
});

test("another batch at the same place of a chain is CHAIN_FORK and changes nothing", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { engine } = cities.shenzhen.running;
  const { gateway } = cities.network.consumer;
  const other = cities.ledger.seal(gateway, [statusRecord(9)], { kind: "evidence" });
  const { batch } = await cities.ledger.appendEvidence(gateway);
  await engine.submit(batch);
  assert.deepEqual(await engine.submit(other), {
    kind: "rejected",
    reason: "CHAIN_FORK",
    atSize: 2n,
  });
  assert.equal(cities.hangzhou.running.replica.state().size, 2n);
});

test("what structure refuses is rejected with its reason and gets no index", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { ledger, network } = cities;
  const { gateway } = network.consumer;
  const { engine } = cities.shenzhen.running;
  const good = ledger.seal(gateway, [statusRecord()], { kind: "evidence" });
  const stranger = network.signer("a stranger");
  const wrongSignature = good.leaf.slice();
  wrongSignature[5] = (wrongSignature[5] as number) ^ 1;
  const cases = {
    SIGNATURE_INVALID: { leaf: wrongSignature, records: good.records },
    BATCH_INVALID: { leaf: good.leaf, records: [statusRecord(7)] },
    MALFORMED: { leaf: good.leaf.slice(0, 60), records: good.records },
    KEY_UNKNOWN: ledger.seal(gateway, [statusRecord()], { kind: "evidence", signer: stranger }),
    CHAIN_GAP: ledger.seal(gateway, [statusRecord()], { kind: "evidence", seq: 3n }),
    NETWORK_UNKNOWN: ledger.seal(gateway, [statusRecord()], {
      kind: "evidence",
      network: new Uint8Array(32),
    }),
    SEEN_INVALID: ledger.seal(gateway, [statusRecord()], {
      kind: "evidence",
      seen: { size: 1n, root: new Uint8Array(32) },
    }),
  };
  for (const [reason, batch] of Object.entries(cases)) {
    assert.deepEqual(await engine.submit(batch), { kind: "rejected", reason, atSize: 1n }, reason);
  }
  assert.equal(cities.hangzhou.running.replica.state().size, 1n);
});

test("a batch of another gateway under this gateway's key is refused", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { network, ledger } = cities;
  const batch = sealBatch(
    {
      kind: "evidence",
      network: network.id,
      gateway: "shenzhen/market-regulation/gw9",
      epoch: 0n,
      boot: network.consumer.gateway.boot,
      seq: 0n,
      prev: new Uint8Array(32),
      seen: { size: 1n, root: ledger.rootAt(1n) as Uint8Array },
      firstAtMs: ledger.nowMs,
      sealedAtMs: ledger.nowMs,
    },
    [statusRecord()],
    network.consumer.gateway.batch,
  );
  assert.deepEqual(await cities.shenzhen.running.engine.submit(batch), {
    kind: "rejected",
    reason: "GATEWAY_UNKNOWN",
    atSize: 1n,
  });
});

test("a statement is refused while its blob is missing; then the blob travels to every replica", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { ledger, network, hangzhou, shenzhen } = cities;
  const { gateway } = network.provider;
  const { batch } = await ledger.append(gateway, [sayService(network), sayPolicy(network)]);
  const { engine } = hangzhou.running;
  const missing = { kind: "rejected", reason: "BLOB_MISSING", atSize: 1n };
  assert.deepEqual(await engine.submit(batch), missing);
  await engine.putBlob(utf8("descriptor"));
  await shenzhen.running.engine.putBlob(utf8("policy"));
  assert.deepEqual(await engine.submit(batch), missing);
  await engine.putBlob(utf8("schema"));
  assert.deepEqual(await engine.submit(batch), { kind: "included", index: 1n });
  await cities.finalAtBoth(2n);
  for (const content of ["descriptor", "policy", "schema"]) {
    assert.deepEqual(
      new Uint8Array(shenzhen.running.replica.blob(sha256(utf8(content))) ?? []),
      utf8(content),
    );
  }
});

test("a statement whose blob has another size than announced is refused", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { ledger, network, hangzhou } = cities;
  const service = sayService(network, { body: { descriptor_bytes: 11 } });
  const { batch } = await ledger.append(network.provider.gateway, [service]);
  await hangzhou.running.engine.putBlob(utf8("descriptor"));
  assert.deepEqual(await hangzhou.running.engine.submit(batch), {
    kind: "rejected",
    reason: "BLOB_MISMATCH",
    atSize: 1n,
  });
});

test("nothing is final while one of two cities is away, and the newest size is when it is back", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { ledger, network, hangzhou, shenzhen } = cities;
  await shenzhen.stop();
  for (let i = 0; i < 3; i++) {
    const { batch } = await ledger.appendEvidence(network.provider.gateway, [statusRecord(i)]);
    await hangzhou.running.engine.submit(batch);
  }
  await new Promise((resolve) => setTimeout(resolve, 700));
  assert.equal(hangzhou.running.replica.final()?.size, 1n);
  await cities.startFollower();
  await cities.finalAtBoth(4n);
  assert.equal(hangzhou.running.replica.frozenNote(1n)?.size, 4n);
});

test("void records keep their reason at every replica", async (t) => {
  const cities = await TwoCities.found(t);
  await cities.startBoth();
  const { ledger, network, hangzhou, shenzhen } = cities;
  const again = network.founding[1] as Uint8Array;
  const { batch, voids } = await ledger.append(network.provider.gateway, [again]);
  await hangzhou.running.engine.submit(batch);
  await cities.finalAtBoth(2n);
  assert.equal(shenzhen.running.replica.voidReason(1n, 0), voids[0]?.reason);
  assert.notEqual(voids[0]?.reason, undefined);
});
