/** The fields of an encoded protobuf message, one after another, without knowing its type. */
import { CausewayError } from "../base/errors.ts";
import { messageDepthMax } from "../base/limits.ts";

/** Wire types of the protobuf encoding. */
export const wireTypes = {
  varint: 0,
  fixed64: 1,
  bytes: 2,
  group: 3,
  endGroup: 4,
  fixed32: 5,
} as const;

/** Where a message is read. After `nextField` the members behind `end` tell of one field. */
export interface FieldCursor {
  readonly bytes: Uint8Array;
  at: number;
  readonly end: number;
  number: number;
  wire: number;
  /** The value without tag, length and end of a group. */
  from: number;
  to: number;
}

/** A cursor before the first field of the message that stands from `from` to `end`. */
export function createFieldCursor(
  bytes: Uint8Array,
  from: number = 0,
  end: number = bytes.length,
): FieldCursor {
  return { bytes, at: from, end, number: 0, wire: 0, from, to: from };
}

/** What is not in the encoding of any message of the type that is published. */
export function unapplicable(message: string): CausewayError {
  return new CausewayError("MASK_UNAPPLICABLE", message);
}

/**
 * Reads the next field, or returns `false` at the end. `depth` is that of the message, from 1.
 * Throws MASK_UNAPPLICABLE for bytes that are no message.
 */
export function nextField(cursor: FieldCursor, depth: number): boolean {
  if (cursor.at >= cursor.end) return false;
  const tag = readTag(cursor);
  cursor.number = tag >>> 3;
  cursor.wire = tag & 7;
  if (cursor.wire === wireTypes.endGroup) throw unapplicable("a group ends that has not begun");
  skipValue(cursor, depth);
  return true;
}

function skipValue(cursor: FieldCursor, depth: number): void {
  cursor.from = cursor.at;
  switch (cursor.wire) {
    case wireTypes.varint:
      cursor.at = varintEnd(cursor.bytes, cursor.at, cursor.end);
      break;
    case wireTypes.fixed64:
      cursor.at += 8;
      break;
    case wireTypes.fixed32:
      cursor.at += 4;
      break;
    case wireTypes.bytes: {
      const length = readShortVarint(cursor);
      cursor.from = cursor.at;
      cursor.at += length;
      break;
    }
    case wireTypes.group:
      skipGroup(cursor, depth + 1);
      return;
    default:
      throw unapplicable("a field is of no wire type");
  }
  if (cursor.at > cursor.end) throw unapplicable("a field ends behind its message");
  cursor.to = cursor.at;
}

/** Leaves the cursor behind the end of the group that it is in, with its content between `from` and `to`. */
function skipGroup(cursor: FieldCursor, depth: number): void {
  assertDepth(depth);
  const { number, from } = cursor;
  for (;;) {
    const to = cursor.at;
    if (to >= cursor.end) throw unapplicable("a group has no end");
    const tag = readTag(cursor);
    cursor.wire = tag & 7;
    cursor.number = tag >>> 3;
    if (cursor.wire !== wireTypes.endGroup) {
      skipValue(cursor, depth);
      continue;
    }
    if (cursor.number !== number) throw unapplicable("a group ends as another one");
    cursor.wire = wireTypes.group;
    cursor.from = from;
    cursor.to = to;
    return;
  }
}

/** Throws MASK_UNAPPLICABLE when messages are nested deeper than decoders follow. */
export function assertDepth(depth: number): void {
  if (depth > messageDepthMax) throw unapplicable("messages are nested too deep");
}

function readTag(cursor: FieldCursor): number {
  const tag = readShortVarint(cursor);
  if (tag >>> 3 === 0) throw unapplicable("a field has the number 0");
  return tag;
}

/** A tag or length: 32 bits in at most five bytes. */
function readShortVarint(cursor: FieldCursor): number {
  const { bytes, end } = cursor;
  let value = 0;
  for (let shift = 0; shift < 35; shift += 7) {
    if (cursor.at >= end) throw unapplicable("a field is cut off");
    const byte = bytes[cursor.at++] as number;
    if (shift === 28 && byte > 15) break;
    value |= (byte & 127) << shift;
    if (byte < 128) return value >>> 0;
  }
  throw unapplicable("a tag or length is too large");
}

/** Where the varint at `at` ends. Throws MASK_UNAPPLICABLE for one that is cut off or beyond 64 bits. */
export function varintEnd(bytes: Uint8Array, at: number, end: number): number {
  const last = Math.min(end, at + 10);
  for (let i = at; i < last; i++) {
    const byte = bytes[i] as number;
    if (byte >= 128) continue;
    if (i === at + 9 && byte > 1) break;
    return i + 1;
  }
  throw unapplicable("a number is cut off or too large");
}

/** The low 32 bits of the varint from `from` to `to`, signed: the number of an enum's value, or of 32 bits. */
export function enumNumber(bytes: Uint8Array, from: number, to: number): number {
  let value = 0;
  for (let i = from, shift = 0; i < to && shift < 32; i++, shift += 7) {
    value |= ((bytes[i] as number) & 127) << shift;
  }
  return value;
}
