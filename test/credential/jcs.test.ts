import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { utf8 } from "../../src/base/bytes.ts";
import { jsonDepthMax } from "../../src/base/limits.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { formatJcs, parseJcs } from "../../src/credential/jcs.ts";
import { assertCode } from "./fixtures.ts";

const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth);

const accepted: readonly string[] = [
  "{}",
  "[]",
  '""',
  "0",
  "true",
  "9007199254740991",
  '{"a":[1,{"b":false}],"c":""}',
  '{"":0,"1":1,"10":2,"2":3}',
  // RFC 8785 section 3.2.3: the order is by UTF-16 code units, so U+1F600 stands before U+FB33.
  '{"\\r":1,"1":2,"\u0080":3,"ö":4,"€":5,"😀":6,"\ufb33":7}',
  '"\\u0000\\b\\t\\n\\f\\r\\u001f\\"\\\\/\u007f\u2028"',
  '{"__proto__":{"constructor":1}}',
  nested(jsonDepthMax),
];

const refused: readonly (readonly [name: string, text: string, code: ReasonCode])[] = [
  ["nothing", "", "MALFORMED"],
  ["two values", "{}{}", "MALFORMED"],
  ["a byte order mark", "\ufeff{}", "MALFORMED"],
  ["a trailing comma", "[1,]", "MALFORMED"],
  ["a leading zero", "01", "MALFORMED"],
  ["white space inside", '{"a": 1}', "NOT_CANONICAL"],
  ["white space before", " {}", "NOT_CANONICAL"],
  ["a line feed behind", "{}\n", "NOT_CANONICAL"],
  ["members not sorted", '{"b":1,"a":2}', "NOT_CANONICAL"],
  ["members sorted by code points", '{"\ufb33":7,"😀":6}', "NOT_CANONICAL"],
  ["a member twice", '{"a":1,"a":1}', "NOT_CANONICAL"],
  ["__proto__ twice", '{"__proto__":1,"__proto__":1}', "NOT_CANONICAL"],
  ["null", "null", "NOT_CANONICAL"],
  ["null inside", '{"a":null}', "NOT_CANONICAL"],
  ["a fraction", "1.5", "NOT_CANONICAL"],
  ["a fraction of zero", "1.0", "NOT_CANONICAL"],
  ["an exponent", "1e2", "NOT_CANONICAL"],
  ["a negative number", "-1", "NOT_CANONICAL"],
  ["negative zero", "-0", "NOT_CANONICAL"],
  ["2^53", "9007199254740992", "NOT_CANONICAL"],
  ["a number that rounds to 2^53-1", "9007199254740991.0", "NOT_CANONICAL"],
  ["a number beyond all", "1e999", "NOT_CANONICAL"],
  ["an escape that needs none", '"\\u0061"', "NOT_CANONICAL"],
  ["an escaped solidus", '"\\/"', "NOT_CANONICAL"],
  ["a long escape where a short one is", '"\\u000a"', "NOT_CANONICAL"],
  ["an escape in capitals", '"\\u001F"', "NOT_CANONICAL"],
  ["an escaped pair of surrogates", '"\\ud83d\\ude00"', "NOT_CANONICAL"],
  ["an escaped high surrogate", '"\\ud83d"', "NOT_CANONICAL"],
  ["an escaped low surrogate", '"\\ude00"', "NOT_CANONICAL"],
  ["a lone surrogate in a member's name", '{"\\ud83d":1}', "NOT_CANONICAL"],
  ["one level too deep", nested(jsonDepthMax + 1), "NOT_CANONICAL"],
  ["far too deep", nested(30_000), "NOT_CANONICAL"],
];

describe("canonical JSON is accepted and printed as it was", () => {
  for (const text of accepted) {
    test(JSON.stringify(text).slice(0, 60), () => {
      assert.equal(formatJcs(parseJcs(utf8(text))), text);
    });
  }
});

describe("JSON in another spelling is refused", () => {
  for (const [name, text, code] of refused) {
    test(name, () => {
      assertCode(() => parseJcs(utf8(text)), code);
    });
  }

  test("bytes that are no UTF-8", () => {
    assertCode(() => parseJcs(Uint8Array.of(0x22, 0xff, 0x22)), "MALFORMED");
  });

  test("a surrogate encoded as UTF-8", () => {
    assertCode(() => parseJcs(Uint8Array.of(0x22, 0xed, 0xa0, 0xbd, 0x22)), "MALFORMED");
  });
});

describe("values that have no canonical text are a misuse of the printer", () => {
  const values: readonly (readonly [string, unknown])[] = [
    ["undefined", undefined],
    ["an undefined member", { a: undefined }],
    ["a hole in a list", Array.from({ length: 2 })],
    ["null", { a: null }],
    ["a fraction", 0.5],
    ["a negative number", -1],
    ["NaN", Number.NaN],
    ["a bigint", 1n],
    ["a lone surrogate", "\ud800"],
    ["bytes", new Uint8Array(2)],
    ["a date", new Date(0)],
  ];
  for (const [name, value] of values) {
    test(name, () => {
      assert.throws(() => formatJcs(value), TypeError);
    });
  }
});

const wellFormed = fc.string({ unit: "binary" });
const { json } = fc.letrec((tie) => ({
  json: fc.oneof(
    { maxDepth: 4 },
    wellFormed,
    fc.boolean(),
    fc.maxSafeNat(),
    fc.array(tie("json"), { maxLength: 4 }),
    fc.dictionary(wellFormed, tie("json"), { maxKeys: 4, noNullPrototype: true }),
  ),
}));

test("parse after print is identity on values", () => {
  fc.assert(
    fc.property(json, (value) => {
      assert.deepEqual(parseJcs(utf8(formatJcs(value))), value);
    }),
  );
});

test("any JSON text is either refused or printed as it was", () => {
  const text = fc.oneof(
    json.map((value) => JSON.stringify(value)),
    fc.json(),
    fc.string(),
  );
  fc.assert(
    fc.property(text, (candidate) => {
      try {
        assert.equal(formatJcs(parseJcs(utf8(candidate))), candidate);
      } catch (error) {
        assert.match(String((error as { code?: unknown }).code), /^(?:MALFORMED|NOT_CANONICAL)$/);
      }
    }),
  );
});
