/** Builds messages from bytes that were checked: there is no rule here, and no bytes that are wrong. */
import type { Message } from "@bufbuild/protobuf";
import { parseUtf8 } from "../base/bytes.ts";
import type { Properties } from "../base/create-message.ts";
import { assertInvariant } from "../base/errors.ts";
import type { FieldPlan, MessagePlan } from "./canonical-plan.ts";

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

/**
 * The message that `bytes` encode, which `checkCanonical` has taken under the same plan; its bytes fields
 * are views of `bytes`.
 */
export function readCanonical(plan: MessagePlan, bytes: Uint8Array): Message & Properties {
  return readMessage(plan, { bytes, at: 0 }, bytes.length);
}

function readMessage(plan: MessagePlan, cursor: Cursor, end: number): Message & Properties {
  const { fields, tags } = plan;
  const message = plan.zero();
  let index = 0;
  while (cursor.at < end) {
    const tag = readNumber(cursor);
    while (index < tags.length && tags[index] !== tag) index++;
    const field = fields[index];
    assertInvariant(field !== undefined, "unchecked bytes are read as a message");
    if (field.repeated) message[field.property] = readList(field, cursor, end);
    else if (field.oneof === undefined) message[field.property] = readValue(field, cursor);
    else message[field.oneof] = { case: field.property, value: readValue(field, cursor) };
    index++;
  }
  return message;
}

/** All elements of a repeated field, whose first tag has been read. */
function readList(field: FieldPlan, cursor: Cursor, end: number): unknown[] {
  const values: unknown[] = [];
  for (;;) {
    values.push(readContent(field, cursor));
    const afterElement = cursor.at;
    if (afterElement >= end || readNumber(cursor) !== field.tag) {
      cursor.at = afterElement;
      return values;
    }
  }
}

function readValue(field: FieldPlan, cursor: Cursor): unknown {
  switch (field.kind) {
    case "uint32":
    case "enum":
      return readNumber(cursor);
    case "bool":
      return readNumber(cursor) === 1;
    case "uint64":
      return readBigInt(cursor);
    default:
      return readContent(field, cursor);
  }
}

/** A length-delimited value, whose length is to be read. */
function readContent(field: FieldPlan, cursor: Cursor): unknown {
  const length = readNumber(cursor);
  const { bytes, at: start } = cursor;
  const end = start + length;
  if (field.kind === "message") return readMessage(field.inner as MessagePlan, cursor, end);
  cursor.at = end;
  if (field.kind === "bytes") return new Uint8Array(bytes.buffer, bytes.byteOffset + start, length);
  return readText(field, bytes, start, end);
}

// Up to this length a loop builds a text faster than the decoder does.
const loopTextMax = 10;

function readText(field: FieldPlan, bytes: Uint8Array, start: number, end: number): string {
  if (field.alphabet === "unicode" || end - start > loopTextMax) {
    return parseUtf8(bytes.subarray(start, end)) as string;
  }
  let text = "";
  for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i] as number);
  return text;
}

/** A varint of at most 53 bits. */
function readNumber(cursor: Cursor): number {
  const { bytes } = cursor;
  let byte = bytes[cursor.at++] as number;
  if (byte < 128) return byte;
  let value = byte & 127;
  for (let scale = 128; byte > 127; scale *= 128) {
    byte = bytes[cursor.at++] as number;
    value += (byte & 127) * scale;
  }
  return value;
}

// Seven bytes of a varint hold 49 bits, which a number holds exactly.
const exactBytes = 7;

function readBigInt(cursor: Cursor): bigint {
  const { bytes, at: start } = cursor;
  const value = readNumber(cursor);
  if (cursor.at - start <= exactBytes) return BigInt(value);
  let large = 0n;
  for (let i = cursor.at - 1; i >= start; i--) {
    large = (large << 7n) | BigInt((bytes[i] as number) & 127);
  }
  return large;
}
