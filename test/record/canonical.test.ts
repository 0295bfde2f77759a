import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { DescMessage, Message, MessageShape } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  DoubleValueSchema,
  FieldOptionsSchema,
  StructSchema,
  TimestampSchema,
} from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { compareBytes, compareText, concatBytes, utf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import type { ReasonCode } from "../../src/base/reasons.ts";
import { MetadataSchema, StatusFrameSchema } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import { HeaderSchema } from "../../src/gen/causeway/record/v1/header_pb.ts";
import {
  type Address,
  AddressSchema,
  CallSchema,
  CallStatementSchema,
  DecisionReasonSchema,
  DecisionSchema,
  IntegerValueSchema,
  ObligationsSchema,
  StatusSchema,
  TextSetValueSchema,
  TextValueSchema,
} from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { ReceiptMissingSchema, RecordSchema } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { EffectsSchema } from "../../src/gen/causeway/registry/v1/effects_pb.ts";
import {
  decodeCanonical,
  encodeCanonical,
  sortCanonical,
  sortTexts,
} from "../../src/record/canonical.ts";
import { encodedMember } from "../../src/record/canonical-field.ts";
import { corrupt, malformed, notCanonical } from "../support/corruptions.ts";
import {
  anyRecord,
  effects,
  header,
  metadata,
  recordsByCase,
  statusFrame,
} from "../support/records.ts";
import { callStatement } from "../support/parts.ts";
import { allMessages, parseWire } from "../support/wire.ts";

const maxBytes = 1 << 20;
const decode = <Desc extends DescMessage>(schema: Desc, bytes: Uint8Array): MessageShape<Desc> =>
  decodeCanonical(schema, bytes, { maxBytes });

function refuses(code: ReasonCode, schema: DescMessage, bytes: Uint8Array, where?: string): void {
  try {
    decode(schema, bytes);
  } catch (error) {
    assert.ok(error instanceof CausewayError, String(error));
    assert.equal(error.code, code, `${where ?? ""} ${error.message}`);
    return;
  }
  assert.fail(`accepted ${where ?? ""}`);
}

const kinds: Readonly<Record<string, { schema: DescMessage; messages: fc.Arbitrary<Message> }>> = {
  ...Object.fromEntries(
    Object.entries(recordsByCase).map(([name, messages]) => [
      name,
      { schema: RecordSchema, messages },
    ]),
  ),
  header: { schema: HeaderSchema, messages: header },
  "call statement": { schema: CallStatementSchema, messages: callStatement },
  metadata: { schema: MetadataSchema, messages: metadata },
  "status frame": { schema: StatusFrameSchema, messages: statusFrame },
  effects: { schema: EffectsSchema, messages: effects },
};

describe("decoding gives back what was encoded, and protobuf-es writes and reads the same", () => {
  for (const [name, { schema, messages }] of Object.entries(kinds)) {
    test(name, () => {
      fc.assert(
        fc.property(messages, (message) => {
          const bytes = encodeCanonical(schema, message);
          assert.deepEqual(bytes, toBinary(schema, message));
          const decoded = decode(schema, bytes);
          assert.deepEqual(decoded, fromBinary(schema, bytes));
          assert.deepEqual(encodeCanonical(schema, decoded), bytes);
        }),
      );
    });
  }
});

test("bytes of a larger buffer are read as they are, whatever lies around them", () => {
  fc.assert(
    fc.property(anyRecord, fc.uint8Array({ maxLength: 9 }), (record, around) => {
      const bytes = encodeCanonical(RecordSchema, record);
      const buffer = Buffer.from(concatBytes(around, bytes, around));
      const view = buffer.subarray(around.length, around.length + bytes.length);
      assert.deepEqual(decode(RecordSchema, view), decode(RecordSchema, bytes));
    }),
  );
});

const samples = Object.values(kinds).flatMap(({ schema, messages }) =>
  fc
    .sample(messages, { seed: 20260722, numRuns: 5 })
    .map((message) => ({ schema, bytes: encodeCanonical(schema, message) })),
);

describe("NOT_CANONICAL, at every depth and wherever it can be:", () => {
  for (const [name, corruption] of Object.entries(notCanonical)) {
    test(name, () => {
      let places = 0;
      for (const { schema, bytes } of samples) {
        const root = parseWire(schema, bytes);
        for (const { bytes: changed, message } of corrupt(root, allMessages(root), corruption)) {
          refuses("NOT_CANONICAL", schema, changed, message.desc.typeName);
          places++;
        }
      }
      assert.ok(places > 0, "applies nowhere");
    });
  }
});

describe("MALFORMED, at every depth and wherever it can be:", () => {
  for (const [name, corruption] of Object.entries(malformed)) {
    test(name, () => {
      let places = 0;
      for (const { schema, bytes } of samples) {
        const root = parseWire(schema, bytes);
        for (const { bytes: changed, message } of corrupt(root, allMessages(root), corruption)) {
          const code = message.embedded ? "NOT_CANONICAL" : "MALFORMED";
          refuses(code, schema, changed, message.desc.typeName);
          places++;
        }
      }
      assert.ok(places > 0, "applies nowhere");
    });
  }
});

test("a member is found in the encoding as it was written", () => {
  fc.assert(
    fc.property(callStatement, fc.boolean(), (statement, present) => {
      const message = present ? statement : { ...statement, service: "", case: new Uint8Array(0) };
      const bytes = encodeCanonical(CallStatementSchema, message);
      const { service, grant, case: caseField } = CallStatementSchema.field;
      const text = utf8(message.service);
      const address = encodeCanonical(AddressSchema, message.grant as Address);
      assert.deepEqual(encodedMember(bytes, [service.number]), text.length > 0 ? text : undefined);
      assert.deepEqual(encodedMember(bytes, [grant.number]), address);
      const found = encodedMember(bytes, [caseField.number]);
      assert.deepEqual(found ?? new Uint8Array(0), message.case);
      const outer = encodeCanonical(
        CallSchema,
        create(CallSchema, { token: "t", statement: bytes, index: 3 }),
      );
      const inside = encodedMember(outer, [CallSchema.field.statement.number, grant.number]);
      assert.deepEqual(inside, address);
    }),
  );
});

test("every proper beginning of an encoding is refused or is the encoding of another message", () => {
  for (const { schema, bytes } of samples) {
    for (let length = 0; length < bytes.length; length++)
      assertStrict(schema, bytes.subarray(0, length));
  }
});

test("changed bytes are refused with a reason or are the one encoding of another message", () => {
  const change = fc.record({
    at: fc.nat(),
    removed: fc.nat({ max: 3 }),
    added: fc.uint8Array({ maxLength: 3 }),
  });
  const changes = fc.array(change, { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(fc.constantFrom(...samples), changes, ({ schema, bytes }, list) => {
      let changed = bytes;
      for (const { at, removed, added } of list) {
        const place = at % (changed.length + 1);
        changed = concatBytes(changed.subarray(0, place), added, changed.subarray(place + removed));
      }
      assertStrict(schema, changed);
    }),
    { numRuns: 5000 },
  );
});

test("arbitrary bytes are refused with a reason or are the one encoding of a message", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.values(kinds)),
      fc.uint8Array({ maxLength: 40 }),
      (kind, bytes) => {
        assertStrict(kind.schema, bytes);
      },
    ),
    { numRuns: 2000 },
  );
});

