import assert from "node:assert/strict";
import test from "node:test";
import { CausewayError } from "../../src/base/errors.ts";
import { signHead } from "../../src/ledger/embedded/checkpoints.ts";
import type { FollowItem, LedgerClient } from "../../src/ledger/embedded/ports.ts";
import { formatAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { parseCheckpoint } from "../../src/note/checkpoint.ts";
import { parseNote } from "../../src/note/note.ts";
import { originOf } from "../../src/registry/cosigning.ts";
import { sayVote } from "../support/statements.ts";
import { statusRecord, type TestLedger } from "../support/ledger.ts";
import { FourCities } from "./four-cities.ts";
import { type Member, until } from "./support.ts";

const others = ["shenzhen", "tianjin", "wuhan"];

function cosignersOf(note: Uint8Array): readonly string[] {
  const { signatures } = parseNote(note);
  return signatures.map(({ name }) => name.split("/").at(-1) as string).toSorted();
}

function originAt(member: Member): string | undefined {
  const note = member.running.replica.final()?.note;
  return note && parseCheckpoint(parseNote(note).text).origin;
}

/** Opens a term at a member with the votes, sealed as the next batch of `ledger`. */
async function open(
  cities: FourCities,
  ledger: TestLedger,
  appointment: { readonly term: number; readonly to: string; readonly voters: readonly string[] },
): Promise<bigint> {
  const { term, to, voters } = appointment;
  const { city, member } = cities.at(to);
  const log = cities.network.signer(`log of term ${term}`);
  member.logs.push(log);
  const votes = await cities.vote(voters, { term, to, log });
  const { start, opened } = await member.running.openTerm({ term: BigInt(term), votes, own: [] });
  assert.equal(start, ledger.size);
  const { batch, index } = await ledger.append(
    city.agency.gateway,
    votes.map(({ record }) => record),
    { seenSize: member.running.replica.final()?.size ?? 0n },
  );
  assert.deepEqual(await member.running.engine.submit(batch), { kind: "included", index });
  assert.equal((await opened).term, BigInt(term));
  return index;
}

test("four cities: a batch is final with three of them, and the time is theirs", async (t) => {
  const cities = await FourCities.found(t);
  await cities.startAll();
  await cities.member("wuhan").stop();
  const { batch } = await cities.ledger.appendEvidence(cities.network.consumer.gateway);
  await cities.member("shenzhen").running.engine.submit(batch);
  await cities.final(2n);
  const note = cities.member("tianjin").running.replica.frozenNote(1n)?.note as Uint8Array;
  assert.ok(!cosignersOf(note).includes("wuhan"));
  assert.ok(cosignersOf(note).length >= 4, "the log and three cities");
});

test("a change of the quorum is cosigned by the old and the new one, and the next size by the new one", async (t) => {
  const cities = await FourCities.found(t);
  await cities.startAll();
  const { ledger, network } = cities;
  const { gateway } = network.provider;
  const { engine } = cities.member("hangzhou").running;
  const vote = (id: string): Uint8Array =>
    sayVote(network, cities.at(id).city, {
      sub: network.idHex,
      body: { on: "quorum", quorum: 4, faults: 1 },
    }).record;
  const { batch } = await ledger.append(gateway, ["hangzhou", "shenzhen", "tianjin"].map(vote));
  await cities.member("wuhan").stop();
  await engine.submit(batch);
  const { replica } = cities.member("hangzhou").running;
  await until(() => replica.reader.head()?.size === 2n, "the size is put before the witnesses");
  await new Promise((resolve) => setTimeout(resolve, 1500));
  assert.equal(replica.final()?.size, 1n, "the new quorum is not met without Wuhan");
  await cities.start("wuhan");
  await cities.final(2n);
  const frozen = cities.member("shenzhen").running.replica.frozenNote(1n)?.note as Uint8Array;
  for (const { city } of cities.quarters) assert.ok(cosignersOf(frozen).includes(city.id), city.id);
  assert.deepEqual(replica.state().quorums.at(-1), { since: 1n, quorum: 4, faults: 1 });
});

test("a planned appointment: another gateway goes on from the highest cosigned size, and the first one follows it", async (t) => {
  const cities = await FourCities.found(t);
  await cities.startAll();
  const { ledger, network } = cities;
  await cities
    .member("hangzhou")
    .running.engine.submit((await ledger.appendEvidence(network.provider.gateway)).batch);
  await cities.final(2n);
  const index = await open(cities, ledger, {
    term: 1,
    to: "tianjin",
    voters: ["hangzhou", "shenzhen", "tianjin"],
  });
  await cities.final(index + 1n);
  for (const { member } of cities.quarters) {
    await until(() => originAt(member) === originOf(network.id, 1n), `term 1 at ${member.city}`);
    assert.deepEqual(member.running.replica.state().digest, ledger.state.digest);
    assert.equal(member.running.replica.fault(), undefined);
    assert.deepEqual(member.fatal, []);
  }
  await until(() => !cities.member("hangzhou").running.isSequencer(), "Hangzhou follows");
  assert.equal(cities.member("tianjin").running.isSequencer(), true);
  // Whoever submits reaches the new sequencer.
  const { batch } = await ledger.appendEvidence(network.provider.gateway);
  const result = await cities.member("hangzhou").running.engine.submit(batch);
  assert.deepEqual(result, { kind: "included", index: index + 1n });
  await cities.final(index + 2n);
});

test("the sequencer dies for good: nothing final is lost, what was only included comes again, and it comes back as a follower", async (t) => {
  const cities = await FourCities.found(t);
  await cities.startAll();
  const { ledger, network } = cities;
  const hangzhou = cities.member("hangzhou");
  const shenzhen = cities.member("shenzhen");
  await hangzhou.running.engine.submit(
    (await ledger.appendEvidence(network.provider.gateway)).batch,
  );
  await cities.final(2n);
  const final = shenzhen.running.replica.final();
  // A tail that reaches one follower, and no witness but the sequencer's own.
  await cities.member("tianjin").stop();
  await cities.member("wuhan").stop();
  shenzhen.sockets.witness = undefined;
  const lost = ledger.fork();
  const tail = [
    (await lost.appendEvidence(network.consumer.gateway, [statusRecord(7)], { seenSize: 2n }))
      .batch,
    (await lost.appendEvidence(network.provider.gateway, [statusRecord(8)], { seenSize: 2n }))
      .batch,
  ];
  for (const batch of tail) await hangzhou.running.engine.submit(batch);
  await until(() => shenzhen.running.replica.state().size === 4n, "the tail at Shenzhen");
  await hangzhou.stop();
  shenzhen.sockets.witness = shenzhen.running.witness;
  await cities.start("tianjin");
  await cities.start("wuhan");
  const index = await open(cities, ledger, { term: 1, to: "tianjin", voters: others });
  assert.equal(index, 2n);
  await cities.final(3n);
  const { replica, engine } = shenzhen.running;
  assert.deepEqual(
    replica.reader.droppedLeaves().map((dropped) => dropped.leaf),
    tail.map(({ leaf }) => leaf),
  );
  assert.deepEqual(replica.rootAt(2n), final?.root);
  assert.equal(replica.fault(), undefined);
  // The journals bring what was only included again; the leaves are the same.
  const [again] = tail;
  assert.ok(again !== undefined);
  assert.deepEqual(await engine.submit(again), { kind: "included", index: 3n });
  await cities.final(4n);
  assert.equal(replica.indexOfLeaf(again.leafHash), 3n);
  // The old sequencer has a log that ends elsewhere: it looks for the new one, and follows it.
  await cities.start("hangzhou");
  await until(() => (hangzhou.running.replica.final()?.size ?? 0n) >= 4n, "Hangzhou follows").catch(
    (error: unknown) => assert.fail(`${String(error)}: ${hangzhou.told()}`),
  );
  assert.equal(hangzhou.running.isSequencer(), false);
  assert.deepEqual(hangzhou.running.replica.rootAt(4n), replica.rootAt(4n));
  assert.equal(hangzhou.running.replica.reader.droppedLeaves().length, 2);
});

test("a term outlives a restart of everyone", async (t) => {
  const cities = await FourCities.found(t);
  await cities.startAll();
  const { ledger, network } = cities;
  const index = await open(cities, ledger, { term: 1, to: "wuhan", voters: others });
  await cities.final(index + 1n);
  for (const { member } of cities.quarters) await member.stop();
  for (const { city } of cities.quarters) await cities.start(city.id);
  const { batch } = await ledger.appendEvidence(network.consumer.gateway);
  const { engine } = cities.member("shenzhen").running;
  await until(() => cities.member("wuhan").running.isSequencer(), "Wuhan sequences");
  assert.deepEqual(await engine.submit(batch), { kind: "included", index: index + 1n });
  await cities.final(index + 2n);
});

test("a second appointment goes on from the first one's tree", async (t) => {
  const cities = await FourCities.found(t);
  await cities.startAll();
  const { ledger } = cities;
  const first = await open(cities, ledger, { term: 1, to: "wuhan", voters: others });
  await cities.final(first + 1n);
  const second = await open(cities, ledger, { term: 2, to: "shenzhen", voters: others });
  await cities.final(second + 1n);
  assert.equal(second, first + 1n);
  for (const { member } of cities.quarters) {
    assert.deepEqual(
      member.running.replica.state().terms.map(({ term, since }) => [term, since]),
      [
        [0n, 0n],
        [1n, first],
        [2n, second],
      ],
    );
  }
});

test("a city that cosigned alone in a term that died counts again once its ledger has learnt of a later one", async (t) => {
  const cities = await FourCities.found(t);
  await cities.startAll();
  const { ledger } = cities;
  const wuhan = cities.member("wuhan");
  // Nobody follows the term that opens there, and its own witness alone cosigns in it.
  wuhan.sockets.host = undefined;
  await open(cities, ledger.fork(), { term: 1, to: "wuhan", voters: others });
  await cities.cosigned("wuhan", 1);
  await wuhan.stop();
  const voters = ["hangzhou", "shenzhen", "tianjin"];
  const second = await open(cities, ledger, { term: 2, to: "tianjin", voters });
  await cities.final(second + 1n);
  await cities.member("tianjin").stop();
  await cities.start("wuhan");
  await until(() => wuhan.running.replica.term().term === 2n, "the second term at Wuhan");
  const left = ["hangzhou", "shenzhen", "wuhan"];
  const third = await open(cities, ledger, { term: 3, to: "shenzhen", voters: left });
  await cities.final(third + 1n);
  assert.deepEqual(
    wuhan.running.replica.state().terms.map(({ term }) => term),
    [0n, 2n, 3n],
  );
});

test("what a log signs below the opening of its own term is taken by no replica and cosigned by no witness", async (t) => {
  const cities = await FourCities.found(t);
  await cities.startAll();
  const { ledger, network } = cities;
  const { batch } = await ledger.appendEvidence(network.provider.gateway);
  await cities.member("hangzhou").running.engine.submit(batch);
  await cities.final(2n);
  // Tianjin's witness takes no part in the term at first.
  await cities.member("tianjin").stop();
  const voters = ["hangzhou", "shenzhen", "wuhan"];
  await open(cities, ledger, { term: 1, to: "shenzhen", voters });
  await cities.final(ledger.size);
  const { replica, witness } = await cities.start("tianjin");
  await until(() => replica.term().term === 1n, "the term at Tianjin");
  const head = { size: 2n, root: ledger.rootAt(2n) as Uint8Array };
  const signer = network.signer("log of term 1");
  const checkpoint = signHead(originOf(network.id, 1n), head, signer);
  const request = formatAddCheckpoint({ oldSize: 0n, proof: [], checkpoint });
  assert.equal((await witness?.addCheckpoint(request))?.status, 400);
  const { digest } = ledger.states[2] ?? {};
  assert.ok(digest !== undefined);
  const shown = { registryDigest: digest, isSequencers: true };
  assert.throws(() => replica.takeHead(checkpoint, shown), { code: "CHECKPOINT_INVALID" });
  assert.equal(replica.fault(), undefined);
});

test("the batches of the appointed gateway that were not included come before its votes", async (t) => {
  const cities = await FourCities.found(t);
  await cities.startAll();
  const { ledger, network } = cities;
  const { city, member } = cities.at("tianjin");
  const { gateway } = city.agency;
  const own = [
    (await ledger.appendEvidence(gateway, [statusRecord(1)], { seenSize: 1n })).batch,
    (await ledger.appendEvidence(gateway, [statusRecord(2)], { seenSize: 1n })).batch,
  ];
  await cities.member("hangzhou").stop();
  const log = network.signer("log of term 1");
  member.logs.push(log);
  const votes = await cities.vote(others, { term: 1, to: "tianjin", log });
  const { start, opened } = await member.running.openTerm({ term: 1n, votes, own });
  assert.equal(start, 1n);
  assert.equal(member.running.replica.state().size, 1n, "nothing is stored before the votes");
  // Another gateway's batch has no place before them.
  const stranger = ledger.fork();
  const foreign = await stranger.appendEvidence(network.consumer.gateway, [statusRecord(3)], {
    seenSize: 1n,
  });
  await assert.rejects(member.running.engine.submit(foreign.batch), { code: "LEDGER_UNAVAILABLE" });
  const { batch } = await ledger.append(
    gateway,
    votes.map(({ record }) => record),
    { seenSize: 1n },
  );
  assert.deepEqual(await member.running.engine.submit(batch), { kind: "included", index: 3n });
  const fact = await opened;
  assert.deepEqual([fact.start, fact.since], [1n, 3n]);
  await cities.final(4n);
});

test("a term that nobody votes for in time is given up, and the ledger goes on as it was", async (t) => {
  const cities = await FourCities.found(t);
  await cities.startAll();
  const { ledger, network } = cities;
  const { member } = cities.at("tianjin");
  const checkpoint = member.running.replica.reader.head()?.note as Uint8Array;
  const votes = others.slice(0, 2).map((id) => ({ city: id, checkpoint }));
  await assert.rejects(member.running.openTerm({ term: 1n, votes, own: [] }), {
    code: "VOTES_MISSING",
  });
  await assert.rejects(member.running.openTerm({ term: 0n, votes, own: [] }), {
    code: "TERM_ENDED",
  });
  const { batch } = await ledger.appendEvidence(network.consumer.gateway);
  await cities.member("shenzhen").running.engine.submit(batch);
  await cities.final(2n);
});

test("a follower that cannot reach the sequencer follows another member", async (t) => {
  const cities = await FourCities.found(t);
  const wuhan = cities.member("wuhan");
  const { address } = cities.member("hangzhou").peer;
  const cut = (): never => {
    throw new CausewayError("LEDGER_UNAVAILABLE", "cut off");
  };
  const unreachable: LedgerClient = {
    submit: async () => cut(),
    putBlob: async () => cut(),
    getBlob: async () => cut(),
    follow: (_start, listener) => {
      queueMicrotask(() => listener.onEnd());
      return { pause: () => undefined, resume: () => undefined, cancel: () => undefined };
    },
    close: () => undefined,
  };
  for (const id of ["hangzhou", "shenzhen", "tianjin"]) await cities.start(id);
  await cities.final(1n);
  // The founding document names the sequencer alone: the first leaf names the others.
  await cities.start("wuhan");
  await cities.final(1n);
  await wuhan.stop();
  const { ledger, network } = cities;
  for (let i = 0; i < 5; i++) {
    const { batch } = await ledger.appendEvidence(network.consumer.gateway, [statusRecord(i)]);
    await cities.member("shenzhen").running.engine.submit(batch);
  }
  await cities.start("wuhan", {
    connect: (peer) => (peer.address === address ? unreachable : wuhan.client(peer)),
  });
  await cities.final(6n);
  const { replica } = wuhan.running;
  assert.deepEqual(replica.state().digest, ledger.state.digest);
  assert.equal(replica.fault(), undefined);
});

test("a member that makes up batches harms nobody who follows it: what no head covers is dropped", async (t) => {
  const cities = await FourCities.found(t);
  await cities.startAll();
  const wuhan = cities.member("wuhan");
  await wuhan.stop();
  const { ledger, network } = cities;
  const liar = ledger.fork();
  const madeUp = await liar.appendEvidence(network.consumer.gateway, [statusRecord(99)]);
  const real = await ledger.appendEvidence(network.provider.gateway, [statusRecord(1)]);
  await cities.member("hangzhou").running.engine.submit(real.batch);
  await cities.final(2n);
  const items: readonly FollowItem[] = [{ kind: "batch", index: 1n, batch: madeUp.batch }];
  const { address } = cities.member("hangzhou").peer;
  let asked = 0;
  await cities.start("wuhan", {
    connect: (peer) => {
      const honest = wuhan.client(peer);
      return {
        submit: (batch) => honest.submit(batch),
        putBlob: (digest, content) => honest.putBlob(digest, content),
        getBlob: (digest) => honest.getBlob(digest),
        follow: (start, listener) => {
          // The sequencer is away at first, so that another member is believed for a moment.
          if (asked++ === 0 && peer.address === address) {
            queueMicrotask(() => listener.onEnd());
            return { pause: () => undefined, resume: () => undefined, cancel: () => undefined };
          }
          if (asked > 2) return honest.follow(start, listener);
          queueMicrotask(() => {
            for (const item of items) listener.onItem(item);
            setTimeout(() => listener.onEnd(), 200);
          });
          return { pause: () => undefined, resume: () => undefined, cancel: () => undefined };
        },
        close: () => honest.close(),
      };
    },
  });
  const { replica } = wuhan.running;
  await until(() => replica.indexOfLeaf(madeUp.batch.leafHash) === 1n, "the made up batch");
  await until(() => replica.final()?.size === 2n, "the real one").catch((error: unknown) =>
    assert.fail(`${String(error)}: ${wuhan.told()}`),
  );
  assert.equal(replica.fault(), undefined);
  assert.equal(replica.indexOfLeaf(real.batch.leafHash), 1n);
  assert.deepEqual(
    replica.reader.droppedLeaves().map(({ leaf }) => leaf),
    [madeUp.batch.leaf],
  );
});
