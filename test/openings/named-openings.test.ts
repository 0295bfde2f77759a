/** Which openings the record of a refusal names, and that it never names those of another. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { openingsOfRecord } from "../../gateway/admin/named-openings.ts";
import { openingId } from "../../gateway/openings.ts";
import { createUuidV7 } from "../../src/base/ids.ts";
import { toHex } from "../../src/base/bytes.ts";
import { refusalIds } from "../../src/exchange/refusal-openings.ts";
import { encodeProviderRefusal } from "../../src/exchange/provider-records.ts";
import { RefusalSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import type { CreatedBatch } from "../../src/record/batch.ts";
import { formatHandle } from "../../src/record/handle.ts";
import { openLeaf } from "../../src/record/leaf.ts";
import { TestLedger } from "../support/ledger.ts";
import { createTestNetwork, type TestGateway } from "../support/network.ts";

const network = createTestNetwork({ seed: "named openings" });
const ledger = await TestLedger.founded(network);
const own = network.provider.gateway;
const other = network.consumer.gateway;

/** A refusal that `by` has sealed, with this commitment to its call. */
function refusal(by: TestGateway, callCommitment: Uint8Array): CreatedBatch {
  const record = encodeProviderRefusal({
    stage: "token",
    reason: "TOKEN_MALFORMED",
    peer: { gateway: other.id, tlsKey: new Uint8Array(32).fill(1) },
    call: undefined,
    callCommitment,
    method: undefined,
    methodCommitment: undefined,
    decision: undefined,
    recheck: undefined,
    upstreamCalled: false,
  });
  return ledger.seal(by, [record], { kind: "evidence" });
}

/** What the record names at the gateway `own`, which holds these batches; in hex. */
function named(batch: CreatedBatch): readonly string[] {
  const isOwn = openLeaf(batch.leaf).header.gateway === own.id;
  const shown = { ...batch, records: batch.records };
  const ports = {
    turn: () => Promise.resolve(),
    journal: { batchByLeafHash: () => (isOwn ? shown : undefined), newest: () => [] },
    replica: {
      indexOfLeaf: () => (isOwn ? undefined : 5n),
      batch: (index: bigint) => (index === 5n ? shown : undefined),
      final: () => undefined,
      voidReason: () => undefined,
    },
  };
  const handle = formatHandle(batch.leafHash, 0);
  return openingsOfRecord(handle, ports as never).ids.map(toHex);
}

describe("the record of a refusal", () => {
  const commitment = new Uint8Array(32).fill(9);

  it("of this gateway names what opens it, and no attempt of an exchange that its id could be of", () => {
    const batch = refusal(own, commitment);
    const ids = named(batch);
    const { header } = openLeaf(batch.leaf);
    const refused = create(RefusalSchema, { callCommitment: commitment });
    const [first] = refusalIds(refused, header);
    const opening = { xid: first as Uint8Array, side: "provider" } as const;
    const isNamed = (attempt: number): boolean => {
      const id = toHex(openingId({ ...opening, attempt }));
      return ids.some((prefix) => id.startsWith(prefix));
    };
    assert.deepEqual([isNamed(0), isNamed(1)], [true, false]);
  });

  it("of another gateway names nothing here, whatever its commitment is", () => {
    const xid = createUuidV7(Math.floor(ledger.nowMs / 1000) * 1000, commitment);
    const made = new Uint8Array(32);
    made.set(xid.subarray(6));
    assert.deepEqual(named(refusal(other, made)), []);
    assert.deepEqual(named(refusal(other, commitment)), []);
  });
});