function assertStrict(schema: DescMessage, bytes: Uint8Array): void {
  let message: Message;
  try {
    message = decode(schema, bytes);
  } catch (error) {
    assert.ok(error instanceof CausewayError, String(error));
    assert.ok(error.code === "MALFORMED" || error.code === "NOT_CANONICAL", error.code);
    return;
  }
  assert.deepEqual(encodeCanonical(schema, message), bytes);
  assert.deepEqual(toBinary(schema, fromBinary(schema, bytes)), bytes);
}

test("TOO_LARGE is decided before anything is read", () => {
  const bytes = encodeCanonical(TextValueSchema, create(TextValueSchema, { text: "abc" }));
  assert.equal(decodeCanonical(TextValueSchema, bytes, { maxBytes: bytes.length }).text, "abc");
  const tooMany = { maxBytes: bytes.length - 1 };
  const isTooLarge = { code: "TOO_LARGE" };
  assert.throws(() => decodeCanonical(TextValueSchema, bytes, tooMany), isTooLarge);
  assert.throws(() => decodeCanonical(TextValueSchema, bytes.fill(0xff), tooMany), isTooLarge);
});

test("records inside records are refused beyond 16 messages deep, by writer and reader", () => {
  const [inmost] = fc.sample(recordsByCase.openingsErased, { seed: 1, numRuns: 1 });
  let record = encodeCanonical(
    RecordSchema,
    inmost as Message as MessageShape<typeof RecordSchema>,
  );
  let depth = 2;
  const wrap = (inner: Uint8Array): Uint8Array =>
    encodeCanonical(
      RecordSchema,
      create(RecordSchema, { body: { case: "receiptMissing", value: { record: inner } } }),
    );
  for (; depth + 2 <= 16; depth += 2) record = wrap(record);
  assert.ok(decode(RecordSchema, record));
  assert.throws(() => wrap(record), RangeError);
  const wire = parseWire(ReceiptMissingSchema, encodeWithout(record));
  assert.equal(wire.fields.length, 1);
  refuses("NOT_CANONICAL", RecordSchema, asReceiptMissing(record));
  let deep = record;
  for (let i = 0; i < 2000; i++) deep = asReceiptMissing(deep);
  refuses("NOT_CANONICAL", RecordSchema, deep);
});

