import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { describe, it } from "node:test";
import { sha256 as portableSha256 } from "@noble/hashes/sha2.js";
import fc from "fast-check";
import {
  parseBase64,
  parseBase64url,
  parseHex,
  parseUtf8,
  toBase64,
  toBase64url,
  toHex,
  u64be,
  utf8,
} from "../../src/base/bytes.ts";
import { formatUuid } from "../../src/base/ids.ts";
import { hmacSha256, sha256, sha256OfLong } from "../../src/base/sha256.ts";

// Lengths on both sides of every bound inside: groups of 3, blocks of 64, the buffers that are reused.
const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 200 }),
  fc.uint8Array({ minLength: 1360, maxLength: 1370, size: "max" }),
  fc.uint8Array({ minLength: 3060, maxLength: 3080, size: "max" }),
  fc.uint8Array({ minLength: 4090, maxLength: 4200, size: "max" }),
);

const plain = (buffer: Buffer): Uint8Array => Uint8Array.from(buffer);

interface TextForm {
  readonly name: "hex" | "base64" | "base64url";
  readonly print: (bytes: Uint8Array) => string;
  readonly parse: (text: string) => Uint8Array | undefined;
}

const forms: readonly TextForm[] = [
  { name: "hex", print: toHex, parse: parseHex },
  { name: "base64", print: toBase64, parse: parseBase64 },
  { name: "base64url", print: toBase64url, parse: parseBase64url },
];

/** Texts that are nearly of the form: one character of a right text is another one, or is left out. */
function nearly(form: TextForm): fc.Arbitrary<string> {
  const other = fc.constantFrom(...Array.from("AQwgz09afAF+/-_= \n.\u0080\u0141\u{10000}"), "");
  return fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 12 }), fc.nat(), other)
    .map(([bytes, nat, character]) => {
      const text = form.print(bytes);
      const at = nat % text.length;
      return text.slice(0, at) + character + text.slice(at + 1);
    });
}

for (const form of forms) {
  describe(form.name, () => {
    it("is printed as the runtime prints it", () => {
      fc.assert(
        fc.property(anyBytes, (bytes) => {
          assert.equal(form.print(bytes), Buffer.from(bytes).toString(form.name));
        }),
      );
    });

    it("is parsed to the bytes that were printed", () => {
      fc.assert(
        fc.property(anyBytes, (bytes) => {
          assert.deepEqual(form.parse(form.print(bytes)), bytes);
        }),
      );
    });

    it("is parsed exactly where the runtime prints the bytes back as that text", () => {
      const texts = fc.oneof(nearly(form), fc.string({ unit: "binary", maxLength: 9 }));
      fc.assert(
        fc.property(texts, (text) => {
          const bytes = Buffer.from(text, form.name);
          const isPrinted = bytes.toString(form.name) === text;
          assert.deepEqual(form.parse(text), isPrinted ? plain(bytes) : undefined);
        }),
        { numRuns: 2000 },
      );
    });
  });
}

describe("UTF-8", () => {
  it("is encoded as the runtime encodes it, at any length", () => {
    const texts = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.string({ unit: fc.constantFrom("a", "\u00e9", "\u5e02", "\ud800", "\u{1f3db}") }),
      fc
        .tuple(fc.constantFrom("a", "\u5e02"), fc.integer({ min: 1300, max: 4200 }))
        .map(([unit, count]) => unit.repeat(count)),
    );
    fc.assert(
      fc.property(texts, (text) => {
        assert.deepEqual(utf8(text), new TextEncoder().encode(text));
      }),
    );
  });

  it("keeps the bytes of one text when another one is encoded", () => {
    const first = utf8("first");
    utf8("other");
    assert.equal(parseUtf8(first), "first");
  });
});

describe("SHA-256 and HMAC-SHA256", () => {
  it("are the same in the portable and in the runtime's implementation", () => {
    fc.assert(
      fc.property(anyBytes, (data) => {
        const expected = plain(createHash("sha256").update(data).digest());
        assert.deepEqual(sha256(data), expected);
        assert.deepEqual(plain(Buffer.from(portableSha256(data))), expected);
      }),
    );
  });

  it("of two parts is that of both, of any length", () => {
    fc.assert(
      fc.property(anyBytes, anyBytes, (first, long) => {
        const expected = plain(createHash("sha256").update(first).update(long).digest());
        assert.deepEqual(sha256OfLong(first, long), expected);
      }),
    );
  });

  it("are those of the runtime for a key of any length and parts of any number", () => {
    const parts = fc.array(anyBytes, { maxLength: 4 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 130 }), parts, (key, all) => {
        const expected = createHmac("sha256", key).update(Buffer.concat(all)).digest();
        assert.deepEqual(hmacSha256(key, ...all), plain(expected));
      }),
    );
  });
});

describe("a 64-bit integer", () => {
  it("stands as the runtime writes it, and stays when another one is written", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (value) => {
        const bytes = u64be(value);
        u64be(0n);
        assert.equal(Buffer.from(bytes).readBigUInt64BE(), value);
      }),
    );
  });
});

describe("the text of a UUID", () => {
  it("has its groups of hexadecimal digits", () => {
    const bytes = parseHex("0192e4a07c5f7abc8def0123456789ab") as Uint8Array;
    assert.equal(formatUuid(bytes), "0192e4a0-7c5f-7abc-8def-0123456789ab");
  });
});
