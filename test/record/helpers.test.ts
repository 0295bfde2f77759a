import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parseHex, toHex, u32be, utf8 } from "../../src/base/bytes.ts";
import { sha256 } from "../../src/base/sha256.ts";
import { bucket } from "../../src/record/bucket.ts";
import {
  callPaths,
  encodeCallStatement,
  openCallStatement,
  verifyCallPath,
} from "../../src/record/call-tree.ts";
import { formatAddress, formatHandle, parseAddress, parseHandle } from "../../src/record/handle.ts";
import { maskDigest } from "../../src/record/mask-digest.ts";
import { callStatement, hash32 } from "../support/parts.ts";

interface TreeVector {
  readonly count: number;
  readonly root: string;
  readonly paths: readonly { readonly index: number; readonly path: readonly string[] }[];
}
const { trees } = JSON.parse(readFileSync("test/vectors/merkle.json", "utf8")) as {
  readonly trees: readonly TreeVector[];
};
const hex = (text: string): Uint8Array => parseHex(text) as Uint8Array;

describe("the tree of a call token has the reference root and paths", () => {
  const fitting = trees.filter(({ count }) => count >= 1 && count <= 64);
  assert.ok(fitting.length >= 5);
  for (const { count, root, paths } of fitting) {
    test(`over ${count} leaves`, () => {
      const leaves = Array.from({ length: count }, (_, i) => u32be(i));
      const tree = callPaths(leaves);
      assert.equal(toHex(tree.root), root);
      for (const { index, path } of paths) {
        assert.deepEqual(tree.paths[index]?.map(toHex), path);
        const given = {
          statement: u32be(index),
          index,
          count,
          root: hex(root),
          path: path.map(hex),
        };
        assert.equal(verifyCallPath(given), true);
        assert.equal(verifyCallPath({ ...given, index: index + 1 }), false);
        assert.equal(verifyCallPath({ ...given, path: [...given.path, hex(root)] }), false);
      }
    });
  }
});

test("a call token is over 1 to 64 statements", () => {
  const leaves = Array.from({ length: 65 }, (_, i) => u32be(i));
  assert.throws(() => callPaths([]), RangeError);
  assert.throws(() => callPaths(leaves), RangeError);
  const { root, paths } = callPaths(leaves.slice(1));
  const [path, statement] = [paths[0] as readonly Uint8Array[], leaves[1] as Uint8Array];
  assert.equal(path.length, 6);
  assert.equal(verifyCallPath({ statement, index: 0, count: 64, path, root }), true);
  for (const count of [0, 65, 128, -1, 1.5, Number.NaN]) {
    assert.equal(verifyCallPath({ statement, index: 0, count, path, root }), false);
  }
  assert.equal(verifyCallPath({ statement, index: -1, count: 64, path, root }), false);
});

test("each statement stands at its own index of the tree alone", () => {
  fc.assert(
    fc.property(fc.array(callStatement, { minLength: 1, maxLength: 9 }), (list) => {
      const statements = list.map(encodeCallStatement);
      const { root, paths } = callPaths(statements);
      for (const [at, statement] of statements.entries()) {
        assert.deepEqual(openCallStatement(statement), list[at]);
        for (const [index, path] of paths.entries()) {
          const stands = verifyCallPath({ statement, index, count: list.length, path, root });
          const same = toHex(statement) === toHex(statements[index] as Uint8Array);
          assert.equal(stands, same);
        }
      }
    }),
    { numRuns: 30 },
  );
});

test("a call statement of too many bytes is TOO_LARGE", () => {
  assert.throws(() => openCallStatement(new Uint8Array(4097)), { code: "TOO_LARGE" });
});

const position = fc.nat({ max: 4095 });

test("parsing a handle or address gives back what was formatted", () => {
  fc.assert(
    fc.property(
      hash32,
      fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
      position,
      (leafHash, index, at) => {
        assert.deepEqual(parseHandle(formatHandle(leafHash, at)), { leafHash, position: at });
        assert.deepEqual(parseAddress(formatAddress(index, at)), { index, position: at });
      },
    ),
  );
});

test("no other text is a handle or an address", () => {
  const leaf = "ab".repeat(32);
  assert.ok(parseHandle(`${leaf}/0`));
  for (const text of [
    leaf,
    `${leaf}/`,
    `${leaf}/01`,
    `${leaf}/4096`,
    `${leaf}/0/0`,
    `${leaf} /0`,
    `${leaf.toUpperCase()}/0`,
    `${leaf.slice(2)}/0`,
    `/0`,
  ]) {
    assert.equal(parseHandle(text), undefined, text);
  }
  assert.ok(parseAddress("0/0"));
  for (const text of [
    "",
    "0",
    "0/",
    "/0",
    "00/0",
    "0/00",
    "-1/0",
    "0/4096",
    "1/2/3",
    "9223372036854775808/0",
    "1e3/0",
    " 1/0",
  ]) {
    assert.equal(parseAddress(text), undefined, text);
  }
});

test("a bucket is the bit length of the number", () => {
  const rows = [
    [0, 0],
    [1, 1],
    [2, 2],
    [3, 2],
    [4, 3],
    [1023, 10],
    [1024, 11],
    [2 ** 31, 32],
    [2 ** 53 - 1, 53],
  ];
  for (const [count, bits] of rows) assert.equal(bucket(count as number), bits);
  for (const count of [-1, 0.5, Number.NaN, 2 ** 53])
    assert.throws(() => bucket(count), RangeError);
  fc.assert(
    fc.property(fc.maxSafeNat(), (count) => {
      const bits = bucket(count);
      assert.ok(count < 2 ** bits && (count === 0 || count >= 2 ** (bits - 1)));
    }),
  );
});

test("a mask's digest does not depend on the order of its paths", () => {
  const digest = sha256(utf8("address.city\naddress.street\nname"));
  assert.deepEqual(maskDigest(["name", "address.street", "address.city"]), digest);
  assert.deepEqual(maskDigest(["address.city", "name", "address.street", "name"]), digest);
  assert.notDeepEqual(maskDigest(["address.city", "address.street"]), digest);
});
