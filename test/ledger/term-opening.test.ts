import assert from "node:assert/strict";
import { join } from "node:path";
import test from "node:test";
import { systemClock } from "../../gateway/runtime.ts";
import { ledgerFile } from "../../src/ledger/embedded/ledger-node.ts";
import { readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { LedgerReplica } from "../../src/ledger/embedded/replica.ts";
import {
  type OpeningSource,
  openingOf,
  settledTerms,
  trustedOpeningOf,
} from "../../src/ledger/embedded/term-opening.ts";
import { isRightlyOpened } from "../../src/ledger/embedded/witness-terms.ts";
import type { SealedBatch } from "../../src/ledger/ports.ts";
import { SqliteLedgerStore } from "../../src/ledger/store/sqlite-store.ts";
import { TestLedger } from "../support/ledger.ts";
import { type TestCity, createTestNetwork, fourCities, fourOf } from "../support/network.ts";
import { type AppointedTerm, sayAppointment, signedHead } from "../support/statements.ts";
import { temporaryFolder } from "./support.ts";

const network = createTestNetwork(fourCities);
const [hangzhou, shenzhen, suzhou, tianjin] = fourOf(network);
/** Hangzhou's gateway is the sequencer of term 0, Shenzhen's of term 1. */
const first = {
  gateway: network.consumer.gateway,
  term: 1,
  log: network.signer("log 1"),
};
const second = {
  gateway: network.provider.gateway,
  term: 2,
  log: network.signer("log 2"),
};

/** The replica of somebody who has this ledger, of which a size is final. */
function replicaOf(ledger: TestLedger, finalSize: bigint): OpeningSource {
  const head = { size: finalSize, root: ledger.rootAt(finalSize) as Uint8Array };
  const final = { ...head, timeMs: 0, note: signedHead(network, head) };
  return {
    state: () => ledger.state,
    final: () => final,
    rootAt: ledger.rootAt,
    trust: () => ({ state: ledger.state, skewMs: 0 }),
    voidReason: () => undefined,
    batch: (index) => {
      const batch = ledger.batches[Number(index)];
      return batch && { ...batch, index };
    },
  };
}

/**
 * Three leaves are final, cosigned as four: whoever opens term 1 drops two of them, as if Hangzhou had
 * signed two histories. Term 2 goes on from there, by a vote that names term 1.
 */
async function misled(): Promise<{ readonly ledger: TestLedger; readonly wrong: TestLedger }> {
  const ledger = await TestLedger.founded(network);
  await ledger.appendEvidence(network.provider.gateway);
  const wrong = ledger.fork();
  await ledger.appendEvidence(network.provider.gateway);
  await ledger.appendEvidence(network.provider.gateway);
  const vote = (of: TestLedger, city: TestCity, on: AppointedTerm, size: bigint, term = 0n) => {
    const root = of.rootAt(size);
    assert.ok(root !== undefined);
    const by = term === 0n ? {} : { term, log: first.log };
    return sayAppointment(network, city, on, signedHead(network, { size, root }, by));
  };
  await wrong.append(first.gateway, [
    vote(ledger, hangzhou, first, 4n),
    vote(ledger, shenzhen, first, 4n),
    vote(ledger, suzhou, first, 4n),
    vote(wrong, tianjin, first, 2n),
  ]);
  assert.equal(wrong.state.terms.at(-1)?.term, 1n);
  await wrong.append(second.gateway, [
    vote(wrong, shenzhen, second, 3n, 1n),
    vote(ledger, suzhou, second, 4n),
    vote(wrong, tianjin, second, 2n),
  ]);
  assert.deepEqual(
    wrong.state.terms.map(({ term, start }) => [term, start]),
    [
      [0n, 0n],
      [1n, 2n],
      [2n, 3n],
    ],
  );
  return { ledger, wrong };
}

const { verifier } = network;
const options = { verifier, evidenceOf: () => undefined };

test("a term that goes on from one that was not rightly opened has no opening that a witness trusts", async () => {
  const replica = replicaOf((await misled()).wrong, 2n);
  const earlier = openingOf(replica, 1n, options);
  assert.equal(earlier !== undefined && isRightlyOpened(earlier), false);
  const later = openingOf(replica, 2n, options);
  assert.equal(later !== undefined && isRightlyOpened(later), true, "by its own votes");
  assert.equal(trustedOpeningOf(replica, 2n, options), undefined);
});

/**
 * Shenzhen was appointed for term 1 on a leaf that nobody has any more, and for term 2 from final leaves
 * on: the votes that stand in its chain then open term 1 where they do not let it begin.
 */
async function appointedAgain(named: { readonly term: bigint }): Promise<TestLedger> {
  const ledger = await TestLedger.founded(network);
  await ledger.appendEvidence(network.provider.gateway);
  const lost = ledger.fork();
  await lost.appendEvidence(network.provider.gateway);
  const again = { ...first, term: 2, log: network.signer("log 2") };
  const vote = (of: TestLedger, city: TestCity, on: AppointedTerm, size: bigint, term = 0n) => {
    const root = of.rootAt(size);
    assert.ok(root !== undefined);
    const by = term === 0n ? {} : { term, log: first.log };
    return sayAppointment(network, city, on, signedHead(network, { size, root }, by));
  };
  await ledger.append(first.gateway, [
    vote(ledger, shenzhen, first, 2n),
    vote(ledger, suzhou, first, 2n),
    vote(lost, tianjin, first, 3n),
  ]);
  await ledger.append(first.gateway, [
    vote(ledger, hangzhou, again, 2n),
    vote(ledger, shenzhen, again, 2n, named.term),
    vote(ledger, suzhou, again, 2n),
  ]);
  assert.deepEqual(
    ledger.state.terms.map(({ term, start, since }) => [term, start, since]),
    [
      [0n, 0n, 0n],
      [1n, 2n, 2n],
      [2n, 2n, 3n],
    ],
  );
  return ledger;
}

test("votes of an earlier term that stand behind the start keep no witness from a term that does not rest on them", async () => {
  const replica = replicaOf(await appointedAgain({ term: 0n }), 2n);
  const earlier = openingOf(replica, 1n, options);
  assert.equal(earlier !== undefined && isRightlyOpened(earlier), false);
  const opening = trustedOpeningOf(replica, 2n, options);
  assert.equal(opening !== undefined && isRightlyOpened(opening), true);
});

test("votes of an earlier term that one term does not rest on keep no witness from the terms after it either", async () => {
  const ledger = await appointedAgain({ term: 0n });
  const log = network.signer("log 2");
  const third = { gateway: network.provider.gateway, term: 3, log: network.signer("log 3") };
  const say = (city: TestCity, by: Parameters<typeof signedHead>[2]) => {
    const head = { size: 4n, root: ledger.rootAt(4n) as Uint8Array };
    return sayAppointment(network, city, third, signedHead(network, head, by));
  };
  const wrong = ledger.fork();
  const named = { term: 2n, log };
  await ledger.append(third.gateway, [
    say(hangzhou, named),
    say(shenzhen, named),
    say(suzhou, named),
  ]);
  const opening = trustedOpeningOf(replicaOf(ledger, 2n), 3n, options);
  assert.equal(opening !== undefined && isRightlyOpened(opening), true);
  // What the log of the earlier one has signed is another matter.
  const zombie = { term: 1n, log: first.log };
  await wrong.append(third.gateway, [
    say(hangzhou, zombie),
    say(shenzhen, zombie),
    say(suzhou, zombie),
  ]);
  assert.equal(wrong.state.terms.at(-1)?.term, 3n);
  assert.equal(trustedOpeningOf(replicaOf(wrong, 2n), 3n, options), undefined);
});

test("a term that a vote names was rightly opened, wherever its own votes stand", async () => {
  const replica = replicaOf(await appointedAgain({ term: 1n }), 2n);
  const later = openingOf(replica, 2n, options);
  assert.equal(later !== undefined && isRightlyOpened(later), true, "by its own votes");
  assert.equal(trustedOpeningOf(replica, 2n, options), undefined);
});

test("a term whose opening is final was judged by those who cosigned it", async () => {
  const opening = trustedOpeningOf(replicaOf((await misled()).wrong, 3n), 2n, options);
  assert.equal(opening !== undefined && isRightlyOpened(opening), true);
});

test("a replica is settled once its newest term was rightly opened or its opening is final, and never in the first term", async () => {
  const { wrong, ledger } = await misled();
  assert.equal(settledTerms(replicaOf(ledger, 2n), options), undefined, "the first term");
  assert.equal(settledTerms(replicaOf(wrong, 2n), options), undefined, "not rightly opened");
  const terms = settledTerms(replicaOf(wrong, 4n), options)?.terms;
  assert.deepEqual(terms, [0n, 1n, 2n], "its opening is final");
  const again = await appointedAgain({ term: 0n });
  const settled = settledTerms(replicaOf(again, 2n), options);
  assert.deepEqual(settled?.terms, [0n, 1n, 2n], "rightly opened");
  const { term, size, root, note } = settled?.final ?? {};
  assert.deepEqual([term, size, root], [0n, 2n, again.rootAt(2n)]);
  assert.deepEqual(note, signedHead(network, { size: 2n, root: again.rootAt(2n) as Uint8Array }));
  const unsure = await appointedAgain({ term: 1n });
  assert.equal(settledTerms(replicaOf(unsure, 2n), options), undefined, "it rests on a wrong one");
});

test("a replica that holds what the votes agree on does not drop it; one that does not cannot know", async (t) => {
  const { ledger, wrong } = await misled();
  for (const held of [4, 3]) {
    const store = new SqliteLedgerStore(join(temporaryFolder(t), ledgerFile));
    t.after(() => store.close());
    const founding = readLedgerNetwork(network.payload);
    const clock = systemClock;
    const replica = await LedgerReplica.open({ network: founding, store, verifier, clock });
    await replica.include(ledger.batches.slice(0, held), "stop");
    const pending = await replica.beginTerm(1n, 2n);
    await pending.include(wrong.batches[2] as SealedBatch);
    assert.equal(pending.opened?.term, 1n);
    const opening = replica.openTerm(pending);
    if (held === 4) await assert.rejects(opening, { code: "TERM_INVALID" });
    else await opening;
    assert.equal(replica.term().term, held === 4 ? 0n : 1n);
    assert.equal(replica.reader.droppedLeaves().length, held === 4 ? 0 : 1);
  }
});
