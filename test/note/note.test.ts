import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { concatBytes, parseUtf8, toBase64, toHex, u32be, utf8 } from "../../src/base/bytes.ts";
import { noteBytesMax, noteSignaturesMax } from "../../src/base/limits.ts";
import {
  formatNote,
  formatSignatureLines,
  type NoteSignature,
  parseNote,
  parseSignatureLines,
} from "../../src/note/note.ts";
import { vectors, vectorNote } from "./support.ts";

const signature: NoteSignature = { name: "log", keyId: 0x01020304, signature: Uint8Array.of(9, 8) };
const line = "— log AQIDBAkI\n";

const keyName = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 20 })
  .filter((name) => !/[\p{White_Space}+\p{Cc}\p{Surrogate}]/u.test(name));
const noteText = fc
  .array(fc.string({ unit: "grapheme", maxLength: 20 }).map((s) => s.replace(/[\p{Cc}]/gu, "")))
  .map((lines) => `${lines.join("\n")}\n`);
const anySignature = fc.record({
  name: keyName,
  keyId: fc.integer({ min: 0, max: 0xffffffff }),
  signature: fc.uint8Array({ minLength: 1, maxLength: 100 }),
});

describe("notes", () => {
  test("the reference note parses to its parts and prints back", () => {
    const note = parseNote(vectorNote);
    assert.equal(note.text, vectors.checkpoint.slice(0, vectors.checkpoint.indexOf("\n\n") + 1));
    assert.deepEqual(
      note.signatures.map(({ name, signature: bytes }) => [name, bytes.length]),
      [
        [vectors.logVerifierKey.split("+", 1)[0], 64],
        [vectors.witnessVerifierKey.split("+", 1)[0], 72],
      ],
    );
    assert.equal(parseUtf8(formatNote(note)), vectors.checkpoint);
  });
  test("parse after print is identity", () => {
    fc.assert(
      fc.property(
        noteText,
        fc.array(anySignature, { minLength: 1, maxLength: 16 }),
        (text, list) => {
          const note = parseNote(formatNote({ text, signatures: list }));
          assert.equal(note.text, text);
          assert.deepEqual(plain(note.signatures), plain(list));
        },
      ),
    );
  });
  test("whatever parses prints back to the same bytes", () => {
    const mutated = fc
      .tuple(fc.integer({ min: 0, max: vectorNote.length - 1 }), fc.integer({ min: 0, max: 255 }))
      .map(([at, byte]) => vectorNote.map((old, i) => (i === at ? byte : old)));
    fc.assert(
      fc.property(mutated, (bytes) => {
        try {
          assert.equal(toHex(formatNote(parseNote(bytes))), toHex(bytes));
        } catch (error) {
          assert.equal((error as { code?: string }).code, "NOTE_INVALID");
        }
      }),
      { numRuns: 2000 },
    );
  });
  test("the text ends at the last empty line", () => {
    const note = parseNote(utf8(`a\n\n— x AQIDBAkI\n\n${line}`));
    assert.equal(note.text, "a\n\n— x AQIDBAkI\n");
    assert.deepEqual(plain(note.signatures), plain([signature]));
  });
  test("a byte order mark and text beyond ASCII stand in the text as they are", () => {
    for (const text of ["\ufefforigin\n", "杭州\n", "a\u007f\u0085b\n", "\n"]) {
      assert.equal(parseNote(utf8(`${text}\n${line}`)).text, text);
    }
  });
  test("a note carries up to 100 signatures", () => {
    const note = {
      text: "a\n",
      signatures: Array<NoteSignature>(noteSignaturesMax).fill(signature),
    };
    assert.equal(parseNote(formatNote(note)).signatures.length, noteSignaturesMax);
    const more = utf8(`a\n\n${line.repeat(noteSignaturesMax + 1)}`);
    assert.throws(() => parseNote(more), { code: "TOO_LARGE" });
  });
  test("a note above its limit of bytes is TOO_LARGE", () => {
    const text = `${"a".repeat(noteBytesMax)}\n`;
    assert.throws(() => parseNote(utf8(`${text}\n${line}`)), { code: "TOO_LARGE" });
  });
});

