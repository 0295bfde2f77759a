import assert from "node:assert/strict";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { systemScheduler } from "../../gateway/runtime.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import { signHead } from "../../src/ledger/embedded/checkpoints.ts";
import { readLedgerNetwork } from "../../src/ledger/embedded/network.ts";
import { gatherStart } from "../../src/ledger/embedded/own-term.ts";
import type { LedgerClient } from "../../src/ledger/embedded/ports.ts";
import { LedgerReplica } from "../../src/ledger/embedded/replica.ts";
import { SqliteLedgerStore } from "../../src/ledger/store/sqlite-store.ts";
import { originOf } from "../../src/registry/cosigning.ts";
import { statusRecord, TestLedger } from "../support/ledger.ts";
import { createTestNetwork } from "../support/network.ts";
import { temporaryFolder, TestClock } from "./support.ts";

const cities = [
  { id: "hangzhou", division: "330100", agency: "civil-affairs" },
  { id: "shenzhen", division: "440300", agency: "market-regulation" },
  { id: "tianjin", division: "120000", agency: "taxation" },
  { id: "wuhan", division: "420100", agency: "housing" },
];

/** Another member that holds a tree and shows it to whoever follows. */
function memberWith(ledger: TestLedger): { readonly client: LedgerClient } {
  const never = async (): Promise<never> => assert.fail("not asked in these tests");
  const client: LedgerClient = {
    submit: never,
    putBlob: never,
    getBlob: never,
    follow: ({ fromIndex }, listener) => {
      queueMicrotask(() => {
        for (const [i, batch] of ledger.batches.entries()) {
          if (BigInt(i) >= fromIndex) listener.onItem({ kind: "batch", index: BigInt(i), batch });
        }
        listener.onEnd();
      });
      return { pause: () => undefined, resume: () => undefined, cancel: () => undefined };
    },
    close: () => undefined,
  };
  return { client };
}

/** A replica of the first tree; the sequencer has shown another from index 2 on. */
async function twoTrees(t: TestContext): Promise<{
  readonly replica: LedgerReplica;
  readonly own: TestLedger;
  readonly other: TestLedger;
  readonly vote: (
    city: string,
    ledger: TestLedger,
    size: bigint,
  ) => { city: string; checkpoint: Uint8Array };
}> {
  const network = createTestNetwork({ cities, network: { quorum: 3, faults: 1 } });
  const own = await TestLedger.founded(network);
  await own.appendEvidence(network.provider.gateway);
  const other = own.fork();
  for (let i = 0; i < 3; i++) {
    await own.appendEvidence(network.provider.gateway, [statusRecord(i)]);
    await other.appendEvidence(network.provider.gateway, [statusRecord(10 + i)]);
  }
  const store = new SqliteLedgerStore(join(temporaryFolder(t), "ledger.sqlite"));
  t.after(() => store.close());
  const replica = await LedgerReplica.open({
    network: readLedgerNetwork(network.payload),
    store,
    verifier: network.verifier,
    clock: new TestClock(),
  });
  await replica.include(own.batches, "stop");
  return {
    replica,
    own,
    other,
    vote: (city, ledger, size) => {
      const root = ledger.rootAt(size) as Uint8Array;
      const checkpoint = signHead(originOf(network.id, 0n), { size, root }, network.log);
      return { city, checkpoint };
    },
  };
}

function parts(
  replica: LedgerReplica,
  members: readonly TestLedger[],
): Parameters<typeof gatherStart>[1] {
  return {
    replica,
    verifier: createNodeVerifier(),
    scheduler: systemScheduler,
    peers: { sources: () => members.map(memberWith) },
  };
}

test("checkpoints that agree give the highest, and nothing is asked of others", async (t) => {
  const { replica, own, vote } = await twoTrees(t);
  const votes = [vote("shenzhen", own, 3n), vote("tianjin", own, 4n), vote("wuhan", own, 2n)];
  const gathered = await gatherStart({ votes }, parts(replica, []));
  assert.deepEqual([gathered.start, gathered.base, gathered.lead], [4n, 4n, []]);
  assert.equal(gathered.evidence, undefined);
});

test("a tree that two others cosigned is kept though this gateway was shown another", async (t) => {
  const { replica, own, other, vote } = await twoTrees(t);
  const votes = [vote("shenzhen", own, 3n), vote("tianjin", other, 4n), vote("wuhan", other, 5n)];
  const gathered = await gatherStart({ votes }, parts(replica, [own, other]));
  assert.deepEqual([gathered.start, gathered.base], [4n, 2n]);
  assert.deepEqual(
    gathered.lead.map(({ leaf }) => leaf),
    other.batches.slice(2, 4).map(({ leaf }) => leaf),
  );
  assert.equal(gathered.evidence?.start, 4n);
  assert.deepEqual(
    gathered.evidence?.parts.map(({ city }) => city),
    ["wuhan"],
  );
});

test("a tree that the own city shares with another is kept, and the third one's is dropped", async (t) => {
  const { replica, own, other, vote } = await twoTrees(t);
  const votes = [vote("shenzhen", own, 3n), vote("tianjin", own, 5n), vote("wuhan", other, 5n)];
  const gathered = await gatherStart({ votes }, parts(replica, [other]));
  assert.deepEqual([gathered.start, gathered.base, gathered.lead], [3n, 3n, []]);
  assert.equal(gathered.evidence?.start, 3n);
});

test("a tree that nobody shows is LEDGER_BEHIND, with the city", async (t) => {
  const { replica, own, other, vote } = await twoTrees(t);
  const votes = [vote("shenzhen", own, 3n), vote("tianjin", own, 4n), vote("wuhan", other, 5n)];
  await assert.rejects(gatherStart({ votes }, parts(replica, [own])), {
    code: "LEDGER_BEHIND",
    fields: { city: "wuhan", size: "5" },
  });
});

test("without every other city's vote a contradiction gives no start", async (t) => {
  const { replica, own, other, vote } = await twoTrees(t);
  const votes = [vote("hangzhou", own, 3n), vote("tianjin", own, 4n), vote("wuhan", other, 5n)];
  await assert.rejects(gatherStart({ votes }, parts(replica, [other])), { code: "VOTES_MISSING" });
});
