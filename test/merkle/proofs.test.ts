import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { equalBytes, toHex } from "../../src/base/bytes.ts";
import { emptyRoot, leafHash, nodeHash } from "../../src/merkle/hash.ts";
import { proveConsistency, proveInclusion } from "../../src/merkle/prove.ts";
import { type HashReader, readerOfTileLevels, rootAt } from "../../src/merkle/reader.ts";
import { rootOfInclusion, verifyConsistency, verifyInclusion } from "../../src/merkle/verify.ts";
import { numberedLeaves, ReferenceTree } from "./reference.ts";
import { hexAll, storeTree, withOneBitChanged } from "./support.ts";

const sizeMax = 600;
const leaves = numberedLeaves(sizeMax);
const reference = new ReferenceTree(leaves);
const reader = storeTree(leaves);
const hashOf = (index: number): Uint8Array => reader.readHash(0, BigInt(index));

const indexAndSize = fc
  .integer({ min: 1, max: sizeMax })
  .chain((size) => fc.tuple(fc.integer({ min: 0, max: size - 1 }), fc.constant(size)));
const twoSizes = fc
  .integer({ min: 2, max: sizeMax })
  .chain((size2) => fc.tuple(fc.integer({ min: 1, max: size2 - 1 }), fc.constant(size2)));

/** A proof that stands, as the arguments of its verification. */
function inclusion(index: number, size: number): Parameters<typeof verifyInclusion>[0] {
  const proof = proveInclusion({ index, size, reader });
  return { leafHash: hashOf(index), index, size, root: reference.mth(0, size), proof };
}
function consistency(size1: number, size2: number): Parameters<typeof verifyConsistency>[0] {
  const proof = proveConsistency({ size1, size2, reader });
  return { size1, root1: reference.mth(0, size1), size2, root2: reference.mth(0, size2), proof };
}
function isSame(proof: readonly Uint8Array[], expected: readonly Uint8Array[]): boolean {
  return (
    proof.length === expected.length &&
    proof.every((hash, i) => equalBytes(hash, expected[i] as Uint8Array))
  );
}
function changed(proof: readonly Uint8Array[], at: number, hash: Uint8Array): Uint8Array[] {
  return proof.map((original, i) => (i === at ? hash : original));
}

describe("inclusion", () => {
  test("each proof of sizes 1 to 600 is the RFC's PATH and verifies", () => {
    for (let size = 1; size <= sizeMax; size++) {
      for (let index = 0; index < size; index++) {
        const claim = inclusion(index, size);
        if (!isSame(claim.proof, reference.path(index, 0, size))) assert.fail(`${index} ${size}`);
        if (!verifyInclusion(claim)) assert.fail(`leaf ${index} of ${size}`);
      }
    }
  });
  test("every single-bit change of leaf hash, root or proof is rejected", () => {
    fc.assert(
      fc.property(indexAndSize, ([index, size]) => {
        const claim = inclusion(index, size);
        for (const wrong of withOneBitChanged(claim.leafHash)) {
          assert.equal(verifyInclusion({ ...claim, leafHash: wrong }), false);
        }
        for (const wrong of withOneBitChanged(claim.root)) {
          assert.equal(verifyInclusion({ ...claim, root: wrong }), false);
        }
        for (const [at, hash] of claim.proof.entries()) {
          for (const wrong of withOneBitChanged(hash)) {
            assert.equal(
              verifyInclusion({ ...claim, proof: changed(claim.proof, at, wrong) }),
              false,
            );
          }
        }
      }),
      { numRuns: 12 },
    );
  });
  test("a proof is never accepted at another index of its tree", () => {
    fc.assert(
      fc.property(indexAndSize, ([index, size]) => {
        const claim = inclusion(index, size);
        for (let other = 0; other < size; other++) {
          if (other === index) continue;
          assert.equal(
            accepts(() => verifyInclusion({ ...claim, index: other })),
            false,
          );
        }
      }),
    );
  });
  test("one hash too few and one too many are PROOF_INVALID", () => {
    fc.assert(
      fc.property(indexAndSize, ([index, size]) => {
        const claim = inclusion(index, size);
        const more = [...claim.proof, emptyRoot];
        assert.throws(() => verifyInclusion({ ...claim, proof: more }), { code: "PROOF_INVALID" });
        if (claim.proof.length === 0) return;
        for (const fewer of [claim.proof.slice(1), claim.proof.slice(0, -1)]) {
          assert.throws(() => verifyInclusion({ ...claim, proof: fewer }), {
            code: "PROOF_INVALID",
          });
        }
      }),
    );
  });
  test("an index outside the tree is PROOF_INVALID", () => {
    const claim = inclusion(4, 7);
    for (const [index, size] of [
      [7, 7],
      [8, 7],
      [0, 0],
    ] as const) {
      assert.throws(() => verifyInclusion({ ...claim, index, size }), { code: "PROOF_INVALID" });
    }
  });
  test("a hash of another length is PROOF_INVALID", () => {
    const claim = inclusion(4, 7);
    const short = emptyRoot.subarray(1);
    const long = new Uint8Array(33);
    for (const hash of [short, long]) {
      for (const wrong of [
        { ...claim, leafHash: hash },
        { ...claim, root: hash },
        { ...claim, proof: changed(claim.proof, 0, hash) },
      ]) {
        assert.throws(() => verifyInclusion(wrong), { code: "PROOF_INVALID" });
      }
    }
  });
  test("a size above 2^63-1 is TOO_LARGE", () => {
    assert.throws(() => verifyInclusion({ ...inclusion(4, 7), size: 1n << 63n }), {
      code: "TOO_LARGE",
    });
  });
  test("numbers and bigints say the same", () => {
    const claim = inclusion(4, 7);
    assert.equal(verifyInclusion({ ...claim, index: 4n, size: 7n }), true);
    assert.equal(toHex(rootOfInclusion({ ...claim, index: 4n })), toHex(claim.root));
  });
  test("making a proof outside the tree is a RangeError", () => {
    assert.throws(() => proveInclusion({ index: 7, size: 7, reader }), RangeError);
    assert.throws(() => proveInclusion({ index: 0, size: 0, reader }), RangeError);
  });
});

