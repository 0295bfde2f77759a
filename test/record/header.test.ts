import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { concatBytes, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { headerBytesMax, leafBytesMax } from "../../src/base/limits.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { createNobleVerifier } from "../../src/crypto/noble.ts";
import { createNodeVerifier } from "../../src/crypto/node.ts";
import type { Header } from "../../src/gen/causeway/record/v1/header_pb.ts";
import { HeaderSchema } from "../../src/gen/causeway/record/v1/header_pb.ts";
import { emptyRoot, leafHash } from "../../src/merkle/hash.ts";
import { encodeCanonical } from "../../src/record/canonical.ts";
import { encodeHeader, openHeader } from "../../src/record/header.ts";
import { keyDigest, openLeaf, parseLeaf, signedBytes, verifyLeaf } from "../../src/record/leaf.ts";
import { header, testSigner } from "../support/records.ts";

const [sample] = fc.sample(header, { seed: 7, numRuns: 1 }) as [Header];
const signer = testSigner(1);
const verifiers = { node: createNodeVerifier(), noble: createNobleVerifier() };

test("opening a header gives back what was encoded", () => {
  fc.assert(
    fc.property(header, (message) => {
      const bytes = encodeHeader(message);
      assert.ok(bytes.length <= headerBytesMax);
      assert.deepEqual(openHeader(bytes), message);
    }),
  );
});

describe("a header that no batch can have is refused by reader and writer:", () => {
  const rows: readonly (readonly [name: string, code: ReasonCode, change: Partial<Header>])[] = [
    ["another version", "BATCH_INVALID", { version: 2 }],
    ["no version", "BATCH_INVALID", { version: 0 }],
    ["an agency id as gateway", "BATCH_INVALID", { gateway: "hangzhou/market-regulation" }],
    ["an upper-case gateway", "BATCH_INVALID", { gateway: "Hangzhou/market-regulation/gw1" }],
    ["no records", "BATCH_INVALID", { count: 0 }],
    ["4,097 records", "BATCH_INVALID", { count: 4097 }],
    ["more than 512 KiB", "BATCH_INVALID", { bodyBytes: 512 * 1024 + 1 }],
    ["records of less than a byte", "BATCH_INVALID", { count: 2, bodyBytes: 1 }],
    ["a first decision after the seal", "BATCH_INVALID", { firstAt: 11n, sealedAt: 10n }],
    ["a time that no number holds", "BATCH_INVALID", { sealedAt: 2n ** 53n }],
    ["an epoch above 2^63-1", "BATCH_INVALID", { epoch: 2n ** 63n }],
    ["a seq above 2^63-1", "BATCH_INVALID", { seq: 2n ** 63n }],
    ["a seen size above 2^63-1", "SEEN_INVALID", { seenSize: 2n ** 63n }],
    ["size 0 with another root", "SEEN_INVALID", { seenSize: 0n, seenRoot: new Uint8Array(32) }],
  ];
  for (const [name, code, change] of rows) {
    test(name, () => {
      const wrong = create(HeaderSchema, { ...sample, ...change });
      const bytes = encodeCanonical(HeaderSchema, wrong);
      assert.throws(() => openHeader(bytes), { name: "CausewayError", code });
      assert.throws(() => encodeHeader(wrong), RangeError);
    });
  }
});

test("size 0 is taken with the root of the empty tree, and the bounds themselves are taken", () => {
  const bounds = { count: 4096, bodyBytes: 512 * 1024, firstAt: 10n, sealedAt: 10n };
  const message = create(HeaderSchema, { ...sample, ...bounds, seenSize: 0n, seenRoot: emptyRoot });
  assert.deepEqual(openHeader(encodeHeader(message)), message);
  assert.deepEqual(emptyRoot, sha256(new Uint8Array(0)));
});

test("a header of too many bytes is TOO_LARGE and an empty one is not canonical", () => {
  const isTooLarge = { code: "TOO_LARGE" };
  assert.throws(() => openHeader(new Uint8Array(headerBytesMax + 1)), isTooLarge);
  assert.throws(() => openHeader(new Uint8Array(0)), { code: "NOT_CANONICAL" });
});

function leafOf(message: Header): Uint8Array {
  const bytes = encodeHeader(message);
  return concatBytes(signer.sign(signedBytes(bytes)), bytes);
}

const own = create(HeaderSchema, { ...sample, key: keyDigest(signer.publicKey) });

test("a leaf is a signature over the prefixed header and then the header, without a wrapper", () => {
  const leaf = leafOf(own);
  const opened = openLeaf(leaf);
  assert.deepEqual(opened.signature, leaf.subarray(0, 64));
  assert.deepEqual(opened.headerBytes, encodeHeader(own));
  assert.deepEqual(opened.header, own);
  assert.deepEqual(opened.leafHash, sha256(concatBytes(Uint8Array.of(0), leaf)));
  assert.deepEqual(opened.leafHash, leafHash(leaf));
  const prefix = utf8("causeway/batch/v1\n");
  assert.deepEqual(signedBytes(opened.headerBytes), concatBytes(prefix, opened.headerBytes));
  assert.deepEqual(keyDigest(signer.publicKey), sha256(signer.publicKey).subarray(0, 8));
});

test("a leaf without a header is MALFORMED and one of too many bytes is TOO_LARGE", () => {
  assert.throws(() => parseLeaf(new Uint8Array(64)), { code: "MALFORMED" });
  assert.throws(() => parseLeaf(new Uint8Array(0)), { code: "MALFORMED" });
  assert.throws(() => parseLeaf(new Uint8Array(leafBytesMax + 1)), { code: "TOO_LARGE" });
});

for (const [port, verifier] of Object.entries(verifiers)) {
  test(`with ${port}, a leaf verifies under its key and under no other`, () => {
    const leaf = openLeaf(leafOf(own));
    verifyLeaf({ leaf, publicKey: signer.publicKey, verifier });
    const other = testSigner(2).publicKey;
    assert.throws(() => verifyLeaf({ leaf, publicKey: other, verifier }), { code: "KEY_UNKNOWN" });
    const renamed = openLeaf(leafOf(create(HeaderSchema, { ...own, key: keyDigest(other) })));
    const underOther = { leaf: renamed, publicKey: other, verifier };
    assert.throws(() => verifyLeaf(underOther), { code: "SIGNATURE_INVALID" });
  });
}

test("every single-bit change of a leaf is refused or breaks its signature", () => {
  const leaf = leafOf(own);
  const codes = new Map<string, number>();
  for (let bit = 0; bit < leaf.length * 8; bit++) {
    const changed = Uint8Array.from(leaf);
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
    try {
      const opened = openLeaf(changed);
      verifyLeaf({ leaf: opened, publicKey: signer.publicKey, verifier: verifiers.node });
    } catch (error) {
      assert.ok(error instanceof CausewayError, String(error));
      codes.set(error.code, (codes.get(error.code) ?? 0) + 1);
      continue;
    }
    assert.fail(`bit ${bit} is not covered`);
  }
  // The 512 bits of the signature, and those of the header that leave it a header.
  assert.ok((codes.get("SIGNATURE_INVALID") ?? 0) > 512);
  assert.equal(codes.get("KEY_UNKNOWN"), 64);
  assert.ok((codes.get("NOT_CANONICAL") ?? 0) > 0);
});
