/** What another member shows in the sequencer's place ends no trust in the log, whatever it is. */
import assert from "node:assert/strict";
import test from "node:test";
import { signHead } from "../../src/ledger/embedded/checkpoints.ts";
import type { FollowItem, LedgerClient } from "../../src/ledger/embedded/ports.ts";
import type { CreatedBatch } from "../../src/record/batch.ts";
import { originOf } from "../../src/registry/cosigning.ts";
import { statusRecord } from "../support/ledger.ts";
import { FourCities } from "./four-cities.ts";
import { until } from "./support.ts";

const idle = { pause: () => undefined, resume: () => undefined, cancel: () => undefined };

/**
 * Wuhan starts anew while its sequencer is away: the first stream that another member serves brings what a
 * test says, and ends. From then on everybody is there, and honest unless the others lie for ever.
 */
async function startRelayed(
  cities: FourCities,
  items: readonly FollowItem[],
  { isForEver = false }: { readonly isForEver?: boolean } = {},
): Promise<void> {
  const wuhan = cities.member("wuhan");
  const { address } = cities.member("hangzhou").peer;
  let isOver = false;
  await cities.start("wuhan", {
    connect: (peer): LedgerClient => {
      const honest = wuhan.client(peer);
      return {
        submit: (batch) => honest.submit(batch),
        putBlob: (digest, content) => honest.putBlob(digest, content),
        getBlob: (digest) => honest.getBlob(digest),
        follow: (start, listener) => {
          const isRelay = peer.address !== address;
          if (isOver && !(isRelay && isForEver)) return honest.follow(start, listener);
          isOver ||= isRelay;
          queueMicrotask(() => {
            if (isRelay) for (const item of items) listener.onItem(item);
            setTimeout(() => listener.onEnd(), isRelay ? 200 : 0);
          });
          return idle;
        },
        close: () => honest.close(),
      };
    },
  });
}

/** Four cities with a final tree of three leaves; Wuhan is stopped then. */
async function withThreeLeaves(t: test.TestContext): Promise<FourCities> {
  const cities = await FourCities.found(t);
  await cities.startAll();
  const { ledger, network } = cities;
  for (let i = 0; i < 2; i++) {
    const { batch } = await ledger.appendEvidence(network.consumer.gateway, [statusRecord(i)]);
    await cities.member("hangzhou").running.engine.submit(batch);
  }
  await cities.final(3n);
  const { replica } = cities.member("wuhan").running;
  await until(() => replica.reader.head()?.size === 3n, "the head of three leaves");
  await cities.member("wuhan").stop();
  return cities;
}

function headOf({ network, ledger }: FourCities, size: number, digest?: Uint8Array): FollowItem {
  const root = ledger.rootAt(BigInt(size));
  const own = ledger.states[size]?.digest;
  assert.ok(root !== undefined && own !== undefined);
  const note = signHead(originOf(network.id, 0n), { size: BigInt(size), root }, network.log);
  return { kind: "head", note, registryDigest: digest ?? own };
}

async function goesOn(cities: FourCities): Promise<void> {
  const { ledger, network } = cities;
  const { batch } = await ledger.appendEvidence(network.consumer.gateway, [statusRecord(9)]);
  await cities.member("hangzhou").running.engine.submit(batch);
  await cities.final(ledger.size);
  assert.equal(cities.member("wuhan").running.replica.fault(), undefined);
}

test("an old head that another member shows is no log that shrank", async (t) => {
  const cities = await withThreeLeaves(t);
  await startRelayed(cities, [headOf(cities, 2)]);
  await goesOn(cities);
});

test("another registry digest that another member shows is its own, not the log's", async (t) => {
  const cities = await withThreeLeaves(t);
  await startRelayed(cities, [headOf(cities, 3, new Uint8Array(32).fill(1))]);
  await goesOn(cities);
  const told = cities.member("wuhan").reports.map(({ reason }) => reason);
  assert.ok(told.includes("DIGEST_DIVERGES"), cities.member("wuhan").told());
});

/** A batch of which Wuhan is to be shown that it is the fourth leaf, and which is final as the fifth. */
async function withMisplaced(cities: FourCities): Promise<CreatedBatch> {
  const { ledger, network } = cities;
  const { engine } = cities.member("hangzhou").running;
  const relayed = ledger.seal(network.consumer.gateway, [statusRecord(3)], { kind: "evidence" });
  const first = await ledger.appendEvidence(network.provider.gateway, [statusRecord(4)]);
  await ledger.offer(relayed);
  // In one turn: both are of one size, so that no note covers the first alone.
  await Promise.all([engine.submit(first.batch), engine.submit(relayed)]);
  for (const id of ["hangzhou", "shenzhen", "tianjin"]) {
    const { replica } = cities.member(id).running;
    await until(() => replica.final()?.size === 5n, `both final at ${id}`);
  }
  return relayed;
}

test("a batch that has no place behind those of another member is no fault of the sequencer", async (t) => {
  const cities = await withThreeLeaves(t);
  const relayed = await withMisplaced(cities);
  await startRelayed(cities, [{ kind: "batch", index: 3n, batch: relayed }]);
  await goesOn(cities);
  const { replica } = cities.member("wuhan").running;
  assert.equal(replica.indexOfLeaf(relayed.leafHash), 4n);
  assert.deepEqual(
    replica.reader.droppedLeaves().map(({ leaf }) => leaf),
    [relayed.leaf],
  );
});

test("members that show another order whenever they are asked keep nobody from the sequencer's", async (t) => {
  const cities = await withThreeLeaves(t);
  const relayed = await withMisplaced(cities);
  await startRelayed(cities, [{ kind: "batch", index: 3n, batch: relayed }], { isForEver: true });
  const { replica } = cities.member("wuhan").running;
  const left: bigint[] = [];
  replica.onDropped((size) => left.push(size));
  await until(() => replica.final()?.size === 5n, "the sequencer's order is final");
  assert.equal(replica.indexOfLeaf(relayed.leafHash), 4n);
  assert.deepEqual([...new Set(left)], [3n]);
  assert.equal(replica.fault(), undefined);
});
