/** Generated messages from protobuf's binary form. */
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import type { Oneof, Properties } from "./create-message.ts";
import { CausewayError } from "./errors.ts";
import { messageDepthMax } from "./limits.ts";
import { type WireField, type WirePlan, wirePlanOf } from "./wire-plan.ts";

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

/**
 * The message that `bytes` encode, as protobuf-es's `fromBinary` reads them: it takes and refuses the
 * same bytes. The bytes fields and what is unknown are views: copy what outlives `bytes`.
 *
 * Throws MALFORMED for bytes that are no message of this type.
 */
export function decodeMessage<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
): MessageShape<Desc> {
  const plan = wirePlanOf(schema);
  if (plan === undefined) return decodeOther(schema, bytes);
  const message = plan.create();
  readMessage(plan, message, { bytes, at: 0 }, bytes.length, 1);
  return message as MessageShape<Desc>;
}

function decodeOther<Desc extends DescMessage>(
  schema: Desc,
  bytes: Uint8Array,
): MessageShape<Desc> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw new CausewayError("MALFORMED", `not a message of ${schema.typeName}`, { cause });
  }
}

// Nothing but the end of all bytes ends a value: a message inside that says it is longer than the one
// around it is read as it says, as by protobuf-es.
function readMessage(
  plan: WirePlan,
  message: Properties,
  cursor: Cursor,
  end: number,
  depth: number,
): void {
  if (depth > messageDepthMax) malformed("messages are nested too deep");
  const { fields } = plan;
  while (cursor.at < end) {
    const tag = readTag(cursor);
    const field = fields[tag >>> 3];
    if (field === undefined) keepUnknown(message, cursor, tag, depth);
    else if (field.repeated)
      readList(field, message[field.property] as unknown[], tag, cursor, depth);
    else if (field.oneof === undefined) {
      message[field.property] = readValue(field, message[field.property], cursor, depth);
    } else {
      const before = message[field.oneof] as Oneof;
      const earlier = before.case === field.property ? before.value : undefined;
      const value = readValue(field, earlier, cursor, depth);
      message[field.oneof] = { case: field.property, value };
    }
  }
}

function readList(
  field: WireField,
  values: unknown[],
  tag: number,
  cursor: Cursor,
  depth: number,
): void {
  const { kind } = field;
  const isDelimited = (tag & 7) === WireType.LengthDelimited;
  if (!isDelimited || kind === "message" || kind === "bytes" || kind === "string") {
    values.push(readValue(field, undefined, cursor, depth));
    return;
  }
  const length = readUint32(cursor);
  const end = cursor.at + length;
  while (cursor.at < end) values.push(readValue(field, undefined, cursor, depth));
}

/** `earlier` is the message that the field has: what comes is merged into it. */
function readValue(field: WireField, earlier: unknown, cursor: Cursor, depth: number): unknown {
  switch (field.kind) {
    case "bytes":
      return readBytes(cursor);
    case "string":
      return readText(cursor);
    case "message": {
      const plan = field.inner as WirePlan;
      const message = (earlier as Properties | undefined) ?? plan.create();
      const length = readUint32(cursor);
      readMessage(plan, message, cursor, cursor.at + length, depth + 1);
      return message;
    }
    case "uint32":
      return readUint32(cursor);
    case "int32":
      return readUint32(cursor) | 0;
    case "uint64":
      return readUint64(cursor);
    case "bool":
      return readUint64(cursor) !== 0n;
  }
}

function keepUnknown(message: Properties, cursor: Cursor, tag: number, depth: number): void {
  const start = cursor.at;
  skip(cursor, tag, messageDepthMax - depth);
  const data = view(cursor.bytes, start, cursor.at - start);
  const unknown = (message.$unknown ??= []) as unknown[];
  unknown.push({ no: tag >>> 3, wireType: tag & 7, data });
}

