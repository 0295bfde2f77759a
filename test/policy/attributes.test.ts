import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { compareText, concatBytes } from "../../src/base/bytes.ts";
import type { ServiceAttribute } from "../../src/credential/statements.ts";
import { AttributeValueSchema } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import {
  type AttributeDatum,
  createAttributeValue,
  decodeAttributeValue,
  encodeAttributeValue,
  readAttributeValue,
  sortAttributes,
} from "../../src/policy/attributes.ts";

const text = fc.string({ unit: "binary" });
const datum: fc.Arbitrary<AttributeDatum> = fc.oneof(
  fc.boolean(),
  fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
  text,
  fc.uniqueArray(text).map((texts) => texts.sort(compareText)),
);

test("a value is the same after encoding and decoding", () => {
  fc.assert(
    fc.property(datum, (value) => {
      const bytes = encodeAttributeValue(createAttributeValue(value));
      assert.deepEqual(readAttributeValue(decodeAttributeValue(bytes)), value);
    }),
  );
});

test("a set is sorted by bytes and holds each text once", () => {
  const value = createAttributeValue(["b", "\u{1f600}", "\uff5e", "a", "b"]);
  assert.deepEqual(readAttributeValue(value), ["a", "b", "\uff5e", "\u{1f600}"]);
});

const integers = [
  "",
  "-0",
  "00",
  "01",
  "+1",
  "1.0",
  "1e3",
  " 1",
  "9223372036854775808",
  "-9223372036854775809",
];
for (const decimal of integers) {
  test(`the integer "${decimal}" is refused`, () => {
    const value = create(AttributeValueSchema, { value: { case: "integer", value: { decimal } } });
    assert.throws(() => readAttributeValue(value), { code: "NOT_CANONICAL" });
  });
}

const plain = encodeAttributeValue(createAttributeValue("ab"));
const corruptions: readonly (readonly [name: string, bytes: Uint8Array])[] = [
  ["no bytes", new Uint8Array(0)],
  ["a cut end", plain.subarray(0, -1)],
  ["an unknown field behind", concatBytes(plain, Uint8Array.of(0x78, 1))],
  ["an unknown field inside", Uint8Array.of(0x1a, 4, 0x0a, 0, 0x78, 1)],
  ["a default that is written", Uint8Array.of(0x0a, 2, 0x08, 0)],
  ["a length with a longer varint", Uint8Array.of(0x1a, 0x84, 0, 0x0a, 2, 0x61, 0x62)],
  ["a set out of order", Uint8Array.of(0x22, 6, 0x0a, 1, 0x62, 0x0a, 1, 0x61)],
  ["a set with a text twice", Uint8Array.of(0x22, 6, 0x0a, 1, 0x61, 0x0a, 1, 0x61)],
  ["two values", concatBytes(plain, encodeAttributeValue(createAttributeValue(true)))],
];
for (const [name, bytes] of corruptions) {
  test(`an encoding with ${name} is refused`, () => {
    assert.throws(() => decodeAttributeValue(bytes), { code: "NOT_CANONICAL" });
  });
}

test("a lone surrogate and a number beyond 64 bits are no values", () => {
  assert.throws(() => createAttributeValue("\ud800"), RangeError);
  assert.throws(() => createAttributeValue(["ok", "\udfff"]), RangeError);
  assert.throws(() => createAttributeValue(1n << 63n), RangeError);
});

const declared: readonly ServiceAttribute[] = [
  { name: "age-band", type: "integer", personal: true, source: "request" },
  { name: "category", type: "text", personal: false, source: "provider" },
  { name: "b", type: "boolean", personal: false, source: "token" },
];

test("public attributes stand with their value, personal ones with their commitment alone", () => {
  const commitment = new Uint8Array(32).fill(5);
  const sorted = sortAttributes(declared, [
    { name: "category", value: createAttributeValue("x") },
    { name: "age-band", value: createAttributeValue(3n), commitment },
    { name: "b", value: createAttributeValue(true) },
  ]);
  assert.deepEqual(
    sorted.publicAttributes.map(({ name }) => name),
    ["b", "category"],
  );
  assert.deepEqual(
    sorted.personalAttributes.map((a) => [a.name, a.commitment]),
    [["age-band", commitment]],
  );
  assert.equal(JSON.stringify(sorted.context), '{"age-band":3,"b":true,"category":"x"}');
});

test("an integer that JSON would round is not shown to the engine", () => {
  const of = (value: bigint) =>
    sortAttributes(declared, [
      { name: "age-band", value: createAttributeValue(value), commitment: new Uint8Array(32) },
    ]).context;
  assert.deepEqual(of(2n ** 53n - 1n), { "age-band": 2 ** 53 - 1 });
  assert.equal(of(2n ** 53n), undefined);
  assert.equal(of(-(2n ** 53n)), undefined);
});

const misuses: readonly (readonly [name: string, given: Parameters<typeof sortAttributes>[1]])[] = [
  ["not declared", [{ name: "other", value: createAttributeValue(true) }]],
  ["personal and without commitment", [{ name: "age-band", value: createAttributeValue(3n) }]],
  ["public and without value", [{ name: "b" }]],
  [
    "given twice",
    [
      { name: "b", value: createAttributeValue(true) },
      { name: "b", value: createAttributeValue(false) },
    ],
  ],
];
for (const [name, given] of misuses) {
  test(`an attribute that is ${name} is misuse`, () => {
    assert.throws(() => sortAttributes(declared, given), TypeError);
  });
}
