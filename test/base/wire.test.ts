import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  create,
  createFileRegistry,
  type DescField,
  type DescFile,
  type DescMessage,
  fromBinary,
  type Message,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  type FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { concatBytes } from "../../src/base/bytes.ts";
import { createMessage } from "../../src/base/create-message.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { wirePlanOf } from "../../src/base/wire-plan.ts";
import { decodeMessage } from "../../src/base/wire-reader.ts";
import { encodeMessage } from "../../src/base/wire-writer.ts";
import { file_causeway_admin_v1_admin } from "../../src/gen/causeway/admin/v1/admin_pb.ts";
import { file_causeway_demo_v1_division } from "../../src/gen/causeway/demo/v1/division_pb.ts";
import { file_causeway_exchange_v1_frames } from "../../src/gen/causeway/exchange/v1/frames_pb.ts";
import {
  file_causeway_exchange_v1_link,
  type Frame,
  FrameSchema,
  PartFrameSchema,
} from "../../src/gen/causeway/exchange/v1/link_pb.ts";
import { file_causeway_ledger_v1_export } from "../../src/gen/causeway/ledger/v1/export_pb.ts";
import { file_causeway_ledger_v1_ledger } from "../../src/gen/causeway/ledger/v1/ledger_pb.ts";
import { file_causeway_record_v1_header } from "../../src/gen/causeway/record/v1/header_pb.ts";
import { file_causeway_record_v1_parts } from "../../src/gen/causeway/record/v1/parts_pb.ts";
import { file_causeway_record_v1_record } from "../../src/gen/causeway/record/v1/record_pb.ts";
import { file_causeway_registry_v1_effects } from "../../src/gen/causeway/registry/v1/effects_pb.ts";
import { file_google_rpc_error_details } from "../../src/gen/google/rpc/error_details_pb.ts";
import { file_google_rpc_status } from "../../src/gen/google/rpc/status_pb.ts";
import { file_grpc_health_v1_health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { file_grpc_reflection_v1_reflection } from "../../src/gen/grpc/reflection/v1/reflection_pb.ts";
import { mutate, mutation } from "../fuzz/mutate.ts";
import { messageOf } from "../support/messages.ts";
import { tagOf, varint } from "../support/wire.ts";

/** Kinds of field that the contracts have not, or not yet: read and written all the same. */
function otherKinds(): DescFile {
  const field = (
    number: number,
    type: Type,
    more: MessageInitShape<typeof FieldDescriptorProtoSchema> = {},
  ): MessageInitShape<typeof FieldDescriptorProtoSchema> => ({
    name: `field_${number}`,
    number,
    type,
    label: Label.OPTIONAL,
    ...more,
  });
  const repeated = { label: Label.REPEATED } as const;
  const message = { typeName: ".test.All" } as const;
  const file = {
    name: "test/all.proto",
    package: "test",
    syntax: "proto3",
    enumType: [
      {
        name: "Side",
        value: [
          { name: "NO_SIDE", number: 0 },
          { name: "LEFT", number: -1 },
        ],
      },
    ],
    messageType: [
      {
        name: "All",
        oneofDecl: [{ name: "choice" }, { name: "_field_2" }, { name: "_field_3" }],
        field: [
          // Not in the order of their numbers, and the oneof not in one piece.
          field(90, Type.STRING),
          field(1, Type.INT32),
          field(2, Type.STRING, { proto3Optional: true, oneofIndex: 1 }),
          field(3, Type.UINT64, { proto3Optional: true, oneofIndex: 2 }),
          field(4, Type.BOOL, { oneofIndex: 0 }),
          field(5, Type.UINT32),
          field(6, Type.MESSAGE, { oneofIndex: 0, ...message }),
          field(7, Type.BYTES, { oneofIndex: 0 }),
          field(8, Type.ENUM, { typeName: ".test.Side", oneofIndex: 0 }),
          field(9, Type.INT32, repeated),
          field(10, Type.UINT64, { ...repeated, options: { packed: false } }),
          field(11, Type.BOOL, repeated),
          field(12, Type.ENUM, { ...repeated, typeName: ".test.Side" }),
          field(13, Type.MESSAGE, message),
          field(14, Type.MESSAGE, { ...repeated, ...message }),
          field(15, Type.STRING, repeated),
          field(16, Type.BYTES, repeated),
        ],
      },
      {
        name: "Left",
        field: [
          field(1, Type.DOUBLE),
          field(2, Type.SINT64),
          field(3, Type.FIXED32, repeated),
          field(4, Type.MESSAGE, message),
        ],
      },
      { name: "Far", field: [field(70_000, Type.STRING)] },
      { name: "Outer", field: [field(1, Type.MESSAGE, { typeName: ".test.Left" })] },
    ],
  };
  const set = create(FileDescriptorSetSchema, { file: [file] });
  const registered = createFileRegistry(set).getFile(file.name);
  assert.ok(registered !== undefined);
  return registered;
}

const synthetic = otherKinds();
const [All, Left, Far, Outer] = synthetic.messages as [
  DescMessage,
  DescMessage,
  DescMessage,
  DescMessage,
];

const files: readonly DescFile[] = [
  file_causeway_admin_v1_admin,
  file_causeway_demo_v1_division,
  file_causeway_exchange_v1_frames,
  file_causeway_exchange_v1_link,
  file_causeway_ledger_v1_export,
  file_causeway_ledger_v1_ledger,
  file_causeway_record_v1_header,
  file_causeway_record_v1_parts,
  file_causeway_record_v1_record,
  file_causeway_registry_v1_effects,
  file_google_rpc_error_details,
  file_google_rpc_status,
  file_grpc_health_v1_health,
  file_grpc_reflection_v1_reflection,
  synthetic,
];

function typesOf(messages: readonly DescMessage[]): readonly DescMessage[] {
  return messages.flatMap((desc) => [desc, ...typesOf(desc.nestedMessages)]);
}

const types: readonly DescMessage[] = files.flatMap(({ messages }) => typesOf(messages));

/** What protobuf-es reads, or that it refuses. */
function expected(desc: DescMessage, bytes: Uint8Array): Message | "refused" {
  try {
    return fromBinary(desc, bytes);
  } catch {
    // It refuses with errors of many kinds.
    return "refused";
  }
}

/** What is read of bytes that others stand around, or that they are refused. */
function found(desc: DescMessage, bytes: Uint8Array): Message | "refused" {
  const around = new Uint8Array(9).fill(1);
  const inside = concatBytes(around, bytes, around).subarray(9, 9 + bytes.length);
  try {
    return decodeMessage(desc, inside);
  } catch (error) {
    assert.ok(error instanceof CausewayError, String(error));
    assert.equal(error.code, "MALFORMED");
    return "refused";
  }
}

function assertReadsAlike(desc: DescMessage, bytes: Uint8Array): void {
  assert.deepEqual(found(desc, bytes), expected(desc, bytes));
}

/** Bytes in the form of fields: of numbers that `desc` has or not, under any wire type. */
function wireOf(desc: DescMessage, depth = 4): fc.Arbitrary<Uint8Array> {
  const number = fc.oneof(
    fc.constantFrom(1, 2, ...desc.fields.map((field) => field.number)),
    fc.nat(40),
  );
  const anyOf = (wireType: number, value: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> =>
    fc.tuple(number, value).map(([no, bytes]) => concatBytes(tagOf(no, wireType), bytes));
  const long = fc.uint8Array({ max: 127, minLength: 1, maxLength: 12 }).map((bytes) => {
    const last = bytes.length - 1;
    return bytes.map((byte, at) => (at < last ? byte | 128 : byte));
  });
  const delimited = (content: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> =>
    content.map((bytes) => concatBytes(varint(bytes.length), bytes));
  const fixed = (length: number): fc.Arbitrary<Uint8Array> =>
    fc.uint8Array({ minLength: length, maxLength: length });
  const choices = [
    anyOf(0, long),
    anyOf(1, fixed(8)),
    anyOf(2, delimited(fc.uint8Array({ maxLength: 12 }))),
    anyOf(5, fixed(4)),
    fc.tuple(number, number).map(([start, end]) => concatBytes(tagOf(start, 3), tagOf(end, 4))),
    fc
      .tuple(number, number)
      .map(([group, inside]) =>
        concatBytes(tagOf(group, 3), tagOf(inside, 0), varint(1), tagOf(group, 4)),
      ),
  ];
  if (depth > 0) {
    for (const field of desc.fields) {
      const inner = field.message;
      if (inner === undefined || !isPlanned(field)) continue;
      const content = delimited(wireOf(inner, depth - 2));
      choices.push(content.map((bytes) => concatBytes(tagOf(field.number, 2), bytes)));
    }
  }
  return fc.array(fc.oneof(...choices), { maxLength: 5 }).map((parts) => concatBytes(...parts));
}

function isPlanned({ message }: DescField): boolean {
  return message !== undefined && wirePlanOf(message) !== undefined;
}

const numRuns = 40;

describe("a message is written and read as protobuf-es does", () => {
  for (const desc of types) {
    test(desc.typeName, () => {
      fc.assert(
        fc.property(messageOf(desc), (message) => {
          const bytes = encodeMessage(desc, message);
          assert.deepEqual(bytes, toBinary(desc, message));
          assertReadsAlike(desc, bytes);
          assert.deepEqual(encodeMessage(desc, decodeMessage(desc, bytes)), bytes);
        }),
        { numRuns },
      );
    });
  }
});

describe("bytes that may be no message are taken, read and refused as protobuf-es does", () => {
  for (const desc of types) {
    test(desc.typeName, () => {
      const valid = messageOf(desc).map((message) => toBinary(desc, message));
      const changed = fc
        .tuple(valid, valid, fc.array(mutation, { minLength: 1, maxLength: 3 }))
        .map(([bytes, other, changes]) =>
          changes.reduce<Uint8Array>((before, change) => mutate(before, other, change), bytes),
        )
        .filter((bytes) => bytes.length < 4096);
      const twice = fc.tuple(valid, valid).map((parts) => concatBytes(...parts));
      const any = fc.oneof(changed, twice, wireOf(desc), fc.uint8Array({ maxLength: 40 }));
      fc.assert(
        fc.property(any, (bytes) => assertReadsAlike(desc, bytes)),
        { numRuns: 3 * numRuns },
      );
    });
  }
});

describe("a new message is as protobuf-es creates it", () => {
  for (const desc of [...types, FieldOptionsSchema]) {
    test(desc.typeName, () => {
      assert.deepEqual(createMessage(desc), create(desc));
      assert.deepEqual(Object.keys(createMessage(desc)), Object.keys(create(desc)));
      fc.assert(
        fc.property(messageOf(desc), fc.boolean(), (message, inside) => {
          const init = inside ? { ...message, $typeName: undefined, another: 1 } : bare(message);
          const given = init as MessageInitShape<DescMessage>;
          assert.deepEqual(createMessage(desc, given), create(desc, given));
        }),
        { numRuns },
      );
    });
  }
});

/** The properties of a message and of all inside of it, as an initializer has them. */
function bare(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(bare);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  const kept = Object.entries(value).filter(([name]) => !name.startsWith("$"));
  return Object.fromEntries(kept.map(([name, inner]) => [name, bare(inner)]));
}

test("a message that is given to be created is that message", () => {
  fc.assert(
    fc.property(messageOf(FrameSchema), (message) => {
      assert.equal(createMessage(FrameSchema, message as Frame), message);
    }),
  );
});

describe("the own codec takes", () => {
  test("every message of the exchange, the ledger and the records", () => {
    const hot = [
      file_causeway_exchange_v1_frames,
      file_causeway_exchange_v1_link,
      file_causeway_ledger_v1_ledger,
      file_causeway_record_v1_header,
      file_causeway_record_v1_parts,
      file_causeway_record_v1_record,
    ];
    const left = hot.flatMap(({ messages }) => typesOf(messages)).filter((it) => !wirePlanOf(it));
    assert.deepEqual(left, []);
    assert.ok(wirePlanOf(All) !== undefined);
  });

  test("no type that holds, at any depth, what it cannot read", () => {
    for (const desc of [Left, Far, Outer, FieldOptionsSchema]) {
      assert.equal(wirePlanOf(desc), undefined, desc.typeName);
    }
  });
});

describe("what is read", () => {
  test("has bytes that are views, also of a buffer that is larger", () => {
    const encoded = encodeMessage(
      PartFrameSchema,
      createMessage(PartFrameSchema, { bytes: Uint8Array.of(1, 2) }),
    );
    const around = Buffer.from(concatBytes(Uint8Array.of(9), encoded, Uint8Array.of(9)));
    const { bytes } = decodeMessage(PartFrameSchema, around.subarray(1, -1));
    assert.deepEqual(bytes, Uint8Array.of(1, 2));
    assert.equal(bytes.buffer, around.buffer);
  });

  test("is at most 100 messages deep", () => {
    const nested = (depth: number): Uint8Array => {
      let bytes: Uint8Array = new Uint8Array(0);
      for (let i = 1; i < depth; i++)
        bytes = concatBytes(tagOf(13, 2), varint(bytes.length), bytes);
      return bytes;
    };
    assert.notEqual(found(All, nested(100)), "refused");
    assert.equal(found(All, nested(101)), "refused");
    assertReadsAlike(All, nested(100));
    assertReadsAlike(All, nested(101));
  });

  test("has unknown groups that count as messages do", () => {
    const group = (depth: number): Uint8Array =>
      concatBytes(
        ...Array.from({ length: depth }, () => tagOf(50, 3)),
        ...Array.from({ length: depth }, () => tagOf(50, 4)),
      );
    for (const depth of [1, 98, 99, 100, 101]) assertReadsAlike(All, group(depth));
    assert.notEqual(found(All, group(99)), "refused");
    assert.equal(found(All, group(100)), "refused");
  });
});

describe("at the edges bytes are read as protobuf-es does", () => {
  const stringTag = tagOf(15, 2);
  const edges: Readonly<Record<string, readonly [boolean, Uint8Array]>> = {
    "a tag of 32 bits": [true, Uint8Array.of(0xf8, 0xff, 0xff, 0xff, 0x0f, 1)],
    "a tag of 33 bits": [false, Uint8Array.of(0xf8, 0xff, 0xff, 0xff, 0x10, 1)],
    "a tag of 6 bytes": [false, Uint8Array.of(0x88, 0x80, 0x80, 0x80, 0x80, 0, 1)],
    "field 0": [false, Uint8Array.of(0, 1)],
    "wire type 6": [false, Uint8Array.of(0x0e, 1)],
    "no tag after a tag's first byte": [false, Uint8Array.of(0x88)],
    "an unknown number of eleven bytes": [true, concatBytes(tagOf(50, 0), padded(11))],
    "a number of eleven bytes": [false, concatBytes(tagOf(1, 0), padded(11))],
    "a number of ten bytes": [true, concatBytes(tagOf(1, 0), padded(10))],
    "a byte order mark in a text": [
      true,
      concatBytes(stringTag, Uint8Array.of(4, 0xef, 0xbb, 0xbf, 65)),
    ],
    "a text that is no UTF-8": [false, concatBytes(stringTag, Uint8Array.of(1, 0xff))],
    "half a surrogate in a text": [
      false,
      concatBytes(stringTag, Uint8Array.of(3, 0xed, 0xa0, 0x80)),
    ],
    "a length of one byte too many": [false, concatBytes(stringTag, Uint8Array.of(2, 65))],
    "unknown bytes of one too many": [false, concatBytes(tagOf(50, 2), Uint8Array.of(2, 65))],
    "32 unknown bits without the last byte": [false, concatBytes(tagOf(50, 5), new Uint8Array(3))],
    "64 unknown bits without the last byte": [false, concatBytes(tagOf(50, 1), new Uint8Array(7))],
    "the end of a group that has not begun": [false, tagOf(50, 4)],
    "a message longer than the one around it": [
      true,
      concatBytes(
        tagOf(13, 2),
        Uint8Array.of(2),
        tagOf(13, 2),
        Uint8Array.of(2),
        tagOf(1, 0),
        varint(7),
      ),
    ],
  };
  for (const [what, [taken, bytes]] of Object.entries(edges)) {
    test(`${what}: ${taken ? "taken" : "refused"}`, () => {
      assertReadsAlike(All, bytes);
      assert.equal(found(All, bytes) !== "refused", taken);
    });
  }
});

/** The number 1 in so many bytes. */
function padded(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at === 0 ? 0x81 : at < length - 1 ? 0x80 : 0));
}

describe("what cannot be written is misuse", () => {
  const wrong: Readonly<Record<string, readonly [Record<string, unknown>, ErrorConstructor]>> = {
    "a text that is none": [{ field90: 1 }, TypeError],
    "bytes that are none": [{ choice: { case: "field7", value: "x" } }, TypeError],
    "a boolean that is none": [{ choice: { case: "field4", value: 1 } }, TypeError],
    "a 64-bit number that is no bigint": [{ field3: 1 }, TypeError],
    "a 64-bit number below 0": [{ field3: -1n }, RangeError],
    "a 64-bit number of 65 bits": [{ field3: 2n ** 64n }, RangeError],
    "an unsigned number below 0": [{ field5: -1 }, RangeError],
    "an unsigned number of 33 bits": [{ field5: 2 ** 32 }, RangeError],
    "a signed number of 33 bits": [{ field1: 2 ** 31 }, RangeError],
    "half a number": [{ field5: 0.5 }, RangeError],
    "a message of another type": [{ field13: create(FrameSchema) }, TypeError],
  };
  for (const [what, [properties, error]] of Object.entries(wrong)) {
    test(what, () => {
      const message = Object.assign(create(All), properties);
      assert.throws(() => encodeMessage(All, message), error);
      assert.deepEqual(encodeMessage(All, create(All)), new Uint8Array(0));
    });
  }
});

test("a message larger than the buffer that is kept is written whole, and so is the next", () => {
  const large = { bytes: new Uint8Array(300 * 1024).fill(7) };
  const message = createMessage(FrameSchema, {
    exchange: 5n,
    body: { case: "part", value: large },
  });
  const small = createMessage(FrameSchema, { exchange: 6n });
  assert.deepEqual(encodeMessage(FrameSchema, message), toBinary(FrameSchema, message));
  assert.deepEqual(encodeMessage(FrameSchema, small), toBinary(FrameSchema, small));
});
