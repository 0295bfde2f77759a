import assert from "node:assert/strict";
import { createHash, createHmac, hkdfSync } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import fc from "fast-check";
import { concatBytes, parseHex, toHex, u32be, utf8 } from "../../src/base/bytes.ts";
import type { CommitmentLabel } from "../../src/crypto/commitments.ts";
import {
  commit,
  commitUnderSeed,
  deriveSalt,
  isCommitmentLabel,
  opensCommitment,
} from "../../src/crypto/commitments.ts";
import { extendTranscript, Transcript, transcriptOf } from "../../src/crypto/transcript.ts";

interface Vectors {
  readonly seed: string;
  readonly transcripts: readonly {
    readonly frames: readonly { readonly kind: 1 | 2; readonly bytes: string }[];
    readonly value: string;
  }[];
  readonly commitments: readonly {
    readonly label: CommitmentLabel;
    readonly salt: string;
    readonly value: string;
    readonly commitment: string;
  }[];
}

const vectors = JSON.parse(readFileSync("test/vectors/commitments.json", "utf8")) as Vectors;
const hex = (text: string): Uint8Array => parseHex(text) as Uint8Array;
const seed = hex(vectors.seed);
const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length });

describe("commitments have their reference values", () => {
  assert.equal(vectors.commitments.length, 36);
  for (const [index, { label, salt, value, commitment }] of vectors.commitments.entries()) {
    test(`${index}: ${label}`, () => {
      assert.ok(isCommitmentLabel(label));
      assert.equal(toHex(deriveSalt(seed, label)), salt);
      assert.equal(toHex(commit({ label, salt: hex(salt), value: hex(value) })), commitment);
      const made = commitUnderSeed({ seed, label, value: hex(value) });
      assert.deepEqual(made, { salt: hex(salt), commitment: hex(commitment) });
      assert.ok(opensCommitment(hex(commitment), { label, salt: hex(salt), value: hex(value) }));
    });
  }
});

describe("transcripts have their reference values", () => {
  assert.equal(vectors.transcripts.length, 5);
  for (const [index, { frames, value }] of vectors.transcripts.entries()) {
    test(`${index}: ${frames.length} frames`, () => {
      const transcript = new Transcript();
      for (const frame of frames) {
        if (frame.kind === 1) transcript.addHeaders(hex(frame.bytes));
        else transcript.addMessage(hex(frame.bytes));
      }
      assert.equal(toHex(transcript.value), value);
      assert.equal(transcript.frames, frames.length);
    });
  }
});

test("a salt is what the runtime's HKDF expands from the same pseudorandom key", () => {
  fc.assert(
    fc.property(bytes(32), bytes(32), (material, extractSalt) => {
      // RFC 5869 section 2.2: HKDF's first step is this HMAC, and its result stands for the seed.
      const extracted = createHmac("sha256", extractSalt).update(material).digest();
      const info = utf8("causeway/salt/v1\0case\0");
      const expanded = hkdfSync("sha256", material, extractSalt, info, 32);
      assert.deepEqual(deriveSalt(Uint8Array.from(extracted), "case"), new Uint8Array(expanded));
    }),
  );
});

test("no other label, salt or value opens a commitment", () => {
  const at = fc.nat({ max: 255 });
  fc.assert(
    fc.property(
      bytes(32),
      fc.uint8Array({ minLength: 1, maxLength: 64 }),
      at,
      (salt, value, bit) => {
        const commitment = commit({ label: "case", salt, value });
        const flip = (input: Uint8Array): Uint8Array => {
          const out = Uint8Array.from(input);
          const index = (bit >> 3) % out.length;
          out[index] = (out[index] as number) ^ (1 << (bit & 7));
          return out;
        };
        assert.equal(opensCommitment(commitment, { label: "case", salt, value }), true);
        assert.equal(opensCommitment(commitment, { label: "official", salt, value }), false);
        assert.equal(
          opensCommitment(commitment, { label: "case", salt: flip(salt), value }),
          false,
        );
        assert.equal(
          opensCommitment(commitment, { label: "case", salt, value: flip(value) }),
          false,
        );
        assert.equal(opensCommitment(flip(commitment), { label: "case", salt, value }), false);
      },
    ),
  );
});

test("a salt that HMAC would pad or hash to the same key opens nothing", () => {
  const salt = bytes32(1);
  const value = utf8("case-2026-001");
  const commitment = commit({ label: "case", salt, value });
  const padded = concatBytes(salt, new Uint8Array(1));
  assert.equal(opensCommitment(commitment, { label: "case", salt: padded, value }), false);
  assert.throws(() => commit({ label: "case", salt: padded, value }), RangeError);
  assert.throws(() => deriveSalt(salt.subarray(1), "case"), RangeError);
});

test("only the labels of the contract are labels", () => {
  for (const label of ["attribute/x", "attribute/a.b", "method"])
    assert.ok(isCommitmentLabel(label));
  for (const label of ["", "attribute/", "attribute/a b", "Case", "case\0x", "attribute/甲"]) {
    assert.equal(isCommitmentLabel(label), false, label);
    assert.throws(() => deriveSalt(seed, label as CommitmentLabel), RangeError);
  }
});

test("a transcript binds the kind, the border and the order of its frames", () => {
  const a = utf8("a");
  const values = [
    new Transcript(),
    new Transcript().addHeaders(a),
    new Transcript().addMessage(a),
    new Transcript().addMessage(a).addHeaders(a),
    new Transcript().addHeaders(a).addMessage(a),
    new Transcript().addMessage(utf8("aa")),
    new Transcript().addMessage(a).addMessage(a),
  ].map((transcript) => toHex(transcript.value));
  assert.equal(new Set(values).size, values.length);
  assert.equal(toHex(transcriptOf(a, [a])), values[4]);
});

test("a transcript made frame by frame is the one made at once", () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.array(fc.uint8Array()), (headers, messages) => {
      let value: Uint8Array = extendTranscript(new Uint8Array(32), "headers", headers);
      for (const message of messages) value = extendTranscript(value, "message", message);
      assert.deepEqual(transcriptOf(headers, messages), value);
    }),
  );
});

test("a transcript takes frames of any length alike", () => {
  const before = new Transcript().addHeaders(utf8("a")).value;
  for (const length of [0, 1, 4058, 4059, 4060, 4096, 65_536]) {
    const bytes = new Uint8Array(length).fill(7);
    const input = Buffer.concat([before, Uint8Array.of(2), u32be(length), bytes]);
    const expected = createHash("sha256").update(input).digest("hex");
    assert.equal(toHex(extendTranscript(before, "message", bytes)), expected, `${length}`);
  }
});

function bytes32(fill: number): Uint8Array {
  return new Uint8Array(32).fill(fill);
}
