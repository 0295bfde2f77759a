/** Generated messages to protobuf's binary form. */
import { type DescMessage, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { BackwardWriter } from "./backward-writer.ts";
import type { Oneof, Properties } from "./create-message.ts";
import { type WireField, type WirePlan, wirePlanOf } from "./wire-plan.ts";
import { isAbsent } from "./zero-value.ts";

const int32Min = -(2 ** 31);
const int32Max = 2 ** 31 - 1;
const uint32Max = 2 ** 32 - 1;
const uint64Max = 2n ** 64n - 1n;

// One for every encoding: none waits.
const writer = new BackwardWriter();

/**
 * The bytes that protobuf-es's `toBinary` gives: fields ascend by number, absent values are left out,
 * unknown fields follow. The result is a buffer of its own. A message that is none of its type is misuse:
 * TypeError for a value of the wrong type, RangeError for a number out of range.
 */
export function encodeMessage<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
): Uint8Array {
  const plan = wirePlanOf(schema);
  if (plan === undefined) return toBinary(schema, message);
  writer.start();
  writeMessage(plan, message);
  return writer.finish();
}

function writeMessage(plan: WirePlan, message: MessageShape<DescMessage>): void {
  if (message.$typeName !== plan.typeName) throw new TypeError(`not a message of ${plan.typeName}`);
  if (message.$unknown !== undefined) writeUnknown(message.$unknown);
  const properties = message as Properties;
  const { steps } = plan;
  for (let i = steps.length - 1; i >= 0; i--) {
    const { property, field, cases } = steps[i] as (typeof steps)[number];
    const value = properties[property];
    if (field === undefined) writeOneof(cases, value as Oneof);
    else if (field.repeated) writeList(field, value as readonly unknown[]);
    else if (isSet(field, value)) writeField(field, value);
  }
}

function writeUnknown(unknown: NonNullable<MessageShape<DescMessage>["$unknown"]>): void {
  for (const { no, wireType, data } of [...unknown].reverse()) {
    writer.bytes(data);
    writer.number(no * 8 + wireType);
  }
}

function writeOneof(cases: ReadonlyMap<string, WireField>, oneof: Oneof): void {
  if (oneof.case === undefined) return;
  const field = cases.get(oneof.case);
  if (field !== undefined) writeField(field, oneof.value);
}

function isSet(field: WireField, value: unknown): boolean {
  return field.optional ? value !== undefined : !isAbsent(field.kind, value);
}

function writeField(field: WireField, value: unknown): void {
  writeValue(field, value);
  writer.number(field.tag);
}

function writeList(field: WireField, values: readonly unknown[]): void {
  if (!field.packed) {
    for (let i = values.length - 1; i >= 0; i--) writeField(field, values[i]);
  } else if (values.length > 0) {
    const before = writer.length;
    for (let i = values.length - 1; i >= 0; i--) writeValue(field, values[i]);
    writer.number(writer.length - before);
    writer.number(field.tag);
  }
}

/** The value with its length, where it has one. */
function writeValue(field: WireField, value: unknown): void {
  const before = writer.length;
  switch (field.kind) {
    case "message":
      writeMessage(field.inner as WirePlan, value as MessageShape<DescMessage>);
      break;
    case "bytes":
      if (!(value instanceof Uint8Array)) throw new TypeError(`${field.name}: not bytes`);
      writer.bytes(value);
      break;
    case "string":
      if (typeof value !== "string") throw new TypeError(`${field.name}: not a string`);
      writer.text(value);
      break;
    default:
      return writeNumber(field, value);
  }
  writer.number(writer.length - before);
}

function writeNumber(field: WireField, value: unknown): void {
  switch (field.kind) {
    case "uint64":
      if (typeof value !== "bigint") throw new TypeError(`${field.name}: not a bigint`);
      if (value < 0n || value > uint64Max) outOfRange(field);
      return writer.bigint(value);
    case "bool":
      if (typeof value !== "boolean") throw new TypeError(`${field.name}: not a boolean`);
      return writer.number(value ? 1 : 0);
    default: {
      if (typeof value !== "number") throw new TypeError(`${field.name}: not a number`);
      const isUnsigned = field.kind === "uint32";
      const min = isUnsigned ? 0 : int32Min;
      const max = isUnsigned ? uint32Max : int32Max;
      if (!Number.isInteger(value) || value < min || value > max) outOfRange(field);
      // A negative one is written as the 64 bits that it has.
      return value < 0 ? writer.bigint(BigInt.asUintN(64, BigInt(value))) : writer.number(value);
    }
  }
}

function outOfRange(field: WireField): never {
  throw new RangeError(`${field.name}: out of its range`);
}
