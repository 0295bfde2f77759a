import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { toBase64, toHex, utf8 } from "../../src/base/bytes.ts";
import { emptyRoot } from "../../src/merkle/hash.ts";
import { type Checkpoint, formatCheckpoint, parseCheckpoint } from "../../src/note/checkpoint.ts";
import {
  cosignatureMessage,
  formatCosignature,
  parseCosignature,
} from "../../src/note/cosignature.ts";
import { formatNote, parseNote } from "../../src/note/note.ts";
import { addSignatures, cosignCheckpoint, signCheckpoint } from "../../src/note/sign.ts";
import {
  createVerifierKey,
  formatVerifierKey,
  parseVerifierKey,
} from "../../src/note/verifier-key.ts";
import { openCheckpoint, verifyNote } from "../../src/note/verify.ts";
import {
  cities,
  cosignedNote,
  createTestSigner,
  logKey,
  logSigner,
  origin,
  root,
  vectorNote,
  vectors,
  verifyEd25519 as verify,
} from "./support.ts";

const vectorLogKey = parseVerifierKey(vectors.logVerifierKey);
const vectorWitnessKey = parseVerifierKey(vectors.witnessVerifierKey);
const rootText = toBase64(root);
const checkpoint: Checkpoint = { origin, size: 7n, root, extensions: [] };
const [first, second] = cities;
assert.ok(first !== undefined && second !== undefined);

describe("verifier keys", () => {
  for (const text of [vectors.logVerifierKey, vectors.witnessVerifierKey]) {
    test(`${text.slice(-60)} parses and prints back`, () => {
      assert.equal(formatVerifierKey(parseVerifierKey(text)), text);
    });
  }
  test("the same key has another id under another name or type", () => {
    const { publicKey } = logSigner;
    const ids = [
      createVerifierKey({ name: "a", type: 0x01, publicKey }),
      createVerifierKey({ name: "b", type: 0x01, publicKey }),
      createVerifierKey({ name: "a", type: 0x04, publicKey }),
    ].map((key) => key.keyId);
    assert.equal(new Set(ids).size, 3);
  });
  test("every text with one character changed is MALFORMED", () => {
    const text = vectors.witnessVerifierKey;
    for (let i = 0; i < text.length; i++) {
      const other = text[i] === "a" ? "b" : "a";
      const wrong = text.slice(0, i) + other + text.slice(i + 1);
      assert.throws(() => parseVerifierKey(wrong), { code: "MALFORMED" });
    }
  });
  const [name, id, encoded] = [
    vectors.logVerifierKey.split("+")[0],
    "90e4774d",
    "AfhIWYf8xXZBkg2NbNdwCzPqWhDHUuvWYyTUi0p7Lscg",
  ];
  for (const [corruption, text] of [
    ["nothing", ""],
    ["no key id", `${name}+${encoded}`],
    ["no name", `+${id}+${encoded}`],
    ["a space in the name", `a b+${id}+${encoded}`],
    ["an upper-case key id", `${name}+${id.toUpperCase()}+${encoded}`],
    ["a short key id", `${name}+${id.slice(1)}+${encoded}`],
    ["a line feed at the end", `${name}+${id}+${encoded}\n`],
    ["a key of 31 bytes", `${name}+${id}+${toBase64(new Uint8Array(32).fill(1))}`],
    ["a key of 33 bytes", `${name}+${id}+${toBase64(new Uint8Array(34).fill(1))}`],
    ["type 0x02", `${name}+${id}+${toBase64(new Uint8Array(33).fill(2))}`],
    ["the type of ML-DSA-44", `${name}+${id}+${toBase64(new Uint8Array(1313).fill(6))}`],
  ] as const) {
    test(`${corruption} is MALFORMED`, () => {
      assert.throws(() => parseVerifierKey(text), { code: "MALFORMED" });
    });
  }
  test("a key with a name or length that no key has is a RangeError", () => {
    const { publicKey } = logSigner;
    assert.throws(() => createVerifierKey({ name: "a+b", type: 0x01, publicKey }), RangeError);
    assert.throws(
      () => createVerifierKey({ name: "a", type: 0x01, publicKey: publicKey.subarray(1) }),
      RangeError,
    );
  });
});

