/** A descriptor set with every kind of field, and messages of it made at random, on the wire. */
import {
  create,
  createFileRegistry,
  type DescField,
  type DescMessage,
  toBinary,
} from "@bufbuild/protobuf";
import {
  file_google_protobuf_any,
  DescriptorProtoSchema,
  type FieldDescriptorProto,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FieldDescriptorProtoSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { concatBytes, utf8 } from "../../src/base/bytes.ts";

export const method = "/test.mask.Reader/Read";
export const oldMethod = "/test.mask.Reader/ReadOld";
export const anyMethod = "/test.mask.Reader/ReadAny";
/** Its request is a Node. */
export const requestMethod = "/test.mask.Reader/Write";

interface FieldOptions {
  readonly of?: string;
  readonly list?: boolean;
  readonly oneof?: number;
  readonly optional?: number;
  readonly required?: boolean;
}

function field(
  name: string,
  number: number,
  type: Type,
  more: FieldOptions = {},
): FieldDescriptorProto {
  const label =
    more.list === true ? Label.REPEATED : more.required === true ? Label.REQUIRED : Label.OPTIONAL;
  const oneofIndex = more.oneof ?? more.optional;
  return create(FieldDescriptorProtoSchema, {
    name,
    number,
    type,
    label,
    ...(more.of === undefined ? {} : { typeName: more.of }),
    ...(oneofIndex === undefined ? {} : { oneofIndex }),
    ...(more.optional === undefined ? {} : { proto3Optional: true }),
  });
}

function entry(name: string, key: Type, value: FieldDescriptorProto): object {
  return { name, field: [field("key", 1, key), value], options: { mapEntry: true } };
}

const any = ".google.protobuf.Any";
const leaf = ".test.mask.Leaf";
const node = ".test.mask.Node";

const proto3 = create(FileDescriptorProtoSchema, {
  name: "test/mask.proto",
  package: "test.mask",
  syntax: "proto3",
  dependency: ["google/protobuf/any.proto", "test/old.proto"],
  messageType: [
    {
      name: "Leaf",
      field: [
        field("name", 1, Type.STRING),
        field("count", 2, Type.INT32),
        field("numbers", 3, Type.UINT32, { list: true }),
        field("flag", 4, Type.BOOL),
        field("info", 5, Type.MESSAGE, { of: any }),
      ],
    },
    {
      name: "Node",
      field: [
        field("title", 1, Type.STRING),
        field("data", 2, Type.BYTES),
        field("leaf", 3, Type.MESSAGE, { of: leaf }),
        field("leaves", 4, Type.MESSAGE, { of: leaf, list: true }),
        field("by_key", 5, Type.MESSAGE, { of: `${node}.ByKeyEntry`, list: true }),
        field("labels", 6, Type.MESSAGE, { of: `${node}.LabelsEntry`, list: true }),
        field("signed", 7, Type.SINT64, { list: true }),
        field("child", 8, Type.MESSAGE, { of: node }),
        field("text", 9, Type.STRING, { oneof: 0 }),
        field("inner", 10, Type.MESSAGE, { of: leaf, oneof: 0 }),
        field("wide", 11, Type.FIXED64, { oneof: 0 }),
        field("detail", 12, Type.MESSAGE, { of: any }),
        field("details", 13, Type.MESSAGE, { of: any, list: true }),
        field("maybe", 14, Type.UINT64, { optional: 1 }),
        field("ratio", 15, Type.DOUBLE),
        field("small", 16, Type.FLOAT, { list: true }),
        field("extra", 17, Type.MESSAGE, { of: `${node}.ExtraEntry`, list: true }),
        field("names", 18, Type.STRING, { list: true }),
      ],
      oneofDecl: [{ name: "choice" }, { name: "_maybe" }],
      nestedType: [
        entry("ByKeyEntry", Type.STRING, field("value", 2, Type.MESSAGE, { of: leaf })),
        entry("LabelsEntry", Type.INT32, field("value", 2, Type.STRING)),
        entry("ExtraEntry", Type.STRING, field("value", 2, Type.MESSAGE, { of: any })),
      ],
    },
    {
      name: "Answer",
      field: [
        field("node", 1, Type.MESSAGE, { of: node }),
        field("nodes", 2, Type.MESSAGE, { of: node, list: true }),
        field("id", 3, Type.STRING),
        field("old", 4, Type.MESSAGE, { of: ".test.mask.Old" }),
      ],
    },
  ],
  service: [
    {
      name: "Reader",
      method: [
        { name: "Read", inputType: leaf, outputType: ".test.mask.Answer" },
        { name: "ReadOld", inputType: leaf, outputType: ".test.mask.Strict" },
        { name: "ReadAny", inputType: leaf, outputType: any },
        { name: "Write", inputType: node, outputType: leaf },
      ],
    },
  ],
});

const proto2 = create(FileDescriptorProtoSchema, {
  name: "test/old.proto",
  package: "test.mask",
  syntax: "proto2",
  enumType: [
    {
      name: "Kind",
      value: [
        { name: "ONE", number: 1 },
        { name: "TWO", number: 2 },
      ],
    },
  ],
  messageType: [
    {
      name: "Old",
      field: [
        field("kind", 1, Type.ENUM, { of: ".test.mask.Kind" }),
        field("kinds", 2, Type.ENUM, { of: ".test.mask.Kind", list: true }),
        field("part", 3, Type.GROUP, { of: ".test.mask.Old.Part" }),
        field("parts", 4, Type.GROUP, { of: ".test.mask.Old.Part", list: true }),
        field("note", 5, Type.STRING),
      ],
      extensionRange: [{ start: 100, end: 200 }],
      nestedType: [
        create(DescriptorProtoSchema, {
          name: "Part",
          field: [field("word", 1, Type.STRING), field("other", 2, Type.STRING)],
        }),
      ],
    },
    {
      name: "Strict",
      field: [field("must", 1, Type.STRING, { required: true }), field("may", 2, Type.STRING)],
    },
  ],
  extension: [{ ...field("grown", 100, Type.STRING), extendee: ".test.mask.Old" }],
});

const files = [file_google_protobuf_any.proto, proto2, proto3];
export const descriptors: Uint8Array = toBinary(
  FileDescriptorSetSchema,
  create(FileDescriptorSetSchema, { file: files }),
);
const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: files }));

