/** Writes canonical messages from the last byte to the first, so that every length is known when it is due. */
import { compareBytes, utf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { canonicalDepthMax } from "../base/limits.ts";
import { checkCanonical } from "./canonical-check.ts";
import type { FieldPlan, MessagePlan, Properties } from "./canonical-plan.ts";
import { alphabetNames, isInteger64, isWellFormed } from "./canonical-text.ts";

const keptBytesMax = 64 * 1024;
const uint64Max = 2n ** 64n - 1n;

// One buffer for every encoding: a write never waits, and its result is copied out.
let buffer: Uint8Array = new Uint8Array(keptBytesMax);
let at = 0;

/**
 * The canonical encoding of a message. Throws RangeError, naming the field, for a message that has none,
 * and TypeError for a property of the wrong type.
 */
export function writeCanonical(plan: MessagePlan, message: Properties): Uint8Array {
  at = buffer.length;
  try {
    writeMessage(plan, message, 1);
    return buffer.slice(at);
  } finally {
    if (buffer.length > keptBytesMax) buffer = new Uint8Array(keptBytesMax);
  }
}

function writeMessage(plan: MessagePlan, message: Properties, depth: number): void {
  if (message.$typeName !== plan.typeName) throw new TypeError(`not a message of ${plan.typeName}`);
  if (depth > canonicalDepthMax) throw new RangeError(`${plan.typeName}: nested too deeply`);
  if (message.$unknown !== undefined) throw new RangeError(`${plan.typeName}: unknown fields`);
  for (const oneof of plan.oneofs) {
    const chosen = (message[oneof.property] as { readonly case: string | undefined }).case;
    if (chosen === undefined && oneof.required) throw new RangeError(`${oneof.name}: none is set`);
    if (chosen !== undefined && !oneof.cases.has(chosen)) {
      throw new TypeError(`${oneof.name}: no member has this name`);
    }
  }
  for (let i = plan.fields.length - 1; i >= 0; i--) {
    const field = plan.fields[i] as FieldPlan;
    const value = valueOf(field, message);
    if (field.repeated) writeList(field, value as readonly unknown[], depth);
    else if (!isAbsent(field, value)) writeField(field, value, depth);
    else if (field.required) violated(field, "missing");
  }
}

function violated(field: FieldPlan, why: string): never {
  throw new RangeError(`${field.name}: ${why}`);
}

function valueOf(field: FieldPlan, message: Properties): unknown {
  if (field.oneof === undefined) return message[field.property];
  const oneof = message[field.oneof] as {
    readonly case: string | undefined;
    readonly value?: unknown;
  };
  return oneof.case === field.property ? oneof.value : undefined;
}

function isAbsent(field: FieldPlan, value: unknown): boolean {
  switch (field.kind) {
    case "message":
      return value === undefined;
    case "bytes":
      return (value as Uint8Array).length === 0;
    case "string":
      return value === "";
    case "bool":
      return value === false;
    case "uint64":
      return value === 0n;
    default:
      return value === 0;
  }
}

function writeList(field: FieldPlan, values: readonly unknown[], depth: number): void {
  if (values.length > field.elementsMax) violated(field, "too many elements");
  let nextEnd = 0;
  let nextLength = -1;
  for (let i = values.length - 1; i >= 0; i--) {
    // Counted from the end, where a larger buffer keeps what stands.
    const end = buffer.length - at;
    writeContent(field, values[i], depth);
    const length = buffer.length - at - end;
    if (field.sorted && nextLength >= 0) {
      const start = buffer.length - nextEnd;
      const next = buffer.subarray(start - nextLength, start);
      if (compareBytes(buffer.subarray(at, at + length), next) >= 0)
        violated(field, "not ascending");
    }
    nextEnd = end;
    nextLength = length;
    writeNumber(length);
    writeNumber(field.tag);
  }
}

function writeField(field: FieldPlan, value: unknown, depth: number): void {
  switch (field.kind) {
    case "bool":
      if (value !== true) throw new TypeError(`${field.name}: not a boolean`);
      writeNumber(1);
      break;
    case "enum":
      if (!field.numbers.has(value as number)) violated(field, "not a number of its enum");
      writeNumber(value as number);
      break;
    case "uint32":
      if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > 0xffffffff) {
        violated(field, "not an unsigned 32-bit integer");
      }
      writeNumber(value as number);
      break;
    case "uint64":
      if (typeof value !== "bigint") throw new TypeError(`${field.name}: not a bigint`);
      if (value < 0n || value > uint64Max) violated(field, "not an unsigned 64-bit integer");
      writeBigInt(value);
      break;
    default: {
      const end = buffer.length - at;
      writeContent(field, value, depth);
      writeNumber(buffer.length - at - end);
    }
  }
  writeNumber(field.tag);
}

