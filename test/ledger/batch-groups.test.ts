import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BatchGroups } from "../../gateway/ledger/batch-groups.ts";
import {
  fromFollowItems,
  fromSubmitResults,
  toFollowItems,
  toSealedBatches,
  toSubmitResults,
} from "../../gateway/ledger/ledger-messages.ts";
import { batchBytesMax, groupBatchesMax } from "../../src/base/limits.ts";
import { create } from "@bufbuild/protobuf";
import { SubmitRequestSchema } from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import type { FollowItem } from "../../src/ledger/embedded/ports.ts";
import type { SealedBatch } from "../../src/ledger/ports.ts";

const batchOf = (n: number, recordBytes = 3): SealedBatch => ({
  leaf: Uint8Array.of(n),
  records: [new Uint8Array(recordBytes).fill(n)],
});

/** Answers each batch with the first byte of its leaf. */
function recorded(): { readonly groups: BatchGroups<number>; readonly sent: number[][] } {
  const sent: number[][] = [];
  const groups = new BatchGroups(async (batches) => {
    const names = batches.map(({ leaf }) => leaf[0] as number);
    sent.push(names);
    return names;
  });
  return { groups, sent };
}

describe("batches that are handed over in one turn", () => {
  it("travel in one message, and each has its own answer", async () => {
    const { groups, sent } = recorded();
    const answers = await Promise.all([1, 2, 3].map((n) => groups.add(batchOf(n))));
    assert.deepEqual(answers, [1, 2, 3]);
    assert.deepEqual(sent, [[1, 2, 3]]);
    assert.equal(await groups.add(batchOf(4)), 4);
    assert.deepEqual(sent, [[1, 2, 3], [4]]);
  });

  it("are as many in a message as it may have", async () => {
    const { groups, sent } = recorded();
    const all = Array.from({ length: groupBatchesMax + 1 }, (_, n) => n);
    assert.deepEqual(await Promise.all(all.map((n) => groups.add(batchOf(n)))), all);
    assert.deepEqual(
      sent.map(({ length }) => length),
      [groupBatchesMax, 1],
    );
  });

  it("are as many bytes in a message as the largest batch", async () => {
    const { groups, sent } = recorded();
    const half = batchBytesMax / 2;
    const sizes = [half - 100, half - 100, half, batchBytesMax, 1];
    await Promise.all(sizes.map((bytes, n) => groups.add(batchOf(n, bytes))));
    assert.deepEqual(sent, [[0, 1], [2], [3, 4]]);
  });

  it("are all rejected when their message is", async () => {
    const groups = new BatchGroups<number>(() => Promise.reject(new Error("away")));
    const settled = await Promise.allSettled([1, 2].map((n) => groups.add(batchOf(n))));
    assert.deepEqual(
      settled.map(({ status }) => status),
      ["rejected", "rejected"],
    );
  });
});

describe("the messages of several batches", () => {
  const batch = (index: number): FollowItem => ({
    kind: "batch",
    index: BigInt(index),
    batch: batchOf(index),
  });
  const head: FollowItem = {
    kind: "head",
    note: Uint8Array.of(7),
    registryDigest: Uint8Array.of(8),
  };

  it("hold the items of the stream in their order, batches that follow each other in one", () => {
    const items = [batch(0), batch(1), head, batch(2), batch(9), batch(10)];
    const messages = fromFollowItems(items);
    assert.equal(messages.length, 4);
    assert.deepEqual(messages.flatMap(toFollowItems), items);
  });

  it("hold at most a group of batches", () => {
    const items = Array.from({ length: groupBatchesMax + 2 }, (_, i) => batch(i));
    const messages = fromFollowItems(items);
    assert.equal(messages.length, 2);
    assert.deepEqual(messages.flatMap(toFollowItems), items);
  });

  it("of a submit: none, or more than a group, are MALFORMED", () => {
    for (const length of [0, groupBatchesMax + 1]) {
      const request = create(SubmitRequestSchema, {
        batches: Array.from({ length }, (_, n) => {
          const { leaf, records } = batchOf(n);
          return { leaf, records: [...records] };
        }),
      });
      assert.throws(() => toSealedBatches(request), { code: "MALFORMED" });
    }
  });

  it("of an answer: another number of results than of batches is MALFORMED", () => {
    const results = [{ kind: "included", index: 3n } as const];
    assert.deepEqual(toSubmitResults(fromSubmitResults(results), 1), results);
    assert.throws(() => toSubmitResults(fromSubmitResults(results), 2), { code: "MALFORMED" });
  });
});