describe("consistency", () => {
  test("each proof of sizes 1 to 600 is the RFC's PROOF and verifies", () => {
    for (let size2 = 1; size2 <= sizeMax; size2++) {
      for (let size1 = 1; size1 <= size2; size1++) {
        const claim = consistency(size1, size2);
        if (!isSame(claim.proof, reference.proof(size1, size2))) assert.fail(`${size1} ${size2}`);
        if (!verifyConsistency(claim)) assert.fail(`from ${size1} to ${size2}`);
      }
    }
  });
  test("every single-bit change of a root or of the proof is rejected", () => {
    fc.assert(
      fc.property(twoSizes, ([size1, size2]) => {
        const claim = consistency(size1, size2);
        for (const wrong of withOneBitChanged(claim.root1)) {
          assert.equal(verifyConsistency({ ...claim, root1: wrong }), false);
        }
        for (const wrong of withOneBitChanged(claim.root2)) {
          assert.equal(verifyConsistency({ ...claim, root2: wrong }), false);
        }
        for (const [at, hash] of claim.proof.entries()) {
          for (const wrong of withOneBitChanged(hash)) {
            assert.equal(
              verifyConsistency({ ...claim, proof: changed(claim.proof, at, wrong) }),
              false,
            );
          }
        }
      }),
      { numRuns: 12 },
    );
  });
  test("one hash too few and one too many are PROOF_INVALID", () => {
    fc.assert(
      fc.property(twoSizes, ([size1, size2]) => {
        const claim = consistency(size1, size2);
        for (const proof of [
          [...claim.proof, emptyRoot],
          claim.proof.slice(1),
          claim.proof.slice(0, -1),
        ]) {
          assert.throws(() => verifyConsistency({ ...claim, proof }), { code: "PROOF_INVALID" });
        }
      }),
    );
  });
  test("equal sizes need equal roots and no hash", () => {
    const claim = consistency(7, 7);
    assert.equal(verifyConsistency(claim), true);
    assert.equal(verifyConsistency({ ...claim, root2: emptyRoot }), false);
    assert.throws(() => verifyConsistency({ ...claim, proof: [emptyRoot] }), {
      code: "PROOF_INVALID",
    });
  });
  test("consistency from size 0 is PROOF_INVALID, and a RangeError to make", () => {
    const claim = { size1: 0, root1: emptyRoot, size2: 7, root2: reference.mth(0, 7), proof: [] };
    assert.throws(() => verifyConsistency(claim), { code: "PROOF_INVALID" });
    assert.throws(() => verifyConsistency({ ...claim, size2: 0, root2: emptyRoot }), {
      code: "PROOF_INVALID",
    });
    assert.throws(() => proveConsistency({ size1: 0, size2: 7, reader }), RangeError);
  });
  test("a tree that shrinks is PROOF_INVALID, and a RangeError to make", () => {
    const { size1, root1, size2, root2, proof } = consistency(3, 7);
    const shrunk = { size1: size2, root1: root2, size2: size1, root2: root1, proof };
    assert.throws(() => verifyConsistency(shrunk), { code: "PROOF_INVALID" });
    assert.throws(() => proveConsistency({ size1: 8, size2: 7, reader }), RangeError);
  });
  test("a hash of another length is PROOF_INVALID", () => {
    const claim = consistency(3, 7);
    const short = emptyRoot.subarray(1);
    for (const wrong of [
      { ...claim, root1: short },
      { ...claim, root2: short },
      { ...claim, proof: changed(claim.proof, 1, short) },
    ]) {
      assert.throws(() => verifyConsistency(wrong), { code: "PROOF_INVALID" });
    }
  });
  test("a size above 2^63-1 is TOO_LARGE", () => {
    assert.throws(() => verifyConsistency({ ...consistency(3, 7), size2: 1n << 63n }), {
      code: "TOO_LARGE",
    });
  });
  test("a tree with one leaf replaced is inconsistent with what came before", () => {
    const forged = leaves.map((leaf, i) => (i === 40 ? Uint8Array.of(1) : leaf));
    const other = storeTree(forged);
    for (let size1 = 41; size1 < sizeMax; size1 += 7) {
      const proof = proveConsistency({ size1, size2: sizeMax, reader: other });
      const root2 = rootAt(sizeMax, other);
      const root1 = reference.mth(0, size1);
      assert.equal(verifyConsistency({ size1, root1, size2: sizeMax, root2, proof }), false);
    }
  });
});

