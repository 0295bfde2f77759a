/** Reads canonical messages: takes exactly the bytes that the writer makes, and says why it takes no other. */
import type { Message } from "@bufbuild/protobuf";
import { compareBytes, parseUtf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { canonicalDepthMax } from "../base/limits.ts";
import type { FieldPlan, MessagePlan, OneofPlan, Properties } from "./canonical-plan.ts";
import { alphabetNames, isInteger64 } from "./canonical-text.ts";

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

/**
 * The message that `bytes` are the canonical encoding of; its bytes fields are views of `bytes`.
 * `outerDepth` counts the messages that it is encoded inside of. Throws MALFORMED and NOT_CANONICAL.
 */
export function readCanonical(
  plan: MessagePlan,
  bytes: Uint8Array,
  outerDepth = 0,
): Message & Properties {
  return readMessage(plan, { bytes, at: 0 }, bytes.length, outerDepth + 1);
}

function readMessage(
  plan: MessagePlan,
  cursor: Cursor,
  end: number,
  depth: number,
): Message & Properties {
  if (depth > canonicalDepthMax) notCanonical(plan.typeName, "nested too deeply");
  const { fields, nextRequired } = plan;
  const message = plan.zero();
  // The first field that may still come.
  let next = 0;
  while (cursor.at < end) {
    const tag = readNumber(plan.typeName, cursor, end);
    let index = next;
    while (index < fields.length && fields[index]?.tag !== tag) index++;
    const field = fields[index] ?? unexpected(plan, tag);
    if ((nextRequired[next] as number) < index) missing(plan, next);
    if (field.repeated) message[field.property] = readList(field, cursor, end, depth);
    else assign(field, message, readValue(field, cursor, end, depth));
    next = index + 1;
  }
  if ((nextRequired[next] as number) < fields.length) missing(plan, next);
  for (const oneof of plan.oneofs) if (oneof.required) assertSet(oneof, message);
  return message;
}

function assign(field: FieldPlan, message: Properties, value: unknown): void {
  if (field.oneof === undefined) {
    message[field.property] = value;
    return;
  }
  const oneof = message[field.oneof] as { case: string | undefined; value?: unknown };
  if (oneof.case !== undefined)
    notCanonical(field.name, "another member of its oneof stands before");
  oneof.case = field.property;
  oneof.value = value;
}

function assertSet(oneof: OneofPlan, message: Properties): void {
  const { case: chosen } = message[oneof.property] as { readonly case: string | undefined };
  if (chosen === undefined) notCanonical(oneof.name, "none is set");
}

/** All elements of a repeated field, whose first tag has been read: no other field stands between them. */
function readList(field: FieldPlan, cursor: Cursor, end: number, depth: number): unknown[] {
  const values: unknown[] = [];
  let before: Uint8Array | undefined;
  for (;;) {
    if (values.length >= field.elementsMax) notCanonical(field.name, "too many elements");
    const length = readLength(field, cursor, end);
    const start = cursor.at;
    values.push(readContent(field, cursor, start + length, depth));
    if (field.sorted) {
      const content = cursor.bytes.subarray(start, start + length);
      if (before !== undefined && compareBytes(before, content) >= 0) {
        notCanonical(field.name, "not ascending");
      }
      before = content;
    }
    const afterElement = cursor.at;
    if (afterElement >= end || readNumber(field.name, cursor, end) !== field.tag) {
      cursor.at = afterElement;
      return values;
    }
  }
}

function readValue(field: FieldPlan, cursor: Cursor, end: number, depth: number): unknown {
  switch (field.kind) {
    case "uint32": {
      const value = readNumber(field.name, cursor, end);
      if (value > 0xffffffff) notCanonical(field.name, "more than 32 bits");
      return value === 0 ? explicitDefault(field) : value;
    }
    case "enum": {
      const value = readNumber(field.name, cursor, end);
      return field.numbers.has(value)
        ? value
        : notCanonical(field.name, "not a number of its enum");
    }
    case "bool":
      return readNumber(field.name, cursor, end) === 1
        ? true
        : notCanonical(field.name, "a boolean other than 1");
    case "uint64": {
      const value = readVarint(field.name, cursor, end);
      return value === 0 ? explicitDefault(field) : BigInt(value);
    }
    default: {
      const length = readLength(field, cursor, end);
      if (length === 0 && field.kind !== "message") explicitDefault(field);
      return readContent(field, cursor, cursor.at + length, depth);
    }
  }
}

function readLength(field: FieldPlan, cursor: Cursor, end: number): number {
  const length = readNumber(field.name, cursor, end);
  if (length > end - cursor.at) malformed(field.name, "ends after its message");
  return length;
}

/** The value of the bytes from the cursor to `end`. */
function readContent(field: FieldPlan, cursor: Cursor, end: number, depth: number): unknown {
  if (field.kind === "message") {
    return readMessage(field.inner as MessagePlan, cursor, end, depth + 1);
  }
  const { bytes, at: start } = cursor;
  cursor.at = end;
  const length = end - start;
  if (length < field.bytesMin || length > field.bytesMax) notCanonical(field.name, "wrong length");
  if (field.kind === "string") return readText(field, bytes, start, end);
  const value = new Uint8Array(bytes.buffer, bytes.byteOffset + start, length);
  if (field.inner !== undefined) assertEncodes(field, field.inner, value, depth);
  return value;
}

function assertEncodes(
  field: FieldPlan,
  inner: MessagePlan,
  value: Uint8Array,
  depth: number,
): void {
  try {
    readCanonical(inner, value, depth);
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    const why = `${field.name}: not a canonical ${inner.typeName}`;
    throw new CausewayError("NOT_CANONICAL", why, { cause });
  }
}

// Up to this length a loop builds a text faster than the decoder does.
const loopTextMax = 32;

function readText(field: FieldPlan, bytes: Uint8Array, start: number, end: number): string {
  if (field.alphabet === "unicode") {
    return parseUtf8(bytes.subarray(start, end)) ?? malformed(field.name, alphabetNames.unicode);
  }
  let text = "";
  const loop = end - start <= loopTextMax;
  for (let i = start; i < end; i++) {
    const code = bytes[i] as number;
    if (code < 0x21 || code > 0x7e) notPrintable(field, bytes.subarray(start, end));
    if (loop) text += String.fromCharCode(code);
  }
  if (!loop) text = parseUtf8(bytes.subarray(start, end)) as string;
  if (field.alphabet === "integer" && !isInteger64(text))
    notCanonical(field.name, alphabetNames.integer);
  return text;
}

function notPrintable(field: FieldPlan, bytes: Uint8Array): never {
  if (parseUtf8(bytes) === undefined) malformed(field.name, alphabetNames.unicode);
  notCanonical(field.name, alphabetNames.printable);
}

/** A minimal varint as a number: of more than 53 bits, one that no valid number equals. */
function readNumber(name: string, cursor: Cursor, end: number): number {
  const first = cursor.bytes[cursor.at] as number;
  if (cursor.at < end && first < 128) {
    cursor.at++;
    return first;
  }
  const value = readVarint(name, cursor, end);
  return typeof value === "bigint" ? Number.POSITIVE_INFINITY : value;
}

/** A minimal varint of at most 64 bits: a number up to 2^53 - 1, above it a bigint. */
function readVarint(name: string, cursor: Cursor, end: number): number | bigint {
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 7; i++, scale *= 128) {
    const byte = readByte(name, cursor, end);
    value += (byte & 127) * scale;
    if (byte < 128) return byte === 0 && i > 0 ? padded(name) : value;
  }
  let large = BigInt(value);
  for (let shift = 49n; shift <= 63n; shift += 7n) {
    const byte = readByte(name, cursor, end);
    if (shift === 63n && byte > 1) malformed(name, "a number of more than 64 bits");
    large |= BigInt(byte & 127) << shift;
    if (byte < 128) {
      if (byte === 0) padded(name);
      return large <= 0x1f_ffff_ffff_ffffn ? Number(large) : large;
    }
  }
  return malformed(name, "a number of more than 64 bits");
}

function readByte(name: string, cursor: Cursor, end: number): number {
  if (cursor.at >= end) malformed(name, "ends inside a number");
  return cursor.bytes[cursor.at++] as number;
}

function malformed(name: string, why: string): never {
  throw new CausewayError("MALFORMED", `${name}: ${why}`);
}

function notCanonical(name: string, why: string): never {
  throw new CausewayError("NOT_CANONICAL", `${name}: ${why}`);
}

function padded(name: string): never {
  return notCanonical(name, "a number longer than needed");
}

function explicitDefault(field: FieldPlan): never {
  return notCanonical(field.name, "a default that is written");
}

function missing(plan: MessagePlan, next: number): never {
  const field = plan.fields[plan.nextRequired[next] as number] as FieldPlan;
  return notCanonical(field.name, "missing");
}

function unexpected(plan: MessagePlan, tag: number): never {
  const wireType = tag % 8;
  if (tag < 8 || tag > 0xffffffff || wireType > 5) malformed(plan.typeName, "not a field");
  const known = plan.fields.find((field) => field.tag === tag);
  if (known !== undefined) notCanonical(known.name, "repeated or out of order");
  return notCanonical(plan.typeName, "an unknown field");
}