/** The bytes of a length-delimited value, without their length. */
function writeContent(field: FieldPlan, value: unknown, depth: number): void {
  if (field.kind === "message") {
    writeMessage(field.inner as MessagePlan, value as Properties, depth + 1);
  } else if (field.kind === "string") {
    if (typeof value !== "string") throw new TypeError(`${field.name}: not a string`);
    writeText(field, value);
  } else {
    if (!(value instanceof Uint8Array)) throw new TypeError(`${field.name}: not bytes`);
    if (value.length < field.bytesMin || value.length > field.bytesMax)
      violated(field, "wrong length");
    if (field.inner !== undefined) assertEncodes(field, field.inner, value, depth);
    writeBytes(value);
  }
}

function assertEncodes(
  field: FieldPlan,
  inner: MessagePlan,
  value: Uint8Array,
  depth: number,
): void {
  try {
    checkCanonical(inner, value, depth);
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    throw new RangeError(`${field.name}: not a canonical ${inner.typeName}`, { cause });
  }
}

function writeText(field: FieldPlan, text: string): void {
  if (field.alphabet === "unicode") {
    if (!isWellFormed(text)) violated(field, alphabetNames.unicode);
    const bytes = utf8(text);
    if (bytes.length > field.bytesMax) violated(field, "too long");
    writeBytes(bytes);
    return;
  }
  if (text.length > field.bytesMax) violated(field, "too long");
  if (field.alphabet === "integer" && !isInteger64(text)) violated(field, alphabetNames.integer);
  reserve(text.length);
  for (let i = text.length - 1; i >= 0; i--) {
    const code = text.charCodeAt(i);
    if (code < 0x21 || code > 0x7e) violated(field, alphabetNames.printable);
    buffer[--at] = code;
  }
}

function writeBytes(bytes: Uint8Array): void {
  reserve(bytes.length);
  at -= bytes.length;
  buffer.set(bytes, at);
}

/** A minimal varint of at most 53 bits. */
function writeNumber(value: number): void {
  reserve(8);
  if (value < 128) {
    buffer[--at] = value;
    return;
  }
  let length = 2;
  for (let rest = value / 16384; rest >= 1; rest /= 128) length++;
  at -= length;
  let rest = value;
  for (let i = at; i < at + length - 1; i++) {
    buffer[i] = (rest % 128) | 128;
    rest = Math.floor(rest / 128);
  }
  buffer[at + length - 1] = rest;
}

function writeBigInt(value: bigint): void {
  if (value <= 0x1f_ffff_ffff_ffffn) {
    writeNumber(Number(value));
    return;
  }
  reserve(10);
  const groups: number[] = [];
  for (let rest = value; rest > 0n; rest >>= 7n) groups.push(Number(rest & 127n));
  for (let i = groups.length - 1; i >= 0; i--) {
    buffer[--at] = (groups[i] as number) | (i < groups.length - 1 ? 128 : 0);
  }
}

function reserve(bytes: number): void {
  if (bytes <= at) return;
  const used = buffer.length - at;
  const larger = new Uint8Array(Math.max(2 * buffer.length, used + bytes));
  larger.set(buffer.subarray(at), larger.length - used);
  at = larger.length - used;
  buffer = larger;
}
