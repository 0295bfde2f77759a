import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parseUtf8, toBase64, toHex, utf8 } from "../../src/base/bytes.ts";
import { addCheckpointBytesMax, tlogProofBytesMax } from "../../src/base/limits.ts";
import { treeRoot, treePath } from "../../src/merkle/batch-tree.ts";
import { leafHash } from "../../src/merkle/hash.ts";
import { verifyInclusion } from "../../src/merkle/verify.ts";
import { formatAddCheckpoint, parseAddCheckpoint } from "../../src/note/add-checkpoint.ts";
import { parseCheckpoint } from "../../src/note/checkpoint.ts";
import { parseNote } from "../../src/note/note.ts";
import { formatTlogProof, parseTlogProof, type TlogProof } from "../../src/note/tlog-proof.ts";
import { vectorNote, vectors } from "./support.ts";

const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
const hashes = fc.array(hash, { maxLength: 63 });
const anySize = fc.bigInt({ min: 0n, max: (1n << 63n) - 1n });
const h1 = new Uint8Array(32).fill(1);
const h2 = new Uint8Array(32).fill(2);
const [t1, t2] = [toBase64(h1), toBase64(h2)];
const note = vectors.checkpoint;

describe("tlog-proof", () => {
  test("is first line, extra, index, hashes, an empty line and the checkpoint", () => {
    const bytes = formatTlogProof({
      extra: Uint8Array.of(1, 2, 3),
      index: 5n,
      proof: [h1, h2],
      checkpoint: vectorNote,
    });
    const expected = `c2sp.org/tlog-proof@v1\nextra AQID\nindex 5\n${t1}\n${t2}\n\n${note}`;
    assert.equal(parseUtf8(bytes), expected);
  });
  test("parse after print is identity", () => {
    fc.assert(
      fc.property(
        fc.option(fc.uint8Array({ minLength: 1 }), { nil: undefined }),
        anySize,
        hashes,
        (extra, index, proof) => {
          const whole: TlogProof = {
            ...(extra && { extra }),
            index,
            proof,
            checkpoint: vectorNote,
          };
          assert.deepEqual(plain(parseTlogProof(formatTlogProof(whole))), plain(whole));
        },
      ),
    );
  });
  test("empty extra data is left out", () => {
    const bytes = formatTlogProof({
      extra: new Uint8Array(0),
      index: 0n,
      proof: [],
      checkpoint: vectorNote,
    });
    assert.equal(parseUtf8(bytes), `c2sp.org/tlog-proof@v1\nindex 0\n\n${note}`);
    assert.equal(parseTlogProof(bytes).extra, undefined);
  });
  test("of the reference tree leads from its leaf to the checkpoint's root", () => {
    const leaves = Array.from({ length: 9 }, (_, i) => leafHash(Uint8Array.of(i)));
    const text = `o\n9\n${toBase64(treeRoot(leaves))}\n\n— o AQIDBAkI\n`;
    const bytes = formatTlogProof({
      index: 8n,
      proof: treePath(leaves, 8),
      checkpoint: utf8(text),
    });
    const { index, proof, checkpoint } = parseTlogProof(bytes);
    const { size, root } = parseCheckpoint(parseNote(checkpoint).text);
    const leaf = leaves[8] ?? assert.fail();
    assert.equal(verifyInclusion({ leafHash: leaf, index, size, root, proof }), true);
  });
  const start = "c2sp.org/tlog-proof@v1\n";
  for (const [corruption, text] of [
    ["nothing", ""],
    ["the first line alone", start],
    ["another version", `c2sp.org/tlog-proof@v2\nindex 0\n\n${note}`],
    ["an empty line first", `\n${start}index 0\n\n${note}`],
    ["no index", `${start}\n${note}`],
    ["hashes without an index", `${start}${t1}\n\n${note}`],
    ["an index with a leading zero", `${start}index 00\n\n${note}`],
    ["an index of 2^63", `${start}index 9223372036854775808\n\n${note}`],
    ["an index with a space more", `${start}index  1\n\n${note}`],
    ["the index twice", `${start}index 1\nindex 1\n\n${note}`],
    ["extra data after the index", `${start}index 1\nextra AQID\n\n${note}`],
    ["extra data twice", `${start}extra AQID\nextra AQID\nindex 1\n\n${note}`],
    ["empty extra data", `${start}extra \nindex 1\n\n${note}`],
    ["extra data without padding", `${start}extra AQI\nindex 1\n\n${note}`],
    ["extra data with unused bits set", `${start}extra AQJ=\nindex 1\n\n${note}`],
    ["a hash of 31 bytes", `${start}index 1\n${toBase64(h1.subarray(1))}\n\n${note}`],
    ["a hash of 33 bytes", `${start}index 1\n${toBase64(new Uint8Array(33))}\n\n${note}`],
    ["a hash in base64url", `${start}index 1\n${"_".repeat(42)}8=\n\n${note}`],
    ["a carriage return", `${start}index 1\r\n\n${note}`],
    ["64 hashes", `${start}index 1\n${`${t1}\n`.repeat(64)}\n${note}`],
    ["no checkpoint", `${start}index 1\n${t1}\n\n`],
    ["no empty line", `${start}index 1\n${t1}\n`],
  ] as const) {
    test(`${corruption} is MALFORMED`, () => {
      assert.throws(() => parseTlogProof(utf8(text)), { code: "MALFORMED" });
    });
  }
  test("bytes that are not UTF-8 before the checkpoint are MALFORMED", () => {
    const bytes = utf8(`${start}index 1\n\n${note}`);
    bytes[3] = 0xff;
    assert.throws(() => parseTlogProof(bytes), { code: "MALFORMED" });
  });
  test("a proof above its limit of bytes is TOO_LARGE", () => {
    assert.throws(() => parseTlogProof(new Uint8Array(tlogProofBytesMax + 1)), {
      code: "TOO_LARGE",
    });
  });
  test("printing what a proof cannot carry is a RangeError", () => {
    const good = { index: 1n, proof: [h1], checkpoint: vectorNote };
    for (const wrong of [
      { ...good, index: -1n },
      { ...good, proof: [h1.subarray(1)] },
      { ...good, proof: Array<Uint8Array>(64).fill(h1) },
      { ...good, checkpoint: new Uint8Array(0) },
    ]) {
      assert.throws(() => formatTlogProof(wrong), RangeError);
    }
  });
});