export function typeOf(name: string): DescMessage {
  const type = registry.getMessage(`test.mask.${name}`);
  if (type === undefined) throw new TypeError(`no type ${name}`);
  return type;
}

/** A varint, with bytes at its end that add nothing. */
export function varint(value: number | bigint, padding = 0): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  } while (rest > 0n);
  for (let i = 0; i < padding; i++) bytes.push(128);
  bytes[bytes.length - 1] = (bytes.at(-1) as number) & 127;
  return Uint8Array.from(bytes);
}

export function tag(number: number, wire: number, padding = 0): Uint8Array {
  return varint(number * 8 + wire, padding);
}

export function sized(number: number, content: Uint8Array | string): Uint8Array {
  const bytes = typeof content === "string" ? utf8(content) : content;
  return concatBytes(tag(number, 2), varint(bytes.length), bytes);
}

export function group(number: number, content: Uint8Array): Uint8Array {
  return concatBytes(tag(number, 3), content, tag(number, 4));
}

/** Integers from a seed: mulberry32. */
function randomOf(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

/** A text that was put into a message, and the path of field names that it stands at; `?` is no field. */
export interface Planted {
  readonly text: string;
  readonly path: string;
}

export interface RandomMessage {
  readonly bytes: Uint8Array;
  readonly planted: readonly Planted[];
}

/**
 * A message of `type` with fields given twice, unknown fields, groups and padded numbers among them.
 * Unknown fields in the entry of a map, which protobuf-es does not read, only when asked for.
 */
export function randomMessage(
  type: DescMessage,
  seed: number,
  inEntries: boolean = false,
): RandomMessage {
  const below = randomOf(seed);
  const planted: Planted[] = [];
  const plant = (path: string): string => {
    const text = `<${planted.length}:${below(2 ** 30)}>`;
    planted.push({ text, path });
    return text;
  };
  const padding = (): number => (below(8) === 0 ? below(3) : 0);
  const lengthOf = (content: Uint8Array): Uint8Array => varint(content.length, padding());

  function numberOf(field: DescField): number {
    if (field.enum === undefined) return below(2 ** 20);
    return 1 + below(field.fieldKind === "list" ? 2 : 3);
  }

  function scalar(field: DescField, path: string): Uint8Array {
    switch (wireOf(field)) {
      case 0:
        // protobuf-es shows what a closed enum does not have in a list, and not elsewhere.
        return varint(numberOf(field), padding());
      case 1:
        return utf8(plant(path).padEnd(8).slice(0, 8));
      case 5:
        return Uint8Array.of(below(256), below(256), below(256), 64);
      default: {
        const bytes = utf8(plant(path));
        return concatBytes(lengthOf(bytes), bytes);
      }
    }
  }

  function unknown(path: string, depth: number): Uint8Array {
    const number = 300 + below(50);
    const bytes = utf8(plant(`${path}?`));
    switch (below(4)) {
      case 0:
        return concatBytes(tag(number, 0, padding()), varint(below(2 ** 30), padding()));
      case 1:
        return group(number, depth > 3 ? sized(1, bytes) : unknown(path, depth + 1));
      case 2:
        return concatBytes(tag(100, 2), lengthOf(bytes), bytes);
      default:
        return sized(number, bytes);
    }
  }

  function one(field: DescField, path: string, depth: number): Uint8Array {
    const { number } = field;
    if (field.fieldKind === "map") {
      const key =
        field.mapKey === 9 ? sized(1, `k${below(5)}`) : concatBytes(tag(1, 0), varint(below(5)));
      const value =
        field.message === undefined
          ? sized(2, plant(path))
          : sized(2, body(field.message, `${path}.`, depth + 1));
      const noise = inEntries && below(3) === 0 ? sized(7, plant(`${path}?`)) : new Uint8Array(0);
      return sized(number, concatBytes(key, noise, value));
    }
    if (field.message !== undefined) {
      const content = body(field.message, `${path}.`, depth + 1);
      const isGroup = "delimitedEncoding" in field && field.delimitedEncoding;
      if (isGroup) return group(number, content);
      return concatBytes(tag(number, 2, padding()), lengthOf(content), content);
    }
    const wire = wireOf(field);
    if (field.fieldKind === "list" && wire !== 2 && below(2) === 0) {
      const content = concatBytes(...Array.from({ length: below(4) }, () => scalar(field, path)));
      return concatBytes(tag(number, 2), lengthOf(content), content);
    }
    return concatBytes(tag(number, wire, padding()), scalar(field, path));
  }

  function body(message: DescMessage, path: string, depth: number): Uint8Array {
    const parts: Uint8Array[] = [];
    const count = below(depth > 3 ? 3 : 9);
    for (let i = 0; i < count; i++) {
      const field = message.fields[below(message.fields.length)] as DescField;
      if (depth > 4 && field.message !== undefined) continue;
      parts.push(below(8) === 0 ? unknown(path, depth) : one(field, `${path}${field.name}`, depth));
    }
    return concatBytes(...parts);
  }

  return { bytes: body(type, "", 0), planted };
}

function wireOf(field: DescField): number {
  if (field.enum !== undefined) return 0;
  switch (field.scalar) {
    case 1:
    case 6:
    case 16:
      return 1;
    case 2:
    case 7:
    case 15:
      return 5;
    case 9:
    case 12:
      return 2;
    default:
      return 0;
  }
}
