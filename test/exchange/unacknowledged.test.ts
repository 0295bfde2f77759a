import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { concatBytes, u32be } from "../../src/base/bytes.ts";
import { agencyOf } from "../../src/base/ids.ts";
import { acknowledgementWaitingBytesMax } from "../../src/base/limits.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { HeldLeaves } from "../../src/exchange/held-leaves.ts";
import { LeafCache } from "../../src/exchange/leaf-cache.ts";
import { UnacknowledgedReceipts } from "../../src/exchange/unacknowledged.ts";
import { closedBeforeMs, Unanswered } from "../../src/exchange/unanswered.ts";
import { attemptKey } from "../../src/exchange/used-attempts.ts";
import { type Proof, ProofSchema } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { Check, Outcome, RecordSchema, Side } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { IncludedBatch, Replica, SealedRecord } from "../../src/ledger/ports.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { proveRecord } from "../../src/record/proof.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { encodeRecord, recordHash } from "../../src/record/record.ts";
import { statusRecord, TestLedger } from "../support/ledger.ts";
import { createTestNetwork } from "../support/network.ts";

const network = createTestNetwork();
const { provider, consumer } = network;
const peer = consumer.gateway.id;
const agency = agencyOf(peer);
const zeros = new Uint8Array(32);
const tokenDigest = sha256(new Uint8Array(1));
const key = attemptKey(tokenDigest, 3);
const waitingMax = 5;

/** A released receipt: of its record only the bytes count here. */
function receipt(number: number): SealedRecord {
  const record = statusRecord(number);
  const leaf = concatBytes(zeros, u32be(number));
  return { record, replaced: false, position: 0, path: [], leaf, leafHash: leafHash(leaf) };
}

function acknowledgement(
  sealed: SealedRecord,
  receiptRecord = recordHash(sealed.record),
  callerSystem = "",
): Uint8Array {
  const value: MessageInitShape<typeof RecordSchema>["body"] = {
    case: "acknowledgement",
    value: {
      xid: zeros.slice(16),
      attempt: 1,
      tokenDigest,
      index: 3,
      receipt: { leafHash: sealed.leafHash, position: sealed.position },
      receiptRecord,
      progress: { segment: 1, request: zeros, response: zeros },
      check: Check.MATCH,
      final: true,
      callerSystem,
    },
  };
  return encodeRecord(create(RecordSchema, { body: value }));
}

function closed(outcome: Outcome = Outcome.NO_ANSWER): Uint8Array {
  const value = {
    side: Side.CONSUMER,
    xid: zeros.slice(16),
    attempt: 1,
    tokenDigest,
    index: 3,
    outcome,
  };
  return encodeRecord(create(RecordSchema, { body: { case: "closed", value } }));
}