describe("checkpoints", () => {
  test("the reference checkpoint says what it says", () => {
    const parsed = parseCheckpoint(parseNote(vectorNote).text);
    assert.equal(parsed.origin, vectorLogKey.name);
    assert.equal(parsed.size, BigInt(vectors.size));
    assert.equal(toHex(parsed.root), vectors.root);
    assert.deepEqual(parsed.extensions, []);
    assert.equal(formatCheckpoint(parsed), parseNote(vectorNote).text);
  });
  test("parse after print is identity", () => {
    const textLine = fc
      .string({ unit: "grapheme", minLength: 1 })
      .map((s) => s.replace(/[\p{Cc}\p{Surrogate}]/gu, "_"));
    fc.assert(
      fc.property(
        textLine,
        fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.array(textLine, { maxLength: 3 }),
        (anyOrigin, size, anyRoot, extensions) => {
          const text = formatCheckpoint({ origin: anyOrigin, size, root: anyRoot, extensions });
          const parsed = parseCheckpoint(text);
          assert.deepEqual(
            [parsed.origin, parsed.size, toHex(parsed.root), parsed.extensions],
            [anyOrigin, size, toHex(anyRoot), extensions],
          );
        },
      ),
    );
  });
  for (const [corruption, text] of [
    ["nothing", ""],
    ["an empty origin", `\n7\n${rootText}\n`],
    ["no size", `o\n${rootText}\n`],
    ["no root", "o\n7\n"],
    ["no line feed at the end", `o\n7\n${rootText}`],
    ["an empty extension line", `o\n7\n${rootText}\n\n`],
    ["an empty line between", `o\n7\n\n${rootText}\n`],
    ["a leading zero", `o\n07\n${rootText}\n`],
    ["a sign", `o\n+7\n${rootText}\n`],
    ["a hexadecimal size", `o\n0x7\n${rootText}\n`],
    ["a space after the size", `o\n7 \n${rootText}\n`],
    ["a size of 2^63", `o\n9223372036854775808\n${rootText}\n`],
    ["a root of 31 bytes", `o\n7\n${toBase64(root.subarray(1))}\n`],
    ["a root of 33 bytes", `o\n7\n${toBase64(new Uint8Array(33))}\n`],
    ["a root without padding", `o\n7\n${rootText.slice(0, -1)}\n`],
    ["a root with unused bits set", `o\n7\n${rootText.slice(0, -2)}p=\n`],
    ["a carriage return", `o\r\n7\n${rootText}\n`],
  ] as const) {
    test(`${corruption} is CHECKPOINT_INVALID`, () => {
      assert.throws(() => parseCheckpoint(text), { code: "CHECKPOINT_INVALID" });
    });
  }
  test("a size above 2^53 is read exactly", () => {
    assert.equal(parseCheckpoint(`o\n9007199254740993\n${rootText}\n`).size, 9007199254740993n);
  });
  test("printing what a checkpoint cannot say is a RangeError", () => {
    for (const wrong of [
      { ...checkpoint, origin: "" },
      { ...checkpoint, origin: "a\nb" },
      { ...checkpoint, origin: "a\r" },
      { ...checkpoint, size: -1n },
      { ...checkpoint, root: root.subarray(1) },
      { ...checkpoint, extensions: [""] },
      { ...checkpoint, extensions: ["a\nb"] },
    ]) {
      assert.throws(() => formatCheckpoint(wrong), RangeError);
    }
  });
});

