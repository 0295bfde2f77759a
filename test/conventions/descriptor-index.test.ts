import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { DescriptorIndex } from "../../gateway/services/descriptor-index.ts";

const optional = FieldDescriptorProto_Label.OPTIONAL;
const file = create(FileDescriptorProtoSchema, {
  name: "old.proto",
  package: "old",
  syntax: "proto2",
  messageType: [
    {
      name: "Base",
      extensionRange: [{ start: 100, end: 200 }],
      field: [{ name: "id", number: 1, label: optional, type: FieldDescriptorProto_Type.STRING }],
      nestedType: [
        { name: "Inner", enumType: [{ name: "Kind", value: [{ name: "NONE", number: 0 }] }] },
      ],
      oneofDecl: [{ name: "either" }],
    },
  ],
  extension: [120, 101].map((number) => ({
    name: `ext_${number}`,
    extendee: ".old.Base",
    number,
    label: optional,
    type: FieldDescriptorProto_Type.STRING,
  })),
});
const encoded = toBinary(FileDescriptorProtoSchema, file);

/** Field 1000 with a varint, which no reader of today knows. */
const unknownField = Buffer.from([0xc0, 0x3e, 0x05]);

function setOf(...files: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    files.flatMap((bytes) => [
      Buffer.from([0x0a, (bytes.length % 128) | 128, bytes.length >> 7]),
      bytes,
    ]),
  );
}

const index = new DescriptorIndex(
  toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [file] })),
);

for (const symbol of [
  "Base",
  "Base.id",
  "Base.either",
  "Base.Inner",
  "Base.Inner.Kind",
  "Base.Inner.NONE",
  "ext_120",
]) {
  test(`the file of old.${symbol} is found`, () => {
    assert.equal(index.fileOfSymbol(`old.${symbol}`), "old.proto");
  });
}

test("what is not defined is not found", () => {
  assert.equal(index.fileOfSymbol("old.Base.Inner.Kind.NONE"), undefined);
  assert.equal(index.fileOfSymbol("Base"), undefined);
});

test("extensions are found by message and number", () => {
  assert.deepEqual(index.extensionNumbers("old.Base"), [101, 120]);
  assert.equal(index.fileOfExtension("old.Base", 101), "old.proto");
  assert.equal(index.fileOfExtension("old.Base", 102), undefined);
  assert.equal(index.extensionNumbers("old.Nobody"), undefined);
});

test("a file is given as it was published, with what no reader here knows", () => {
  const published = Buffer.concat([encoded, unknownField]);
  const [found] = new DescriptorIndex(setOf(published)).withImports("old.proto", new Set());
  assert.deepEqual(Buffer.from(found?.bytes ?? []), published);
});