describe("trees too large to build", () => {
  // With equal leaves a subtree's hash depends on its number of leaves alone.
  const known = new Map<bigint, Uint8Array>([[1n, leafHash(Uint8Array.of(42))]]);
  function rootOfEqual(count: bigint): Uint8Array {
    const hash = known.get(count);
    if (hash !== undefined) return hash;
    let k = 1n;
    while (k * 2n < count) k *= 2n;
    const root = nodeHash(rootOfEqual(k), rootOfEqual(count - k));
    known.set(count, root);
    return root;
  }
  const limited = (size: bigint): HashReader => ({
    readHash(level, index): Uint8Array {
      assert.ok((index + 1n) << BigInt(level) <= size, "asked beyond the tree");
      return rootOfEqual(1n << BigInt(level));
    },
  });
  const largeSize = fc
    .integer({ min: 1, max: 62 })
    .chain((bits) => fc.bigInt({ min: 1n, max: (1n << BigInt(bits)) + 1n }));

  test("inclusion proofs lead to the root at sizes up to 2^62", () => {
    fc.assert(
      fc.property(largeSize, fc.bigInt({ min: 0n, max: 1n << 63n }), (size, any) => {
        const index = any % size;
        const proof = proveInclusion({ index, size, reader: limited(size) });
        const root = rootOfEqual(size);
        assert.equal(toHex(rootAt(size, limited(size))), toHex(root));
        assert.equal(
          verifyInclusion({ leafHash: rootOfEqual(1n), index, size, root, proof }),
          true,
        );
      }),
    );
  });
  test("consistency proofs lead to both roots at sizes up to 2^62", () => {
    fc.assert(
      fc.property(largeSize, fc.bigInt({ min: 0n, max: 1n << 63n }), (size2, any) => {
        const size1 = (any % size2) + 1n;
        const proof = proveConsistency({ size1, size2, reader: limited(size2) });
        const [root1, root2] = [rootOfEqual(size1), rootOfEqual(size2)];
        assert.equal(verifyConsistency({ size1, root1, size2, root2, proof }), true);
      }),
    );
  });
});

test("a store of tile levels alone gives the same proofs", () => {
  const tiles = readerOfTileLevels(storeTree(leaves, (level) => level % 8 === 0));
  fc.assert(
    fc.property(twoSizes, ([size1, size2]) => {
      assert.deepEqual(
        hexAll(proveConsistency({ size1, size2, reader: tiles })),
        hexAll(reference.proof(size1, size2)),
      );
      assert.deepEqual(
        hexAll(proveInclusion({ index: size1, size: size2, reader: tiles })),
        hexAll(reference.path(size1, 0, size2)),
      );
    }),
    { numRuns: 50 },
  );
});

/** Whether a verification says yes; a proof that is refused with a reason is a no. */
function accepts(verify: () => boolean): boolean {
  try {
    return verify();
  } catch (error) {
    assert.equal((error as { code?: string }).code, "PROOF_INVALID");
    return false;
  }
}