describe("cosignatures", () => {
  test("the signed message is version, time and the whole text", () => {
    assert.equal(
      Buffer.from(cosignatureMessage(12n, "o\n7\nr\next\n")).toString(),
      "cosignature/v1\ntime 12\no\n7\nr\next\n",
    );
  });
  test("parse after print is identity", () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: (1n << 63n) - 1n }),
        fc.uint8Array({ minLength: 64, maxLength: 64 }),
        (timestamp, signature) => {
          const parsed = parseCosignature(formatCosignature({ timestamp, signature }));
          assert.equal(parsed?.timestamp, timestamp);
          assert.equal(toHex(parsed?.signature ?? assert.fail()), toHex(signature));
        },
      ),
    );
  });
  test("another length, or a timestamp above 2^63-1, is no cosignature", () => {
    for (const length of [0, 8, 64, 71, 73]) {
      assert.equal(parseCosignature(new Uint8Array(length)), undefined);
    }
    assert.equal(parseCosignature(new Uint8Array(72).fill(0x80)), undefined);
    const signature = new Uint8Array(64);
    assert.throws(() => formatCosignature({ timestamp: 1n << 63n, signature }), RangeError);
    assert.throws(() => formatCosignature({ timestamp: -1n, signature }), RangeError);
    assert.throws(
      () => formatCosignature({ timestamp: 1n, signature: signature.subarray(1) }),
      RangeError,
    );
  });
});

describe("verification of a note", () => {
  const note = parseNote(cosignedNote(5000, 6999));

  test("the reference note verifies under both its keys, with its time", () => {
    const signatures = verifyNote({
      note: parseNote(vectorNote),
      keys: [vectorLogKey, vectorWitnessKey],
      verify,
    });
    assert.deepEqual(signatures, [
      { key: vectorLogKey },
      { key: vectorWitnessKey, timestamp: BigInt(vectors.time) },
    ]);
  });
  test("signatures of unknown keys are ignored", () => {
    assert.deepEqual(verifyNote({ note, keys: [second.key], verify }), [
      { key: second.key, timestamp: 6n },
    ]);
  });
  test("an unknown key under a known name is ignored", () => {
    const publicKey = createTestSigner(99).publicKey;
    const stranger = createVerifierKey({ name: first.key.name, type: 0x04, publicKey });
    assert.deepEqual(verifyNote({ note, keys: [stranger, logKey], verify }), [{ key: logKey }]);
  });
  test("no signature of a known key is NOTE_SIGNER_UNKNOWN", () => {
    for (const keys of [[], [vectorLogKey]]) {
      assert.throws(() => verifyNote({ note, keys, verify }), { code: "NOTE_SIGNER_UNKNOWN" });
    }
  });
  test("a known key's wrong signature rejects the note with its right ones", () => {
    for (const at of note.signatures.keys()) {
      const signatures = note.signatures.map((one, i) =>
        i === at ? { ...one, signature: one.signature.map((byte) => byte ^ 1) } : one,
      );
      const keys = [logKey, first.key, second.key];
      assert.throws(() => verifyNote({ note: { ...note, signatures }, keys, verify }), {
        code: "SIGNATURE_INVALID",
      });
    }
  });
  test("a wrong signature beside a right one of the same key rejects the note", () => {
    const right = note.signatures[1] ?? assert.fail();
    const wrong = { ...right, signature: right.signature.map((byte) => byte ^ 1) };
    for (const signatures of [
      [right, wrong],
      [wrong, right],
    ]) {
      assert.throws(
        () => verifyNote({ note: { ...note, signatures }, keys: [first.key], verify }),
        {
          code: "SIGNATURE_INVALID",
        },
      );
    }
  });
  test("a known key's signature of another length is SIGNATURE_INVALID", () => {
    for (const length of [1, 8, 64, 71]) {
      const signatures = note.signatures.map((one) => ({
        ...one,
        signature: one.signature.slice(0, one.name === first.key.name ? length : undefined),
      }));
      assert.throws(
        () => verifyNote({ note: { ...note, signatures }, keys: [first.key], verify }),
        {
          code: "SIGNATURE_INVALID",
        },
      );
    }
  });
  test("of two keys with one name and key id either may have signed", () => {
    const twin = { ...first.key, publicKey: second.key.publicKey };
    assert.deepEqual(verifyNote({ note, keys: [twin, first.key], verify }), [
      { key: first.key, timestamp: 5n },
    ]);
    assert.throws(() => verifyNote({ note, keys: [twin], verify }), { code: "SIGNATURE_INVALID" });
  });
  test("a log's signature is none of a cosigner with its key, nor the other way", () => {
    const { publicKey } = logSigner;
    const asCosigner = createVerifierKey({ name: origin, type: 0x04, publicKey });
    const relabelled = {
      ...note,
      signatures: note.signatures.map((one) => ({ ...one, name: origin, keyId: asCosigner.keyId })),
    };
    assert.throws(() => verifyNote({ note: relabelled, keys: [asCosigner], verify }), {
      code: "SIGNATURE_INVALID",
    });
  });
});