// The same message written by protobuf-es, which knows no rules.
function encodeWithout(record: Uint8Array): Uint8Array {
  return toBinary(ReceiptMissingSchema, create(ReceiptMissingSchema, { record }));
}

function asReceiptMissing(record: Uint8Array): Uint8Array {
  const value = { record };
  return toBinary(RecordSchema, create(RecordSchema, { body: { case: "receiptMissing", value } }));
}

describe("a message without a canonical encoding is misuse:", () => {
  const grant = { index: 1n };
  const statement = { xid: new Uint8Array(16), grant };
  const rows: Readonly<Record<string, () => Uint8Array>> = {
    "a fixed-length value of another length": () =>
      encodeCanonical(
        CallStatementSchema,
        create(CallStatementSchema, { ...statement, xid: new Uint8Array(15) }),
      ),
    "a fixed-length value that is absent": () =>
      encodeCanonical(CallStatementSchema, create(CallStatementSchema, { grant })),
    "a required message that is absent": () =>
      encodeCanonical(CallStatementSchema, create(CallStatementSchema, { xid: statement.xid })),
    "a character outside 0x21 to 0x7E": () =>
      encodeCanonical(
        CallStatementSchema,
        create(CallStatementSchema, { ...statement, purpose: "a b" }),
      ),
    "an unsorted list": () =>
      encodeCanonical(TextSetValueSchema, create(TextSetValueSchema, { texts: ["b", "a"] })),
    "a list with an element twice": () =>
      encodeCanonical(TextSetValueSchema, create(TextSetValueSchema, { texts: ["a", "a"] })),
    "a lone surrogate": () =>
      encodeCanonical(TextValueSchema, create(TextValueSchema, { text: "a\ud800" })),
    "an integer with a leading zero": () =>
      encodeCanonical(IntegerValueSchema, create(IntegerValueSchema, { decimal: "01" })),
    "an enum that is not set": () => encodeCanonical(ObligationsSchema, create(ObligationsSchema)),
    "an unknown number of an enum": () =>
      encodeCanonical(ObligationsSchema, create(ObligationsSchema, { durability: 9 as never })),
    "a 32-bit number that is negative": () =>
      encodeCanonical(
        StatusSchema,
        create(StatusSchema, { source: 1, status: new Uint8Array(32), grpcCode: -1 }),
      ),
    "a 64-bit number above its range": () =>
      encodeCanonical(
        CallStatementSchema,
        create(CallStatementSchema, { ...statement, grant: { index: 2n ** 64n } }),
      ),
    "a oneof without a member": () => encodeCanonical(RecordSchema, create(RecordSchema)),
    "unknown fields": () =>
      encodeCanonical(TextValueSchema, fromBinary(TextValueSchema, Uint8Array.of(0x78, 1))),
    "encoded bytes that are not canonical": () =>
      encodeCanonical(
        ReceiptMissingSchema,
        create(ReceiptMissingSchema, { record: Uint8Array.of(1) }),
      ),
    "encoded bytes that are absent": () =>
      encodeCanonical(ReceiptMissingSchema, create(ReceiptMissingSchema)),
  };
  for (const [name, encode] of Object.entries(rows)) {
    test(name, () => {
      assert.throws(encode, RangeError);
    });
  }
});

