import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { concatBytes } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { batchRecordsMax, recordBytesMax } from "../../src/base/limits.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import type { Header } from "../../src/gen/causeway/record/v1/header_pb.ts";
import { HeaderSchema } from "../../src/gen/causeway/record/v1/header_pb.ts";
import { RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { leafHash, nodeHash } from "../../src/merkle/hash.ts";
import type { BatchFields } from "../../src/record/batch.ts";
import {
  createHeader,
  kindOfBatch,
  openBatch,
  sealBatch,
  totalBytes,
} from "../../src/record/batch.ts";
import { encodeHeader } from "../../src/record/header.ts";
import { keyDigest, signedBytes, verifyLeaf } from "../../src/record/leaf.ts";
import type { RecordProof } from "../../src/record/proof.ts";
import { proveRecord, verifyRecordPath, verifyRecordProof } from "../../src/record/proof.ts";
import { encodeRecord, kindOfRecord, openRecord, recordHash } from "../../src/record/record.ts";
import {
  batchFields,
  recordOfKind,
  recordsByCase,
  sealedBatch,
  testSigner,
} from "../support/records.ts";

const signer = testSigner(1);
const verifier = createNodeVerifier();
const one = <T>(arbitrary: fc.Arbitrary<T>, seed = 11): T =>
  (fc.sample(arbitrary, { seed, numRuns: 1 }) as [T])[0];

const fields = one(batchFields("evidence"));
const records = fc
  .sample(recordOfKind("evidence"), { seed: 5, numRuns: 5 })
  .map((record) => encodeRecord(record));
const batch = sealBatch(fields, records, signer);

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
  return changed;
}

/** A batch whose header says something else, under a good signature. */
function resealed(
  change: Partial<Header>,
  bodies: readonly Uint8Array[] = records,
): { leaf: Uint8Array; records: readonly Uint8Array[] } {
  const header = encodeHeader(create(HeaderSchema, { ...batch.header, ...change }));
  return { leaf: concatBytes(signer.sign(signedBytes(header)), header), records: bodies };
}

test("opening a sealed batch gives its header, records and hashes, and its leaf verifies", () => {
  fc.assert(
    fc.property(sealedBatch(), (sealed) => {
      const opened = openBatch(sealed);
      assert.deepEqual(opened.header, sealed.header);
      assert.deepEqual(opened.leafHash, sealed.leafHash);
      assert.deepEqual(opened.recordHashes, sealed.records.map(recordHash));
      const cases = sealed.records.map((record) => openRecord(record).body.case);
      assert.deepEqual(opened.recordCases, cases);
      assert.deepEqual(opened.records.map(encodeRecord), sealed.records);
      assert.equal(opened.header.bodyBytes, totalBytes(sealed.records));
      verifyLeaf({ leaf: opened, publicKey: signer.publicKey, verifier });
    }),
    { numRuns: 50 },
  );
});

