/** Random messages of any type, made from its descriptor. */
import {
  create,
  type DescField,
  type DescMessage,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";

const elementsMax = 3;

const text: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 80 }),
  fc.string({ unit: "grapheme", maxLength: 20 }),
  fc.constantFrom("", "\u007f", "\u0080", "\uffff", "x".repeat(64), "x".repeat(65)),
);
const uint64: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.nat({ max: 64 }).map((bits) => (bits === 0 ? 0n : 2n ** BigInt(bits) - 1n)),
  fc.nat({ max: 63 }).map((bits) => 2n ** BigInt(bits)),
);
const int64: fc.Arbitrary<bigint> = uint64.map((value) => BigInt.asIntN(64, value));
const uint32: fc.Arbitrary<number> = fc.oneof(
  fc.nat({ max: 300 }),
  fc.integer({ min: 0, max: 0xffffffff }),
  fc.nat({ max: 31 }).map((bits) => 2 ** bits),
);
const int32: fc.Arbitrary<number> = uint32.map((value) => value | 0);

function scalar(type: ScalarType): fc.Arbitrary<unknown> {
  switch (type) {
    case ScalarType.STRING:
      return text;
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 40 });
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.DOUBLE:
      return fc.double();
    case ScalarType.FLOAT:
      return fc.float();
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return uint32;
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return uint64;
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return int64;
    default:
      return int32;
  }
}

const unknownFields: fc.Arbitrary<NonNullable<Message["$unknown"]>> = fc.array(
  fc.record({
    no: fc.integer({ min: 900, max: 2 ** 29 - 1 }),
    wireType: fc.constant(WireType.Varint as number),
    data: uint32.map((value) => Uint8Array.of(value & 127)),
  }),
  { minLength: 1, maxLength: elementsMax },
);

/** Any message of `desc`, sometimes with fields that it does not have; `depth` messages inside each other at most. */
export function messageOf(desc: DescMessage, depth = 4): fc.Arbitrary<Message> {
  const members = desc.fields.map((field) => fc.option(valueOf(field, depth), { freq: 2 }));
  return fc
    .tuple(fc.tuple(...members), fc.option(unknownFields, { freq: 8 }))
    .map(([values, unknown]) => {
      const message = create(desc);
      const reflected = reflect(desc, message);
      desc.fields.forEach((field, at) => {
        if (values[at] !== null) set(reflected, field, values[at]);
      });
      if (unknown !== null) message.$unknown = unknown;
      return message;
    });
}

function valueOf(field: DescField, depth: number): fc.Arbitrary<unknown> {
  if (field.fieldKind !== "list") return singleOf(field, depth);
  return fc.array(singleOf(field, depth), { maxLength: elementsMax });
}

function singleOf(field: DescField, depth: number): fc.Arbitrary<unknown> {
  if (field.message !== undefined) {
    return depth <= 1 ? fc.constant(create(field.message)) : messageOf(field.message, depth - 1);
  }
  if (field.enum !== undefined) {
    const known = fc.constantFrom(...field.enum.values.map(({ number }) => number));
    return field.enum.open ? fc.oneof(known, int32) : known;
  }
  return scalar(field.scalar as ScalarType);
}

function set(message: ReflectMessage, field: DescField, value: unknown): void {
  const wrapped = (inner: unknown): unknown =>
    field.message === undefined ? inner : reflect(field.message, inner as Message);
  if (field.fieldKind === "list") {
    for (const element of value as readonly unknown[]) message.get(field).add(wrapped(element));
  } else if (field.fieldKind === "map") {
    message.get(field).set(keyOf(field.mapKey), wrapped(value) as never);
  } else {
    message.set(field, wrapped(value) as never);
  }
}

function keyOf(type: ScalarType): string | number {
  return type === ScalarType.STRING ? "a key" : 7;
}
