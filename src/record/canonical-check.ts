/**
 * Checks canonical messages without building them: takes exactly the bytes that the writer makes, and
 * says why it takes no other. All rules of a decoder stand here; the reader builds what was checked.
 *
 * Most that verify a ledger never look into its evidence, so this runs far more often than the reader.
 */
import { compareBytes, parseUtf8 } from "../base/bytes.ts";
import { CausewayError } from "../base/errors.ts";
import { canonicalDepthMax } from "../base/limits.ts";
import type { FieldPlan, MessagePlan } from "./canonical-plan.ts";
import { alphabetNames, isInteger64 } from "./canonical-text.ts";

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

/**
 * Checks that `bytes` are the canonical encoding of a message. Throws MALFORMED and NOT_CANONICAL; the
 * first thing that is wrong decides.
 */
export function checkCanonical(plan: MessagePlan, bytes: Uint8Array, outerDepth = 0): void {
  checkMessage(plan, { bytes, at: 0 }, bytes.length, outerDepth + 1);
}

function checkMessage(plan: MessagePlan, cursor: Cursor, end: number, depth: number): void {
  if (depth > canonicalDepthMax) notCanonical(plan.typeName, "nested too deeply");
  const { fields, tags, nextRequired } = plan;
  // The first field that may still come, and the oneofs that have a member.
  let next = 0;
  let set = 0;
  while (cursor.at < end) {
    const tag = readNumber(plan.typeName, cursor, end);
    let index = next;
    while (index < tags.length && tags[index] !== tag) index++;
    if (index === tags.length) unexpected(plan, tag);
    if ((nextRequired[next] as number) < index) missing(plan, next);
    const field = fields[index] as FieldPlan;
    if (field.repeated) checkList(field, cursor, end, depth);
    else checkValue(field, cursor, end, depth);
    if ((set & field.oneofBit) !== 0) {
      notCanonical(field.name, "another member of its oneof stands before");
    }
    set |= field.oneofBit;
    next = index + 1;
  }
  if ((nextRequired[next] as number) < fields.length) missing(plan, next);
  if ((set & plan.requiredOneofBits) !== plan.requiredOneofBits) notSet(plan, set);
}

/** All elements of a repeated field, whose first tag has been read: no other field stands between them. */
function checkList(field: FieldPlan, cursor: Cursor, end: number, depth: number): void {
  let before: Uint8Array | undefined;
  for (let count = 0; ; count++) {
    if (count >= field.elementsMax) notCanonical(field.name, "too many elements");
    const length = readLength(field, cursor, end);
    const start = cursor.at;
    checkContent(field, cursor, start + length, depth);
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
      return;
    }
  }
}

function checkValue(field: FieldPlan, cursor: Cursor, end: number, depth: number): void {
  switch (field.kind) {
    case "uint32": {
      const value = readNumber(field.name, cursor, end);
      if (value > 0xffffffff) notCanonical(field.name, "more than 32 bits");
      if (value === 0) explicitDefault(field);
      return;
    }
    case "enum":
      if (!field.numbers.has(readNumber(field.name, cursor, end))) {
        notCanonical(field.name, "not a number of its enum");
      }
      return;
    case "bool":
      if (readNumber(field.name, cursor, end) !== 1) {
        notCanonical(field.name, "a boolean other than 1");
      }
      return;
    case "uint64":
      if (readNumber(field.name, cursor, end) === 0) explicitDefault(field);
      return;
    default: {
      const length = readLength(field, cursor, end);
      if (length === 0 && field.kind !== "message") explicitDefault(field);
      checkContent(field, cursor, cursor.at + length, depth);
    }
  }
}

function readLength(field: FieldPlan, cursor: Cursor, end: number): number {
  const length = readNumber(field.name, cursor, end);
  if (length > end - cursor.at) malformed(field.name, "ends after its message");
  return length;
}

/** The value of the bytes from the cursor to `end`. */
function checkContent(field: FieldPlan, cursor: Cursor, end: number, depth: number): void {
  if (field.kind === "message") {
    checkMessage(field.inner as MessagePlan, cursor, end, depth + 1);
    return;
  }
  const length = end - cursor.at;
  if (length < field.bytesMin || length > field.bytesMax) notCanonical(field.name, "wrong length");
  if (field.kind === "string") checkText(field, cursor.bytes, cursor.at, end);
  else if (field.inner !== undefined) checkEncodes(field, field.inner, cursor, end, depth);
  cursor.at = end;
}

function checkEncodes(
  field: FieldPlan,
  inner: MessagePlan,
  cursor: Cursor,
  end: number,
  depth: number,
): void {
  try {
    checkMessage(inner, cursor, end, depth + 1);
  } catch (cause) {
    if (!(cause instanceof CausewayError)) throw cause;
    const why = `${field.name}: not a canonical ${inner.typeName}`;
    throw new CausewayError("NOT_CANONICAL", why, { cause });
  }
}

function checkText(field: FieldPlan, bytes: Uint8Array, start: number, end: number): void {
  if (field.alphabet === "unicode") {
    if (parseUtf8(bytes.subarray(start, end)) === undefined) {
      malformed(field.name, alphabetNames.unicode);
    }
    return;
  }
  // Negative as soon as one byte lies outside of 0x21 to 0x7E.
  let outside = 0;
  for (let i = start; i < end; i++) {
    const code = bytes[i] as number;
    outside |= (code - 0x21) | (0x7e - code);
  }
  if (outside < 0) notPrintable(field, bytes.subarray(start, end));
  if (field.alphabet !== "integer") return;
  if (!isInteger64(parseUtf8(bytes.subarray(start, end)) as string)) {
    notCanonical(field.name, alphabetNames.integer);
  }
}

function notPrintable(field: FieldPlan, bytes: Uint8Array): never {
  if (parseUtf8(bytes) === undefined) malformed(field.name, alphabetNames.unicode);
  notCanonical(field.name, alphabetNames.printable);
}

/** A minimal varint of at most 64 bits: from 2^53 on rounded, so that no tag, length or enum equals it. */
function readNumber(name: string, cursor: Cursor, end: number): number {
  const first = cursor.bytes[cursor.at] as number;
  if (cursor.at < end && first < 128) {
    cursor.at++;
    return first;
  }
  return readLongNumber(name, cursor, end);
}

const varintBytesMax = 10;

function readLongNumber(name: string, cursor: Cursor, end: number): number {
  let value = 0;
  let scale = 1;
  for (let i = 0; i < varintBytesMax; i++, scale *= 128) {
    if (cursor.at >= end) malformed(name, "ends inside a number");
    const byte = cursor.bytes[cursor.at++] as number;
    // The tenth byte holds the 64th bit alone.
    if (i === varintBytesMax - 1 && byte > 1) break;
    value += (byte & 127) * scale;
    if (byte < 128) return byte === 0 && i > 0 ? padded(name) : value;
  }
  return malformed(name, "a number of more than 64 bits");
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

function notSet(plan: MessagePlan, set: number): never {
  const oneof = plan.oneofs.find(({ required, bit }) => required && (set & bit) === 0);
  return notCanonical(oneof?.name ?? plan.typeName, "none is set");
}

function unexpected(plan: MessagePlan, tag: number): never {
  const wireType = tag % 8;
  if (tag < 8 || tag > 0xffffffff || wireType > 5) malformed(plan.typeName, "not a field");
  const known = plan.fields.find((field) => field.tag === tag);
  if (known !== undefined) notCanonical(known.name, "repeated or out of order");
  return notCanonical(plan.typeName, "an unknown field");
}