/** Passes over the value of `tag`, in which at most so many groups may lie inside of one another. */
function skip(cursor: Cursor, tag: number, groupsMax: number): void {
  switch (tag & 7) {
    case WireType.Varint:
      // However long: nobody needs its value.
      while (nextByte(cursor) > 127);
      return;
    case WireType.Bit64:
      return advance(cursor, 8);
    case WireType.Bit32:
      return advance(cursor, 4);
    case WireType.LengthDelimited:
      return advance(cursor, readUint32(cursor));
    case WireType.StartGroup:
      return skipGroup(cursor, tag, groupsMax);
    default:
      malformed("a group ends that has not begun");
  }
}

function skipGroup(cursor: Cursor, start: number, groupsMax: number): void {
  if (groupsMax <= 0) malformed("groups are nested too deep");
  for (;;) {
    const tag = readTag(cursor);
    if ((tag & 7) !== WireType.EndGroup) skip(cursor, tag, groupsMax - 1);
    else if (tag >>> 3 === start >>> 3) return;
    else malformed("another group ends than has begun");
  }
}

function readTag(cursor: Cursor): number {
  const start = cursor.at;
  const tag = readUint32(cursor);
  const length = cursor.at - start;
  if (length > 5 || (length === 5 && (cursor.bytes[start + 4] as number) > 15)) {
    malformed("a tag of more than 32 bits");
  }
  if (tag >>> 3 === 0 || (tag & 7) > 5) malformed("not a field");
  return tag;
}

function readBytes(cursor: Cursor): Uint8Array {
  const length = readUint32(cursor);
  const start = cursor.at;
  advance(cursor, length);
  return view(cursor.bytes, start, length);
}

function view(bytes: Uint8Array, start: number, length: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset + start, length);
}

// As protobuf-es's: a byte order mark is not part of a text.
const decoder = new TextDecoder("utf-8", { fatal: true });
// Up to this length a loop builds a text faster than the decoder does.
const loopTextMax = 10;

function readText(cursor: Cursor): string {
  const content = readBytes(cursor);
  if (content.length <= loopTextMax) {
    let text = "";
    let codes = 0;
    for (let i = 0; i < content.length; i++) {
      const code = content[i] as number;
      codes |= code;
      text += String.fromCharCode(code);
    }
    if (codes < 128) return text;
  }
  try {
    return decoder.decode(content);
  } catch (cause) {
    throw new CausewayError("MALFORMED", "a text is not UTF-8", { cause });
  }
}

/** A varint of at most ten bytes, of which the low 32 bits count. */
function readUint32(cursor: Cursor): number {
  let byte = nextByte(cursor);
  if (byte < 128) return byte;
  let value = byte & 127;
  for (let shift = 7; shift < 70; shift += 7) {
    byte = nextByte(cursor);
    if (shift < 32) value |= (byte & 127) << shift;
    if (byte < 128) return value >>> 0;
  }
  return malformed("a number of more than ten bytes");
}

/** A varint of at most ten bytes, of which the low 64 bits count. */
function readUint64(cursor: Cursor): bigint {
  const first = nextByte(cursor);
  if (first < 128) return BigInt(first);
  // 28 bits each.
  let [low, middle, high] = [first & 127, 0, 0];
  for (let i = 1; i < 10; i++) {
    const byte = nextByte(cursor);
    if (i < 4) low |= (byte & 127) << (7 * i);
    else if (i < 8) middle |= (byte & 127) << (7 * (i - 4));
    else high |= (byte & 127) << (7 * (i - 8));
    if (byte < 128) {
      // Seven bytes hold 49 bits, which a number holds exactly.
      if (i < 7) return BigInt(low + middle * 2 ** 28);
      return BigInt(low) | (BigInt(middle) << 28n) | (BigInt(high & 255) << 56n);
    }
  }
  return malformed("a number of more than ten bytes");
}

function nextByte(cursor: Cursor): number {
  if (cursor.at >= cursor.bytes.length) malformed("ends inside a value");
  return cursor.bytes[cursor.at++] as number;
}

function advance(cursor: Cursor, length: number): void {
  cursor.at += length;
  if (cursor.at > cursor.bytes.length) malformed("ends inside a value");
}

function malformed(why: string): never {
  throw new CausewayError("MALFORMED", why);
}