describe("receipts that wait for an answer", () => {
  let ledger: TestLedger;
  let nowMs: number;
  let waiting: UnacknowledgedReceipts;
  let leaves: HeldLeaves;
  let included: IncludedBatch[];
  let at: { index: bigint; leafHash: Uint8Array } | undefined;
  const turns: (() => void)[] = [];

  beforeEach(async () => {
    ledger = await TestLedger.founded(network);
    nowMs = ledger.nowMs;
    included = [];
    at = undefined;
    leaves = new HeldLeaves({ leafAt: () => at, inclusionBoundMs: () => 60_000 });
    waiting = new UnacknowledgedReceipts(
      {
        clock: { nowMs: () => nowMs },
        replica: { batch: (index) => included[Number(index)] },
        leaves,
        defer: (work) => turns.push(work),
        unansweredMax: () => 2,
        onForked: () => undefined,
      },
      waitingMax,
    );
  });

  const replica = (): Replica => ({ view: () => ledger.view() }) as Replica;
  const cache = (): LeafCache => new LeafCache(network.verifier);

  /** The proof of a record that a gateway has sealed. */
  function proofOf(record: Uint8Array, gateway = consumer.gateway): Proof {
    const batch = ledger.seal(gateway, [record], { kind: "evidence" });
    const { path, leaf } = proveRecord(batch, 0);
    return create(ProofSchema, { record, position: 0, path: [...path], leaf });
  }

  function include(record: Uint8Array, gateway = consumer.gateway): void {
    const batch = ledger.seal(gateway, [record], { kind: "evidence" });
    const { header, leafHash: hash } = openLeaf(batch.leaf);
    const index = BigInt(included.length);
    included.push({ leaf: batch.leaf, records: batch.records, index, header, leafHash: hash });
    waiting.onIncluded({ header, index });
  }

  const acknowledge = (proof: Proof, from = peer): boolean =>
    waiting.acknowledged(proof, { peer: from }, { replica: replica(), leaves: cache() });

  it("are answered by an acknowledgement in-band, of which the attempt hears once", () => {
    let heard = 0;
    const sealed = receipt(1);
    waiting.released(peer, sealed, () => heard++, key);
    assert.equal(waiting.count, 1);
    const proof = proofOf(acknowledgement(sealed));
    assert.equal(acknowledge(proof), true);
    assert.equal(acknowledge(proof), true);
    assert.deepEqual([waiting.count, heard], [0, 1]);
  });

  it("are not answered by one of another record, of another gateway, or of a proof that is not valid", () => {
    const sealed = receipt(1);
    waiting.released(peer, sealed, undefined, key);
    assert.equal(acknowledge(proofOf(acknowledgement(sealed, zeros))), false);
    const other = proofOf(acknowledgement(sealed), provider.gateway);
    assert.equal(acknowledge(other, provider.gateway.id), false);
    const broken = proofOf(acknowledgement(sealed));
    broken.position = 1;
    assert.equal(acknowledge(broken), false);
    assert.equal(acknowledge(proofOf(closed())), false);
    assert.equal(waiting.count, 1);
  });

  it("refuse the agency when as many as the bound are a minute old, and no other agency", () => {
    for (const number of [1, 2]) waiting.released(peer, receipt(number), undefined, key);
    assert.equal(waiting.overdue(agency, nowMs + 59_999), false);
    assert.equal(waiting.overdue(agency, nowMs + 60_000), true);
    assert.equal(waiting.overdue(agencyOf(provider.gateway.id), nowMs + 60_000), false);
    acknowledge(proofOf(acknowledgement(receipt(1))));
    assert.equal(waiting.overdue(agency, nowMs + 60_000), false);
  });

  for (const [what, answer] of [
    ["an acknowledgement", () => acknowledgement(receipt(1))],
    ["the closing of the attempt", () => closed()],
  ] as const) {
    it(`are answered by ${what} that stands on the ledger, once they are overdue`, async () => {
      waiting.released(peer, receipt(1), undefined, key);
      include(answer());
      waiting.onFinal();
      await setImmediate();
      assert.equal(waiting.count, 1);
      nowMs += 60_000;
      waiting.onFinal();
      await setImmediate();
      assert.equal(waiting.count, 0);
    });

    it(`are not answered by ${what} that another gateway sealed`, async () => {
      waiting.released(peer, receipt(1), undefined, key);
      include(answer(), provider.gateway);
      nowMs += 60_000;
      waiting.onFinal();
      await setImmediate();
      assert.equal(waiting.count, 1);
    });
  }

  describe("whose attempt was closed before they were released", () => {
    /** Another receipt of the agency is overdue: what its gateways include is read. */
    async function read(closing: Uint8Array, gateway = consumer.gateway): Promise<void> {
      waiting.released(peer, receipt(9), undefined, attemptKey(tokenDigest, 9));
      nowMs += 60_000;
      include(closing, gateway);
      waiting.onFinal();
      await setImmediate();
      assert.equal(waiting.count, 1);
    }

    it("are answered by the closing that was read for another that was overdue", async () => {
      await read(closed());
      for (const number of [1, 2]) waiting.released(peer, receipt(number), undefined, key);
      assert.equal(waiting.count, 1);
      waiting.released(peer, receipt(3), undefined, attemptKey(tokenDigest, 4));
      assert.equal(waiting.count, 2);
    });

    it("are not answered by the closing of another gateway", async () => {
      await read(closed(), provider.gateway);
      waiting.released(peer, receipt(1), undefined, key);
      assert.equal(waiting.count, 2);
    });

    it("are not answered by the closing of what the provider itself had refused", async () => {
      await read(closed(Outcome.REFUSED));
      waiting.released(peer, receipt(1), undefined, key);
      assert.equal(waiting.count, 2);
    });

    for (const [afterMs, count] of [
      [closedBeforeMs, 1],
      [closedBeforeMs + 1, 2],
    ] as const) {
      it(`are ${count === 1 ? "" : "not "}answered by a closing of ${afterMs} ms before`, async () => {
        await read(closed());
        nowMs += afterMs;
        waiting.onFinal();
        waiting.released(peer, receipt(1), undefined, key);
        assert.equal(waiting.count, count);
      });
    }

    it("are as many as are remembered of an agency, the newest ones", () => {
      const unanswered = new Unanswered(2);
      for (const attempt of ["1", "2", "3"]) unanswered.closed(peer, attempt, 0);
      unanswered.closed(peer, "2", 1);
      unanswered.closed(peer, "4", 1);
      const remembered = ["1", "2", "3", "4"].filter((one) => unanswered.isClosed(peer, one));
      assert.deepEqual(remembered, ["2", "4"]);
      assert.ok(!unanswered.idle);
      unanswered.prune(closedBeforeMs + 2);
      assert.ok(unanswered.idle);
    });
  });

  describe("whose acknowledgement is under a batch key that is not final here", () => {
    let isKnown: boolean;
    let finalSize: bigint;

    beforeEach(() => {
      isKnown = false;
      finalSize = 0n;
    });

    const behind = {
      view: () => {
        const view = ledger.view();
        const { network: founded } = view;
        return isKnown ? view : { network: founded, batchKey: () => undefined };
      },
      final: () => ({ size: finalSize }),
    } as unknown as Replica;
    const said = (proof: Proof): boolean =>
      waiting.acknowledged(proof, { peer }, { replica: behind, leaves: cache() });

    it("are answered once it is, without being told again", () => {
      let heard = 0;
      const sealed = receipt(1);
      waiting.released(peer, sealed, () => heard++, key);
      const proof = proofOf(acknowledgement(sealed));
      assert.ok(openLeaf(proof.leaf).header.seenSize > 0n);
      assert.equal(said(proof), true);
      waiting.onFinal();
      assert.deepEqual([waiting.count, heard], [1, 0]);
      isKnown = true;
      waiting.onFinal();
      assert.deepEqual([waiting.count, heard], [0, 1]);
    });

    it("are not answered by one that is not valid under it, however often it is looked at", () => {
      const sealed = receipt(1);
      waiting.released(peer, sealed, undefined, key);
      const proof = proofOf(acknowledgement(sealed));
      proof.leaf = proof.leaf.map((byte, i) => (i === 0 ? byte ^ 1 : byte));
      assert.equal(said(proof), true);
      isKnown = true;
      waiting.onFinal();
      assert.equal(waiting.count, 1);
      assert.equal(acknowledge(proofOf(acknowledgement(sealed))), true);
      assert.equal(waiting.count, 0);
    });

    it("take no word under a key that no ledger up to what it had seen binds", () => {
      const sealed = receipt(1);
      waiting.released(peer, sealed, undefined, key);
      const proof = proofOf(acknowledgement(sealed));
      finalSize = openLeaf(proof.leaf).header.seenSize;
      assert.equal(said(proof), false);
      isKnown = true;
      waiting.onFinal();
      assert.equal(waiting.count, 1);
    });

    it("keep nothing that is large, or of another receipt", () => {
      const sealed = receipt(1);
      waiting.released(peer, sealed, undefined, key);
      assert.equal(said(proofOf(acknowledgement(receipt(2)))), false);
      const large = acknowledgement(sealed, undefined, "x".repeat(acknowledgementWaitingBytesMax));
      assert.equal(said(proofOf(large)), true);
      isKnown = true;
      waiting.onFinal();
      assert.equal(waiting.count, 1);
    });

    it("keep as many as the bound, and take what is on the ledger for the others", () => {
      const sealed = Array.from({ length: waitingMax + 2 }, (_, i) => receipt(i));
      for (const each of sealed) waiting.released(peer, each, undefined, key);
      for (const each of sealed) assert.ok(said(proofOf(acknowledgement(each))));
      isKnown = true;
      waiting.onFinal();
      assert.equal(waiting.count, 2);
    });
  });

  it("are not looked for on the ledger any more once a gateway ends", async () => {
    waiting.released(peer, receipt(1), undefined, key);
    const statement = acknowledgement(receipt(2));
    for (let n = 0; n < 16; n++) include(statement);
    include(acknowledgement(receipt(1)));
    nowMs += 60_000;
    waiting.onFinal();
    await setImmediate();
    assert.equal(turns.length, 1);
    waiting.close();
    for (const work of turns.splice(0)) work();
    await setImmediate();
    waiting.onFinal();
    await setImmediate();
    assert.equal(waiting.count, 1);
  });

  it("wait again when the acknowledgement's leaf is overdue on the ledger", () => {
    const sealed = receipt(1);
    waiting.released(peer, sealed, undefined, key);
    acknowledge(proofOf(acknowledgement(sealed)));
    const { header } = openLeaf(ledger.seal(provider.gateway, [statusRecord()]).leaf);
    leaves.onIncluded({ index: 0n, header: { ...header, sealedAt: header.sealedAt + 1000n } });
    leaves.onFinal({ size: 1n, timeMs: nowMs + 2_000 });
    assert.equal(waiting.count, 0);
    leaves.onFinal({ size: 1n, timeMs: nowMs + 70_000 });
    assert.equal(waiting.count, 1);
  });

  it("are done with when the acknowledgement is final", () => {
    const sealed = receipt(1);
    waiting.released(peer, sealed, undefined, key);
    const proof = proofOf(acknowledgement(sealed));
    acknowledge(proof);
    const { header, leafHash: hash } = openLeaf(proof.leaf);
    at = { index: 0n, leafHash: hash };
    leaves.onIncluded({ index: 0n, header });
    leaves.onFinal({ size: 1n, timeMs: nowMs });
    assert.deepEqual([waiting.count, leaves.count], [0, 0]);
  });

  it("name the one that has waited longest", () => {
    waiting.released(peer, receipt(1), undefined, key);
    nowMs += 10;
    waiting.released(provider.gateway.id, receipt(2), undefined, key);
    assert.deepEqual(waiting.oldest?.leaf, receipt(1).leaf);
    waiting.restored(peer, "another", {
      leaf: receipt(3).leaf,
      record: statusRecord(3),
      sealedAtMs: nowMs - 1000,
      attempt: key,
    });
    assert.equal(waiting.count, 3);
  });
});
