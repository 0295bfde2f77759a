/** Which receipts wait for an answer after a start, worked out from the own chain and the ledger. */
import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { toHex } from "../../src/base/bytes.ts";
import { callTokenDigest, createCallToken } from "../../src/credential/call-token.ts";
import {
  restoreUnanswered,
  type UnansweredPorts,
  unansweredState,
} from "../../src/exchange/unanswered-receipts.ts";
import {
  type AcknowledgementSchema,
  Check,
  Outcome,
  type Receipt,
  RecordSchema,
  Side,
} from "../../src/gen/causeway/record/v1/record_pb.ts";
import { RecordHashSchema } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import type { JournalBatch } from "../../src/ledger/journal/store.ts";
import type { StateChange } from "../../src/ledger/ports.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { formatHandle } from "../../src/record/handle.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import {
  encodeRecord,
  type LedgerRecord,
  openRecord,
  recordHash,
} from "../../src/record/record.ts";
import { TestLedger } from "../support/ledger.ts";
import { createTestNetwork, type TestGateway } from "../support/network.ts";
import { recordOfKind } from "../support/records.ts";

const network = createTestNetwork();
const { consumer, provider } = network;
const zeros = new Uint8Array(32);

function tokenOf(number: number): string {
  const claims = {
    iss: consumer.gateway.id,
    aud: provider.gateway.id,
    net: toHex(network.id),
    jti: new Uint8Array(16).fill(number),
    nonce: new Uint8Array(16),
    iat: 1_700_000_000,
    exp: 1_700_000_060,
    root: zeros,
    n: 1,
  };
  return createCallToken(claims, consumer.gateway.token);
}

const isUnary = ({ body }: LedgerRecord): boolean =>
  body.case === "receipt" && body.value.start.case === "begin";
const [someReceipt] = fc.sample(recordOfKind("evidence").filter(isUnary), {
  numRuns: 1,
  seed: 11,
});

/** The only receipt of a call under a token of its own. */
function receiptOf(number: number): Uint8Array {
  const { body } = structuredClone(someReceipt) as { body: { case: "receipt"; value: Receipt } };
  const { start } = body.value;
  assert.ok(start.case === "begin" && start.value.call !== undefined);
  start.value.call.token = tokenOf(number);
  start.value.call.index = 0;
  body.value.final = true;
  return encodeRecord(create(RecordSchema, { body } as never));
}

function altered(record: Uint8Array, change: (value: Receipt) => void): Uint8Array {
  const { body } = openRecord(record);
  assert.ok(body.case === "receipt");
  change(body.value);
  return encodeRecord(create(RecordSchema, { body }));
}

describe("receipts of an earlier start", () => {
  let ledger: TestLedger;
  let own: JournalBatch[];
  let included: { leaf: Uint8Array; records: readonly Uint8Array[] }[];
  let saved: StateChange | undefined;

  beforeEach(async () => {
    ledger = await TestLedger.founded(network);
    own = [];
    included = [];
    saved = undefined;
  });

  /** Seals a receipt, of a call of its own by default; gives its handle. */
  function receipt(number: number, record: Uint8Array = receiptOf(number)): string {
    const { leaf, records } = ledger.seal(provider.gateway, [record], {
      kind: "evidence",
      seq: BigInt(number),
    });
    const hash = leafHash(leaf);
    own.push({ number: own.length, leaf, leafHash: hash, records } as unknown as JournalBatch);
    included.push({ leaf, records });
    return formatHandle(hash, 0);
  }

  function include(record: Uint8Array, by: TestGateway = consumer.gateway): void {
    included.push(ledger.seal(by, [record], { kind: "evidence" }));
  }

  function acknowledgement(number: number): Uint8Array {
    const { leafHash: hash, records } = own[number] as JournalBatch;
    const value: Parameters<typeof create<typeof AcknowledgementSchema>>[1] = {
      xid: zeros.slice(16),
      attempt: 1,
      tokenDigest: callTokenDigest(tokenOf(number)),
      receipt: { leafHash: hash, position: 0 },
      receiptRecord: recordHash(records[0] as Uint8Array),
      progress: { segment: 1, request: zeros, response: zeros },
      check: Check.MATCH,
      final: true,
    };
    return encodeRecord(create(RecordSchema, { body: { case: "acknowledgement", value } }));
  }

  function closed(number: number): Uint8Array {
    const value = {
      side: Side.CONSUMER,
      xid: zeros.slice(16),
      attempt: 1,
      tokenDigest: callTokenDigest(tokenOf(number)),
      outcome: Outcome.NO_ANSWER,
    };
    return encodeRecord(create(RecordSchema, { body: { case: "closed", value } }));
  }

  const journal: UnansweredPorts["journal"] = {
    batch: (number) => own[number],
    batchCount: () => own.length,
    state: () => saved?.value,
  };

  async function restored(places: number[] = []): Promise<readonly string[]> {
    const handles: string[] = [];
    const replica = {
      state: () => ({ size: BigInt(included.length) }),
      batch: (index: bigint) => {
        const batch = included[Number(index)];
        return batch && { ...batch, header: openLeaf(batch.leaf).header };
      },
    } as unknown as UnansweredPorts["replica"];
    const ports = { journal, replica, turn: () => Promise.resolve() };
    await restoreUnanswered(ports, {
      restored: (_peer, handle, { from }) => {
        handles.push(handle);
        places.push(from);
      },
      lookBackFrom: (batches) => batches,
    });
    return handles;
  }

  it("wait unless the ledger answers them, also when the journal has no word of how far they were answered", async () => {
    const handles = [0, 1, 2, 3].map((number) => receipt(number));
    include(acknowledgement(0));
    include(closed(1));
    include(acknowledgement(2), provider.gateway);
    assert.deepEqual(await restored(), handles.slice(2));
  });

  it("of a stream hold the place of its first record", async () => {
    const first = altered(receiptOf(1), (value) => void (value.final = false));
    const next = altered(receiptOf(1), (value) => {
      const hash = { hash: recordHash(first) };
      value.start = { case: "prevRecord", value: create(RecordHashSchema, hash) };
    });
    receipt(0);
    const stream = [receipt(1, first), receipt(2, next)];
    include(acknowledgement(0));
    const places: number[] = [];
    assert.deepEqual(await restored(places), stream);
    assert.deepEqual(places, [1, 1]);
  });

  it("are looked for from the place on that the journal says", async () => {
    const handles = [0, 1, 2].map((number) => receipt(number));
    saved = unansweredState(journal, { lookBackFrom: () => 1 });
    assert.deepEqual(await restored(), handles.slice(1));
    assert.equal(unansweredState(journal, { lookBackFrom: () => 1 }), undefined);
    saved = unansweredState(journal, { lookBackFrom: (batches) => batches });
    assert.deepEqual(await restored(), []);
  });
});
