import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { concatBytes, toHex } from "../../src/base/bytes.ts";
import { AssertionError } from "../../src/base/errors.ts";
import type { ClosedBatch } from "../../src/ledger/journal/close-machine.ts";
import { frame, unframe } from "../../src/ledger/journal/framing.ts";
import { packedPath, packedRoot, packTree } from "../../src/ledger/journal/packed-tree.ts";
import { decodeSealJob, encodeSealJob } from "../../src/ledger/journal/seal-message.ts";
import { treeWithPaths } from "../../src/merkle/batch-tree.ts";
import { leafHash } from "../../src/merkle/hash.ts";

describe("a packed tree", () => {
  it("has the root and paths of the tree of RFC 6962 for every number of records to 130", () => {
    for (let count = 1; count <= 130; count++) {
      const records = Array.from({ length: count }, (_, i) => Uint8Array.of(i));
      const packed = packTree(records);
      const { root, paths } = treeWithPaths(records.map(leafHash));
      assert.equal(toHex(packedRoot(packed)), toHex(root));
      for (let position = 0; position < count; position++) {
        const path = packedPath(packed, { position, count }).map(toHex);
        assert.deepEqual(path, paths[position]?.map(toHex));
      }
    }
  });

  it("has no path of a record that is not in it", () => {
    const packed = packTree([Uint8Array.of(1)]);
    assert.throws(() => packedPath(packed, { position: 1, count: 1 }), RangeError);
    assert.throws(() => packTree([]), RangeError);
  });
});

describe("frames", () => {
  const items = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });

  it("come back as they were put together", () => {
    fc.assert(
      fc.property(items, (some) => {
        assert.deepEqual(unframe(frame(some)).map(toHex), some.map(toHex));
      }),
    );
  });

  it("that end inside an item break an invariant", () => {
    fc.assert(
      fc.property(items, fc.integer({ min: 1, max: 3 }), (some, cut) => {
        const framed = frame([...some, new Uint8Array(3)]);
        assert.throws(() => unframe(framed.subarray(0, framed.length - cut)), AssertionError);
      }),
    );
  });

  it("are the body that the ledger serves: u32be length and record", () => {
    const framed = frame([Uint8Array.of(7), Uint8Array.of(8, 9)]);
    assert.equal(toHex(framed), toHex(concatBytes(Uint8Array.of(0, 0, 0, 1, 7, 0, 0, 0, 2, 8, 9))));
  });
});

describe("a batch on its way to the worker", () => {
  it("arrives as it was closed", () => {
    const key = fc.string({ unit: "binary", minLength: 1, maxLength: 9 });
    const bytes = fc.uint8Array({ maxLength: 20 });
    const change = fc.record({ key, value: fc.option(bytes, { nil: undefined }) });
    const record = fc.record({ record: bytes, states: fc.array(change, { maxLength: 3 }) });
    const batch = fc.record({
      kind: fc.constantFrom("governance" as const, "evidence" as const),
      size: fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }),
      root: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      firstAtMs: fc.maxSafeNat(),
      sealedAtMs: fc.maxSafeNat(),
      records: fc.array(record, { minLength: 1, maxLength: 5 }),
    });
    fc.assert(
      fc.property(batch, ({ kind, size, root, firstAtMs, sealedAtMs, records }) => {
        const entries = records.map(({ record: sealed, states }) => ({
          record: sealed,
          replaced: false,
          ticket: 0,
          states: states.map(({ key: name, value }) =>
            value === undefined ? { key: name } : { key: name, value },
          ),
        }));
        const closed: ClosedBatch<number> = {
          kind,
          seen: { size, root },
          firstAtMs,
          sealedAtMs,
          records: entries,
        };
        const job = decodeSealJob(encodeSealJob(closed));
        assert.deepEqual(
          [job.kind, job.seenSize, job.firstAtMs, job.sealedAtMs],
          [kind, size, firstAtMs, sealedAtMs],
        );
        assert.equal(toHex(job.seenRoot), toHex(root));
        assert.deepEqual(
          job.records.map(toHex),
          records.map((one) => toHex(one.record)),
        );
        assert.equal(toHex(job.body), toHex(frame(records.map((one) => one.record))));
        assert.deepEqual(
          job.states,
          entries.flatMap(({ states }) => states),
        );
      }),
    );
  });
});