describe("add-checkpoint", () => {
  test("is the old size, hashes, an empty line and the checkpoint", () => {
    const body = formatAddCheckpoint({ oldSize: 5n, proof: [h1, h2], checkpoint: vectorNote });
    assert.equal(parseUtf8(body), `old 5\n${t1}\n${t2}\n\n${note}`);
  });
  test("parse after print is identity", () => {
    fc.assert(
      fc.property(anySize, hashes, (oldSize, proof) => {
        const body = formatAddCheckpoint({ oldSize, proof, checkpoint: vectorNote });
        const parsed = parseAddCheckpoint(body);
        assert.equal(parsed.oldSize, oldSize);
        assert.deepEqual(parsed.proof.map(toHex), proof.map(toHex));
        assert.equal(toHex(parsed.checkpoint), toHex(vectorNote));
      }),
    );
  });
  test("size 0 comes without a proof", () => {
    const parsed = parseAddCheckpoint(utf8(`old 0\n\n${note}`));
    assert.deepEqual([parsed.oldSize, parsed.proof], [0n, []]);
  });
  for (const [corruption, text] of [
    ["nothing", ""],
    ["an empty line first", `\nold 0\n\n${note}`],
    ["no old size", `${t1}\n\n${note}`],
    ["an empty old size", `old \n\n${note}`],
    ["an old size with a leading zero", `old 05\n\n${note}`],
    ["a negative old size", `old -5\n\n${note}`],
    ["an old size of 2^63", `old 9223372036854775808\n\n${note}`],
    ["an upper-case keyword", `OLD 5\n\n${note}`],
    ["a carriage return", `old 5\r\n\n${note}`],
    ["a line that is no hash", `old 5\nhello\n\n${note}`],
    ["a hash of 31 bytes", `old 5\n${toBase64(h1.subarray(1))}\n\n${note}`],
    ["64 hashes", `old 5\n${`${t1}\n`.repeat(64)}\n${note}`],
    ["no empty line", `old 5\n${t1}\n`],
    ["no checkpoint", `old 5\n${t1}\n\n`],
  ] as const) {
    test(`${corruption} is MALFORMED`, () => {
      assert.throws(() => parseAddCheckpoint(utf8(text)), { code: "MALFORMED" });
    });
  }
  test("a body above its limit of bytes is TOO_LARGE", () => {
    assert.throws(() => parseAddCheckpoint(new Uint8Array(addCheckpointBytesMax + 1)), {
      code: "TOO_LARGE",
    });
  });
  test("printing what a request cannot carry is a RangeError", () => {
    const good = { oldSize: 1n, proof: [h1], checkpoint: vectorNote };
    for (const wrong of [
      { ...good, oldSize: -1n },
      { ...good, proof: [h1.subarray(1)] },
      { ...good, proof: Array<Uint8Array>(64).fill(h1) },
      { ...good, checkpoint: new Uint8Array(0) },
    ]) {
      assert.throws(() => formatAddCheckpoint(wrong), RangeError);
    }
  });
});

function plain(proof: TlogProof): unknown {
  return [
    proof.extra === undefined ? undefined : toHex(proof.extra),
    proof.index,
    proof.proof.map(toHex),
    toHex(proof.checkpoint),
  ];
}
