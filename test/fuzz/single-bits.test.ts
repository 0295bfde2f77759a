/** No bit of what is signed or hashed can change: every one of an example each, before its verifier. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { concatBytes, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { readCosignature, readFinal } from "../../src/ledger/embedded/checkpoints.ts";
import { decodeEntryBundle, encodeEntryBundle } from "../../src/merkle/entry-bundle.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { parseTile, readTile, verifyTile } from "../../src/merkle/tile-hashes.ts";
import { treeRoot } from "../../src/merkle/batch-tree.ts";
import { verifyConsistency, verifyInclusion } from "../../src/merkle/verify.ts";
import { type AddCheckpointRequest, parseAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { addSignatures } from "../../src/note/sign.ts";
import { formatNote, parseNote } from "../../src/note/note.ts";
import { parseTlogProof } from "../../src/note/tlog-proof.ts";
import { openBatch } from "../../src/record/batch.ts";
import { parseLeaf, verifyLeaf } from "../../src/record/leaf.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { withOneBitChanged } from "../merkle/support.ts";
import {
  addCheckpoint,
  audit,
  leaves,
  note,
  oldSize,
  provenIndex,
  size,
  tlogProof,
  treeReader,
} from "./samples.ts";
import { textOf } from "./target.ts";
import { cosignatureSample, trust } from "./targets-note.ts";

const { verifier } = audit.network;
const root = audit.ledger.rootAt(size) as Uint8Array;
const provenHash = leafHash(leaves[provenIndex] as Uint8Array);

/** What a verifier says: `true`, or `false` and every refusal of ours. Any other error fails the test. */
function accepts(verify: () => unknown): boolean {
  try {
    return verify() !== false;
  } catch (error) {
    assert.ok(error instanceof CausewayError, String(error));
    return false;
  }
}

/** Asserts that the verifier takes the example, and none of its single-bit changes. */
function assertEveryBit(example: Uint8Array, verify: (bytes: Uint8Array) => unknown): void {
  assert.ok(
    accepts(() => verify(example)),
    "the example itself is not accepted",
  );
  let bit = 0;
  for (const changed of withOneBitChanged(example)) {
    assert.equal(
      accepts(() => verify(changed)),
      false,
      `bit ${bit} may change`,
    );
    bit++;
  }
  assert.equal(bit, 8 * example.length);
}

function verifyTlogProof(bytes: Uint8Array): boolean {
  const proof = parseTlogProof(bytes);
  return verifyInclusion({
    ...proof,
    ...readFinal(trust, proof.checkpoint, { verifier }),
    leafHash: provenHash,
  });
}

function verifyAddCheckpoint(bytes: Uint8Array): boolean {
  const request: AddCheckpointRequest = parseAddCheckpoint(bytes);
  const final = readFinal(trust, request.checkpoint, { verifier });
  return verifyConsistency({
    size1: request.oldSize,
    root1: audit.ledger.rootAt(oldSize) as Uint8Array,
    size2: final.size,
    root2: final.root,
    proof: request.proof,
  });
}

describe("every single-bit change is rejected", () => {
  test("of a leaf: its signature and its header", () => {
    const leaf = leaves.at(-1) as Uint8Array;
    const { publicKey } = audit.consumer.batch;
    assertEveryBit(leaf, (bytes) => verifyLeaf({ leaf: parseLeaf(bytes), publicKey, verifier }));
  });

  test("of a record in its batch", () => {
    const { leaf, records } = audit.ledger.batches.at(-1) as (typeof audit.ledger.batches)[number];
    assertEveryBit(records[0] as Uint8Array, (record) =>
      openBatch({ leaf, records: [record, ...records.slice(1)] }),
    );
  });

  test("of a final note: checkpoint, the log's line and the line of every city of the quorum", () => {
    assertEveryBit(note, (bytes) => readFinal(trust, bytes, { verifier }));
  });

  test("of a witness's line", () => {
    const { witness, line } = cosignatureSample;
    assertEveryBit(utf8(line), (bytes) =>
      readCosignature(witness, note, { body: textOf(bytes), verifier }),
    );
  });

  test("of a tlog-proof", () => {
    assertEveryBit(tlogProof, verifyTlogProof);
  });

  test("of an add-checkpoint request with its consistency proof", () => {
    assertEveryBit(addCheckpoint, verifyAddCheckpoint);
  });

  test("of an entry bundle", () => {
    assertEveryBit(encodeEntryBundle(leaves), (bytes) => {
      const entries = decodeEntryBundle(bytes, leaves.length);
      return Buffer.compare(treeRoot(entries.map(leafHash)), root) === 0;
    });
  });

  test("of a partial tile", () => {
    const width = leaves.length;
    assertEveryBit(readTile({ level: 0, index: 0n, width }, treeReader), (bytes) => {
      return Buffer.compare(treeRoot(parseTile(bytes, width)), root) === 0;
    });
  });

  test("of a full tile, in every hash", () => {
    const hashes = Array.from({ length: 256 }, (_, i) => sha256(Uint8Array.of(i)));
    const parent = treeRoot(hashes);
    assert.ok(verifyTile(hashes, parent));
    for (const [i, hash] of hashes.entries()) {
      // All bits of 65,536 in turn would hash 16 million nodes: each hash has three of its own.
      for (const bit of [i, 85 + 2 * i, 170 + 3 * i].map((one) => one % 256)) {
        const changed = hash.slice();
        changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
        assert.ok(!verifyTile(hashes.with(i, changed), parent), `bit ${bit} of hash ${i}`);
      }
    }
  });
});

test("a line of an unknown key may change in any way that leaves it a line, and changes nothing", () => {
  const known = parseNote(note);
  const stranger = { name: "elsewhere", keyId: 7, signature: new Uint8Array(64).fill(9) };
  const extended = formatNote(addSignatures(known, [stranger]));
  const expected = readFinal(trust, note, { verifier });
  let ignored = 0;
  // No bit of the other lines may change: that is shown above.
  for (const line of withOneBitChanged(extended.subarray(note.length))) {
    const changed = concatBytes(note, line);
    if (!accepts(() => readFinal(trust, changed, { verifier }))) continue;
    const read = readFinal(trust, changed, { verifier });
    assert.deepEqual(
      [read.size, read.root, read.timeMs],
      [expected.size, expected.root, expected.timeMs],
    );
    ignored++;
  }
  assert.ok(ignored > 100, "many changes of the unknown line are of no account");
});