describe("malformed notes", () => {
  const blob = (...bytes: number[]): string => toBase64(Uint8Array.from(bytes));
  for (const [corruption, note] of [
    ["nothing", ""],
    ["text alone", "a\n"],
    ["no empty line", `a\n${line}`],
    ["no text", `\n${line}`],
    ["no signature", "a\n\n"],
    ["no line feed at the end", `a\n\n${line.slice(0, -1)}`],
    ["an empty line at the end", `a\n\n${line}\n`],
    ["a line that is no signature", `a\n\n${line}b\n`],
    ["carriage returns", `a\r\n\r\n${line.replace("\n", "\r\n")}`],
    ["a carriage return in the text", `a\r\n\n${line}`],
    ["a NUL in the text", `a\0\n\n${line}`],
    ["a tab in the text", `a\tb\n\n${line}`],
    ["a hyphen for the dash", `a\n\n${line.replace("—", "-")}`],
    ["an en dash for the em dash", `a\n\n${line.replace("—", "–")}`],
    ["no space after the dash", `a\n\n${line.replace("— ", "—")}`],
    ["a no-break space after the dash", `a\n\n${line.replace("— ", "—\u00a0")}`],
    ["two spaces after the dash", `a\n\n${line.replace("— ", "—  ")}`],
    ["two spaces after the name", `a\n\n${line.replace("log ", "log  ")}`],
    ["a space at the end of the line", `a\n\n${line.replace("\n", " \n")}`],
    ["a plus in the name", `a\n\n${line.replace("log", "l+g")}`],
    ["an ideographic space in the name", `a\n\n${line.replace("log", "l\u3000g")}`],
    ["a next-line character in the name", `a\n\n${line.replace("log", "l\u0085g")}`],
    ["a tab in the name", `a\n\n${line.replace("log", "l\tg")}`],
    ["no name", `a\n\n${line.replace("log ", " ")}`],
    ["a key id of three bytes", `a\n\n— log ${blob(1, 2, 3)}\n`],
    ["a key id without a signature", `a\n\n— log ${blob(1, 2, 3, 4)}\n`],
    ["base64url", "a\n\n— log AQIDBP_-\n"],
    ["base64 without padding", "a\n\n— log AQIDBAkIBw\n"],
    ["base64 with unused bits set", "a\n\n— log AQIDBAkIB1==\n"],
    ["base64 with too much padding", "a\n\n— log AQIDBAkI====\n"],
    ["no base64", "a\n\n— log \n"],
  ] as const) {
    test(`${corruption} is NOTE_INVALID`, () => {
      assert.throws(() => parseNote(utf8(note)), { code: "NOTE_INVALID" });
    });
  }
  for (const [corruption, bytes] of [
    ["a lone continuation byte", [0x80]],
    ["an overlong encoding", [0xc0, 0xaf]],
    ["a surrogate", [0xed, 0xa0, 0x80]],
    ["a code point above U+10FFFF", [0xf4, 0x90, 0x80, 0x80]],
  ] as const) {
    test(`${corruption} in the text is NOTE_INVALID`, () => {
      const note = concatBytes(Uint8Array.from(bytes), utf8(`a\n\n${line}`));
      assert.throws(() => parseNote(note), { code: "NOTE_INVALID" });
    });
  }
  test("every proper prefix of a note but those that end in a whole line is NOTE_INVALID", () => {
    const lineEnd = vectors.checkpoint.indexOf("\n", vectors.checkpoint.indexOf("—")) + 1;
    const whole = utf8(vectors.checkpoint.slice(0, lineEnd)).length;
    for (let length = 0; length < vectorNote.length; length++) {
      const prefix = vectorNote.subarray(0, length);
      if (length === whole) assert.equal(parseNote(prefix).signatures.length, 1);
      else assert.throws(() => parseNote(prefix), { code: "NOTE_INVALID" });
    }
  });
  test("printing what a note cannot carry is a RangeError", () => {
    const good = { text: "a\n", signatures: [signature] };
    for (const wrong of [
      { ...good, text: "a" },
      { ...good, text: "" },
      { ...good, text: "a\r\n" },
      { ...good, text: "\ud800\n" },
      { ...good, signatures: [] },
      { ...good, signatures: [{ ...signature, name: "a b" }] },
      { ...good, signatures: [{ ...signature, name: "" }] },
      { ...good, signatures: [{ ...signature, keyId: 2 ** 32 }] },
      { ...good, signatures: [{ ...signature, signature: new Uint8Array(0) }] },
    ]) {
      assert.throws(() => formatNote(wrong), RangeError);
    }
  });
});

describe("signature lines alone", () => {
  test("parse after print is identity", () => {
    fc.assert(
      fc.property(fc.array(anySignature, { minLength: 1, maxLength: 5 }), (list) => {
        assert.deepEqual(plain(parseSignatureLines(formatSignatureLines(list))), plain(list));
      }),
    );
  });
  for (const text of ["", "\n", line.slice(0, -1), `${line}\n`, `\n${line}`, `a\n\n${line}`]) {
    test(`${JSON.stringify(text)} is NOTE_INVALID`, () => {
      assert.throws(() => parseSignatureLines(utf8(text)), { code: "NOTE_INVALID" });
    });
  }
});

function plain(signatures: readonly NoteSignature[]): string[] {
  return signatures.map((s) => `${s.name} ${toHex(u32be(s.keyId))} ${toHex(s.signature)}`);
}