describe("opening a checkpoint", () => {
  test("gives the log's checkpoint and who signed it", () => {
    const cosignerKeys = cities.map(({ key }) => key);
    const opened = openCheckpoint({ note: cosignedNote(5000), logKey, cosignerKeys, verify });
    assert.equal(opened.checkpoint.size, 7n);
    assert.deepEqual(opened.signatures, [{ key: logKey }, { key: first.key, timestamp: 5n }]);
  });
  test("a checkpoint of another origin is CHECKPOINT_INVALID, also when the log signed it", () => {
    const { text } = signCheckpoint({ ...checkpoint, origin: "other" }, logSigner);
    const signature = logSigner.sign(utf8(text));
    const note = formatNote({ text, signatures: [{ ...logKey, signature }] });
    assert.throws(() => openCheckpoint({ note, logKey, verify }), { code: "CHECKPOINT_INVALID" });
  });
  test("cosignatures without the log's signature are NOTE_SIGNER_UNKNOWN", () => {
    const { text, signatures } = parseNote(cosignedNote(5000));
    const note = formatNote({ text, signatures: signatures.slice(1) });
    assert.throws(() => openCheckpoint({ note, logKey, cosignerKeys: [first.key], verify }), {
      code: "NOTE_SIGNER_UNKNOWN",
    });
  });
  test("a note that is no checkpoint is CHECKPOINT_INVALID", () => {
    const note = formatNote({ text: "hello\n", signatures: [{ ...logKey, signature: root }] });
    assert.throws(() => openCheckpoint({ note, logKey, verify }), { code: "CHECKPOINT_INVALID" });
  });
});

describe("signing", () => {
  const cosign = (from: Checkpoint, timeMs = 5999) =>
    cosignCheckpoint({ checkpoint: from, name: first.key.name, signer: first.signer, timeMs });

  test("log and witness sign what verifies, the time cut to the second", () => {
    const note = addSignatures(signCheckpoint(checkpoint, logSigner), [cosign(checkpoint)]);
    assert.deepEqual(verifyNote({ note, keys: [logKey, first.key], verify }), [
      { key: logKey },
      { key: first.key, timestamp: 5n },
    ]);
  });
  for (const [what, wrong] of [
    ["extension lines", { ...checkpoint, extensions: ["more"] }],
    ["size 0 with another root than the empty tree's", { ...checkpoint, size: 0n }],
  ] as const) {
    test(`${what} are refused by log and witness, CHECKPOINT_INVALID`, () => {
      assert.throws(() => signCheckpoint(wrong, logSigner), { code: "CHECKPOINT_INVALID" });
      assert.throws(() => cosign(wrong), { code: "CHECKPOINT_INVALID" });
    });
  }
  test("the empty tree may be signed", () => {
    const empty = { ...checkpoint, size: 0n, root: emptyRoot };
    assert.equal(parseCheckpoint(signCheckpoint(empty, logSigner).text).size, 0n);
    assert.equal(cosign(empty).name, first.key.name);
  });
  test("a cosignature at a time that no quorum counts is a RangeError", () => {
    for (const timeMs of [0, 999, -5000, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.throws(() => cosign(checkpoint, timeMs), RangeError);
    }
  });
});