test("a property of the wrong type and a message of another type are a TypeError", () => {
  const wrong = create(TextValueSchema, { text: 5 as never });
  assert.throws(() => encodeCanonical(TextValueSchema, wrong), TypeError);
  const other = create(TextSetValueSchema) as never;
  assert.throws(() => encodeCanonical(TextValueSchema, other), TypeError);
  const unknownCase = create(RecordSchema);
  unknownCase.body = { case: "other", value: {} } as never;
  assert.throws(() => encodeCanonical(RecordSchema, unknownCase), TypeError);
});

test("a failed encoding leaves nothing behind in the next one", () => {
  const good = create(TextSetValueSchema, { texts: ["a", "b"] });
  const before = encodeCanonical(TextSetValueSchema, good);
  const bad = create(TextSetValueSchema, { texts: ["c", "a"] });
  assert.throws(() => encodeCanonical(TextSetValueSchema, bad), RangeError);
  assert.deepEqual(encodeCanonical(TextSetValueSchema, good), before);
});

test("an encoding larger than the writer's buffer is written whole", () => {
  const texts = sortTexts(Array.from({ length: 3000 }, (_, i) => `${i}-`.repeat(40)));
  const message = create(TextSetValueSchema, { texts });
  const bytes = encodeCanonical(TextSetValueSchema, message);
  assert.deepEqual(bytes, toBinary(TextSetValueSchema, message));
  assert.deepEqual(decode(TextSetValueSchema, bytes), message);
});

test("a type with a map, a signed or floating number or explicit presence cannot be canonical", () => {
  for (const schema of [StructSchema, TimestampSchema, DoubleValueSchema, FieldOptionsSchema]) {
    for (let i = 0; i < 2; i++) {
      assert.throws(
        () => decode(schema as DescMessage, new Uint8Array(0)),
        TypeError,
        schema.typeName,
      );
    }
  }
});

test("sorting makes a list that encodes, of the same elements", () => {
  const reasons = fc.array(
    fc.record({ code: fc.constantFrom("A", "B", "AA"), policyId: fc.constantFrom("", "p", "q") }),
  );
  fc.assert(
    fc.property(reasons, (list) => {
      const messages = list.map((init) => create(DecisionReasonSchema, init));
      const sorted = sortCanonical(DecisionReasonSchema, messages);
      const encoded = sorted.map((message) => encodeCanonical(DecisionReasonSchema, message));
      for (let i = 1; i < encoded.length; i++) {
        assert.ok(compareBytes(encoded[i - 1] as Uint8Array, encoded[i] as Uint8Array) < 0);
      }
      const name = ({ code, policyId }: { code: string; policyId: string }): string =>
        `${code} ${policyId}`;
      assert.deepEqual(new Set(sorted.map(name)), new Set(messages.map(name)));
      assert.equal(DecisionSchema.field.reasons.message, DecisionReasonSchema);
    }),
  );
});

test("texts sort by the bytes of UTF-8, not by UTF-16", () => {
  assert.deepEqual(sortTexts(["\u{1f600}", "\uff5e", "b", "a", "b"]), [
    "a",
    "b",
    "\uff5e",
    "\u{1f600}",
  ]);
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "binary" })), (texts) => {
      const sorted = sortTexts(texts);
      for (let i = 1; i < sorted.length; i++) {
        assert.ok(compareText(sorted[i - 1] as string, sorted[i] as string) < 0);
      }
    }),
  );
});
