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
import { type BegunAttempt, UnacknowledgedReceipts } from "../../src/exchange/unacknowledged.ts";
import { closedBeforeMs, Unanswered } from "../../src/exchange/unanswered.ts";
import { attemptKey } from "../../src/exchange/used-attempts.ts";
import { type Proof, ProofSchema } from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { Check, Outcome, RecordSchema, Side } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { IncludedBatch, Replica, SealedRecord } from "../../src/ledger/ports.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { formatHandle } from "../../src/record/handle.ts";
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
const leavesMax = 8;

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
    leaves = new HeldLeaves({ leafAt: () => at, inclusionBoundMs: () => 60_000 }, leavesMax);
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

  function release(sealed: SealedRecord, attempt = key, heard?: () => void): void {
    waiting.begun(peer).released(sealed, attempt, heard);
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
    release(sealed, key, () => heard++);
    assert.equal(waiting.count, 1);
    const proof = proofOf(acknowledgement(sealed));
    assert.equal(acknowledge(proof), true);
    assert.equal(acknowledge(proof), true);
    assert.deepEqual([waiting.count, heard], [0, 1]);
  });

  it("are not answered by one of another record, of another gateway, or of a proof that is not valid", () => {
    const sealed = receipt(1);
    release(sealed);
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
    for (const number of [1, 2]) release(receipt(number));
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
      release(receipt(1));
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
      release(receipt(1));
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
      release(receipt(9), attemptKey(tokenDigest, 9));
      nowMs += 60_000;
      include(closing, gateway);
      waiting.onFinal();
      await setImmediate();
      assert.equal(waiting.count, 1);
    }

    it("are answered by the closing that was read for another that was overdue", async () => {
      await read(closed());
      for (const number of [1, 2]) release(receipt(number));
      assert.equal(waiting.count, 1);
      release(receipt(3), attemptKey(tokenDigest, 4));
      assert.equal(waiting.count, 2);
    });

    it("are not answered by the closing of another gateway", async () => {
      await read(closed(), provider.gateway);
      release(receipt(1));
      assert.equal(waiting.count, 2);
    });

    it("are not answered by the closing of what the provider itself had refused", async () => {
      await read(closed(Outcome.REFUSED));
      release(receipt(1));
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
        release(receipt(1));
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
      release(sealed, key, () => heard++);
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
      release(sealed);
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
      release(sealed);
      const proof = proofOf(acknowledgement(sealed));
      finalSize = openLeaf(proof.leaf).header.seenSize;
      assert.equal(said(proof), false);
      isKnown = true;
      waiting.onFinal();
      assert.equal(waiting.count, 1);
    });

    it("keep nothing that is large, or of another receipt", () => {
      const sealed = receipt(1);
      release(sealed);
      assert.equal(said(proofOf(acknowledgement(receipt(2)))), false);
      const large = acknowledgement(sealed, undefined, "x".repeat(acknowledgementWaitingBytesMax));
      assert.equal(said(proofOf(large)), true);
      isKnown = true;
      waiting.onFinal();
      assert.equal(waiting.count, 1);
    });

    it("keep as many as the bound, and take what is on the ledger for the others", () => {
      const sealed = Array.from({ length: waitingMax + 2 }, (_, i) => receipt(i));
      for (const each of sealed) release(each);
      for (const each of sealed) assert.ok(said(proofOf(acknowledgement(each))));
      isKnown = true;
      waiting.onFinal();
      assert.equal(waiting.count, 2);
    });
  });

  it("are not looked for on the ledger any more once a gateway ends", async () => {
    release(receipt(1));
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
    release(sealed);
    acknowledge(proofOf(acknowledgement(sealed)));
    const { header } = openLeaf(ledger.seal(provider.gateway, [statusRecord()]).leaf);
    leaves.onIncluded({ index: 0n, header: { ...header, sealedAt: header.sealedAt + 1000n } });
    leaves.onFinal({ size: 1n, timeMs: nowMs + 2_000 });
    assert.equal(waiting.count, 0);
    leaves.onFinal({ size: 1n, timeMs: nowMs + 70_000 });
    assert.equal(waiting.count, 1);
  });

  it("are answered by the ledger alone once an acknowledgement was overdue there, whatever is told again", async () => {
    const sealed = receipt(1);
    release(sealed);
    const answer = acknowledgement(sealed);
    const proof = proofOf(answer);
    acknowledge(proof);
    const { header } = openLeaf(ledger.seal(provider.gateway, [statusRecord()]).leaf);
    leaves.onIncluded({ index: 0n, header: { ...header, sealedAt: header.sealedAt + 1000n } });
    leaves.onFinal({ size: 1n, timeMs: nowMs + 2_000 });
    nowMs += 70_000;
    leaves.onFinal({ size: 1n, timeMs: nowMs });
    assert.equal(acknowledge(proof), true);
    assert.equal(acknowledge(proofOf(acknowledgement(sealed, undefined, "other"))), true);
    assert.equal(waiting.count, 1);
    include(answer);
    waiting.onFinal();
    await setImmediate();
    assert.equal(waiting.count, 0);
  });

  it("are not answered by a leaf that is overdue already, but their streams go on", () => {
    const [first, second] = [receipt(1), receipt(2)];
    let heard = 0;
    release(first);
    const records = [acknowledgement(first), acknowledgement(second)];
    const both = ledger.seal(consumer.gateway, records, { kind: "evidence" });
    const [earlier, later] = records.map((record, position) => {
      const { path, leaf } = proveRecord(both, position);
      return create(ProofSchema, { record, position, path: [...path], leaf });
    });
    assert.ok(earlier !== undefined && later !== undefined);
    acknowledge(earlier);
    const { header } = openLeaf(ledger.seal(provider.gateway, [statusRecord()]).leaf);
    leaves.onIncluded({ index: 0n, header: { ...header, sealedAt: header.sealedAt + 1000n } });
    leaves.onFinal({ size: 1n, timeMs: nowMs + 2_000 });
    leaves.onFinal({ size: 1n, timeMs: nowMs + 70_000 });
    release(second, key, () => heard++);
    for (let times = 0; times < 2; times++) assert.equal(acknowledge(later), true);
    assert.deepEqual([waiting.count, heard], [2, 1]);
  });

  it("are done with when the acknowledgement is final", () => {
    const sealed = receipt(1);
    release(sealed);
    const proof = proofOf(acknowledgement(sealed));
    acknowledge(proof);
    const { header, leafHash: hash } = openLeaf(proof.leaf);
    at = { index: 0n, leafHash: hash };
    leaves.onIncluded({ index: 0n, header });
    leaves.onFinal({ size: 1n, timeMs: nowMs });
    assert.deepEqual([waiting.count, leaves.count], [0, 0]);
  });

  describe("with their attempts hold the place from which a start looks back", () => {
    function begin(batches: number): BegunAttempt {
      waiting.lookBackFrom(batches);
      return waiting.begun(peer);
    }

    function acknowledgeFinally(sealed: SealedRecord): () => void {
      const proof = proofOf(acknowledgement(sealed));
      acknowledge(proof);
      const { header, leafHash: hash } = openLeaf(proof.leaf);
      at = { index: 0n, leafHash: hash };
      leaves.onIncluded({ index: 0n, header });
      return () => leaves.onFinal({ size: 1n, timeMs: nowMs });
    }

    it("which is the end of the journal where there are none", () => {
      const attempt = begin(3);
      assert.equal(waiting.lookBackFrom(7), 3);
      attempt.over();
      assert.equal(waiting.lookBackFrom(7), 7);
    });

    it("also of one that was sealed first and released last", () => {
      const first = begin(1);
      const second = begin(2);
      second.released(receipt(2), attemptKey(tokenDigest, 4));
      second.over();
      nowMs += 10_000;
      first.released(receipt(1), key);
      first.over();
      assert.equal(waiting.lookBackFrom(9), 1);
    });

    it("of a stream from its first record on", () => {
      const stream = begin(1);
      acknowledge(proofOf(acknowledgement(receipt(1))));
      waiting.lookBackFrom(5);
      stream.released(receipt(2), key);
      stream.over();
      assert.equal(waiting.lookBackFrom(9), 1);
    });

    it("until their acknowledgement is final", () => {
      const attempt = begin(1);
      attempt.released(receipt(1), key);
      attempt.over();
      const becomesFinal = acknowledgeFinally(receipt(1));
      assert.deepEqual([waiting.count, waiting.lookBackFrom(9)], [0, 1]);
      becomesFinal();
      assert.equal(waiting.lookBackFrom(9), 9);
    });

    it("until the consumer's closing stands on the ledger", async () => {
      const attempt = begin(1);
      attempt.released(receipt(1), key);
      attempt.over();
      include(closed());
      nowMs += 60_000;
      waiting.onFinal();
      await setImmediate();
      assert.equal(waiting.lookBackFrom(9), 9);
    });

    it("again when the leaf of their acknowledgement is overdue", async () => {
      for (const number of [1, 2]) {
        const attempt = begin(number);
        attempt.released(receipt(number), key);
        attempt.over();
      }
      acknowledge(proofOf(acknowledgement(receipt(2))));
      const { header } = openLeaf(ledger.seal(provider.gateway, [statusRecord()]).leaf);
      leaves.onIncluded({ index: 0n, header: { ...header, sealedAt: header.sealedAt + 1000n } });
      leaves.onFinal({ size: 1n, timeMs: nowMs + 2_000 });
      leaves.onFinal({ size: 1n, timeMs: nowMs + 70_000 });
      assert.deepEqual([waiting.count, waiting.lookBackFrom(9)], [2, 1]);
      for (const number of [1, 2]) include(acknowledgement(receipt(number)));
      nowMs += 70_000;
      waiting.onFinal();
      await setImmediate();
      assert.deepEqual([waiting.count, waiting.lookBackFrom(9)], [0, 9]);
    });

    it("no longer when there is no room for the leaf of their acknowledgement", () => {
      const attempt = begin(1);
      attempt.released(receipt(1), key);
      attempt.over();
      acknowledge(proofOf(acknowledgement(receipt(1))));
      assert.deepEqual([waiting.count, waiting.lookBackFrom(9)], [0, 1]);
      for (let n = 0; n < leavesMax; n++) {
        const { leaf } = proofOf(statusRecord(n));
        const silent = { final: () => 0, forked: () => 0, overdue: () => 0 };
        leaves.hold(leaf, leafHash(leaf), silent);
      }
      assert.equal(waiting.lookBackFrom(9), 9);
    });

    it("of an earlier start as well", () => {
      const { leaf, leafHash: hash, record } = receipt(1);
      const from = { leaf, record, sealedAtMs: nowMs - 1000, attempt: key, from: 4 };
      waiting.restored(peer, formatHandle(hash, 0), from);
      assert.deepEqual([waiting.count, waiting.lookBackFrom(9)], [1, 4]);
      acknowledge(proofOf(acknowledgement(receipt(1))));
      assert.equal(waiting.count, 0);
    });
  });
});