test("the header says what the gateway says, and what follows from records and key", () => {
  assert.deepEqual(
    batch.header,
    create(HeaderSchema, {
      version: 1,
      kind: 2,
      network: fields.network,
      gateway: fields.gateway,
      key: keyDigest(signer.publicKey),
      epoch: fields.epoch,
      boot: fields.boot,
      seq: fields.seq,
      prev: fields.prev,
      count: 5,
      bodyBytes: totalBytes(records),
      recordsRoot: batch.root,
      seenSize: fields.seen.size,
      seenRoot: fields.seen.root,
      firstAt: BigInt(fields.firstAtMs),
      sealedAt: BigInt(fields.sealedAtMs),
    }),
  );
  const [a, b, c, d, e] = records.map((record) => leafHash(record)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  assert.deepEqual(batch.root, nodeHash(nodeHash(nodeHash(a, b), nodeHash(c, d)), e));
  assert.equal(kindOfBatch(batch.header), "evidence");
});

test("a batch has 1 to 4,096 records of at most 512 KiB", () => {
  const small = encodeRecord(one(recordsByCase.openingsErased));
  const many = (count: number): Uint8Array[] => Array.from({ length: count }, () => small);
  assert.throws(() => sealBatch(fields, [], signer), RangeError);
  assert.throws(() => sealBatch(fields, many(batchRecordsMax + 1), signer), RangeError);
  const full = sealBatch(fields, many(batchRecordsMax), signer);
  assert.equal(openBatch(full).records.length, batchRecordsMax);
  assert.equal(
    full.paths.every((path) => path.length === 12),
    true,
  );
  const tooMany = { leaf: full.leaf, records: many(batchRecordsMax + 1) };
  assert.throws(() => openBatch(tooMany), { code: "TOO_LARGE" });
  const tooLarge = { leaf: full.leaf, records: [new Uint8Array(recordBytesMax), small] };
  assert.throws(() => openBatch(tooLarge), { code: "TOO_LARGE" });
});

test("a record that fits no batch is not encoded", () => {
  const jws = Array.from({ length: 64 }, () => "a".repeat(8 * 1024));
  const record = create(RecordSchema, { body: { case: "statement", value: { jws } } });
  assert.throws(() => encodeRecord(record), RangeError);
});

describe("BATCH_INVALID:", () => {
  const rows: Readonly<Record<string, () => { leaf: Uint8Array; records: readonly Uint8Array[] }>> =
    {
      "a record too few": () => ({ leaf: batch.leaf, records: records.slice(1) }),
      "a record too many": () => ({
        leaf: batch.leaf,
        records: [...records, records[0] as Uint8Array],
      }),
      "records in another order": () => ({ leaf: batch.leaf, records: records.toReversed() }),
      "another count": () => resealed({ count: 4 }),
      "another number of bytes": () => resealed({ bodyBytes: batch.header.bodyBytes + 1 }),
      "another root": () => resealed({ recordsRoot: new Uint8Array(32) }),
      "evidence in a batch of governance": () => resealed({ kind: 1 }),
      "one record of governance in a batch of evidence": () => {
        const governance = encodeRecord(one(recordsByCase.statement));
        const { leaf, records: mixed } = sealBatch(fields, [...records, governance], signer);
        return { leaf, records: mixed };
      },
    };
  for (const [name, make] of Object.entries(rows)) {
    test(name, () => {
      assert.throws(() => openBatch(make()), { name: "CausewayError", code: "BATCH_INVALID" });
    });
  }
});

test("a record that is not canonical is refused with its code and position", () => {
  const padded = concatBytes(records[0] as Uint8Array, Uint8Array.of(0xf8, 0x7f, 1));
  const unknown = sealBatch(fields, [records[1] as Uint8Array, padded], signer);
  assert.throws(() => openBatch(unknown), { code: "NOT_CANONICAL", fields: { position: "1" } });
  const broken = sealBatch(fields, [Uint8Array.of(0x0a, 5)], signer);
  assert.throws(() => openBatch(broken), { code: "MALFORMED", fields: { position: "0" } });
});

test("every single-bit change of a record is refused", () => {
  const sealed = sealBatch(fields, [encodeRecord(one(recordsByCase.acknowledgement))], signer);
  const [record] = sealed.records as [Uint8Array];
  for (let bit = 0; bit < record.length * 8; bit++) {
    const changed = { leaf: sealed.leaf, records: [flipped(record, bit)] };
    assert.throws(() => openBatch(changed), { name: "CausewayError", code: "BATCH_INVALID" });
  }
});

test("a mutated batch is refused with a reason or is the batch", () => {
  const whole = concatBytes(batch.leaf, ...records);
  fc.assert(
    fc.property(
      fc.nat({ max: whole.length * 8 - 1 }),
      fc.nat({ max: whole.length * 8 - 1 }),
      (first, second) => {
        const changed =
          first === second ? flipped(whole, first) : flipped(flipped(whole, first), second);
        let at = batch.leaf.length;
        const leaf = changed.subarray(0, at);
        const bodies = records.map(({ length }) => changed.subarray(at, (at += length)));
        try {
          const opened = openBatch({ leaf, records: bodies });
          verifyLeaf({ leaf: opened, publicKey: signer.publicKey, verifier });
        } catch (error) {
          assert.ok(error instanceof CausewayError, String(error));
          return;
        }
        assert.fail("a changed batch was accepted");
      },
    ),
    { numRuns: 500 },
  );
});

test("every record of a batch has a proof, the sealed paths are the proved ones, and each is read back", () => {
  fc.assert(
    fc.property(sealedBatch(9), (sealed) => {
      for (const [position, record] of sealed.records.entries()) {
        const proof = proveRecord(sealed, position);
        assert.deepEqual(proof, {
          record,
          position,
          path: sealed.paths[position],
          leaf: sealed.leaf,
        });
        const proven = verifyRecordProof(proof);
        assert.deepEqual(proven.record, openRecord(record));
        assert.deepEqual(proven.recordHash, recordHash(record));
        assert.deepEqual(proven.leaf.header, sealed.header);
        assert.equal(proven.position, position);
      }
      assert.throws(() => proveRecord(sealed, sealed.records.length), RangeError);
    }),
    { numRuns: 30 },
  );
});

describe("PROOF_INVALID:", () => {
  const good = proveRecord(batch, 2);
  const hash = new Uint8Array(32);
  const rows: Readonly<Record<string, Partial<RecordProof>>> = {
    "the record of another position": { position: 3 },
    "a position at the count": { position: 5 },
    "a negative position": { position: -1 },
    "a position between two": { position: 1.5 },
    "another record": { record: records[3] as Uint8Array },
    "no path": { path: [] },
    "a hash too few": { path: good.path.slice(1) },
    "a hash too many": { path: [...good.path, hash] },
    "thirteen hashes": { path: Array.from({ length: 13 }, () => hash) },
    "hashes in another order": { path: good.path.toReversed() },
    "a hash of 31 bytes": {
      path: [(good.path[0] as Uint8Array).subarray(1), ...good.path.slice(1)],
    },
    "the leaf of another batch": { leaf: sealBatch(fields, records.slice(1), signer).leaf },
  };
  for (const [name, change] of Object.entries(rows)) {
    test(name, () => {
      const proof = { ...good, ...change };
      assert.throws(() => verifyRecordProof(proof), {
        name: "CausewayError",
        code: "PROOF_INVALID",
      });
    });
  }
});

test("every single-bit change of a path is refused", () => {
  for (const position of [0, 4]) {
    const proof = proveRecord(batch, position);
    for (const [at, hash] of proof.path.entries()) {
      for (let bit = 0; bit < 256; bit++) {
        const path = proof.path.with(at, flipped(hash, bit));
        const { record } = proof;
        assert.equal(verifyRecordPath({ record, position, path, header: batch.header }), false);
      }
    }
  }
});

test("a path proves nothing under a header with another count", () => {
  const { record, path } = proveRecord(batch, 4);
  const at = (count: number): boolean => {
    const header = create(HeaderSchema, { ...batch.header, count });
    return verifyRecordPath({ record, position: 4, path, header });
  };
  // One hash for the last of 5 is also what the last of 3 or 9 has, at another position.
  assert.deepEqual([1, 4, 5, 6, 8, 9].filter(at), [5]);
});

test("a proven record is of the batch's kind", () => {
  const governance = encodeRecord(one(recordsByCase.statement));
  const mixed = sealBatch(fields, [governance], signer);
  assert.throws(() => verifyRecordProof(proveRecord(mixed, 0)), { code: "BATCH_INVALID" });
});

test("statements and reported equivocations are governance, everything else is evidence", () => {
  const governance = Object.entries(recordsByCase).filter(
    ([, arbitrary]) => kindOfRecord(one(arbitrary)) === "governance",
  );
  assert.deepEqual(
    governance.map(([name]) => name),
    ["statement", "equivocationReported"],
  );
  assert.equal(Object.keys(recordsByCase).length, 10);
});

test("two equal batches under one key have one leaf, and any field that differs gives another", () => {
  const again = sealBatch({ ...fields }, [...records], signer);
  assert.deepEqual(again.leaf, batch.leaf);
  const changes: readonly Partial<BatchFields>[] = [
    { seq: fields.seq ^ 1n },
    { epoch: fields.epoch ^ 1n },
    { boot: flipped(fields.boot, 3) },
    { prev: flipped(fields.prev, 3) },
    { network: flipped(fields.network, 3) },
    { sealedAtMs: fields.sealedAtMs + 1 },
  ];
  for (const change of changes) {
    const other = sealBatch({ ...fields, ...change }, records, signer);
    assert.notDeepEqual(other.leafHash, batch.leafHash);
  }
  const header = createHeader(fields, { records, root: batch.root, publicKey: signer.publicKey });
  assert.deepEqual(header, batch.header);
});
