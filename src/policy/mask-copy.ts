/**
 * Copies of an encoded message what a mask lets through. Values are copied as they stand, so that
 * nothing is encoded again; tags, lengths and padded numbers get their shortest form, and of a number
 * only the bits pass that a decoder takes: what it leaves out is a place to hide data. Of what only one value can stand for, only the value that a decoder
 * would show is copied, and parts of one submessage are joined as a decoder joins them.
 */
import type { FieldPlan, MessagePlan } from "./mask-plan.ts";
import {
  assertDepth,
  createFieldCursor,
  enumNumber,
  nextField,
  unapplicable,
  varintEnd,
  wireTypes,
} from "./wire-fields.ts";

/** One value of a field that the plan knows, where it was found. */
interface Occurrence {
  readonly field: FieldPlan;
  readonly wire: number;
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly to: number;
}

/** What is written never exceeds what was read, so that a buffer of the message's length is enough. */
interface Output {
  readonly bytes: Uint8Array;
  length: number;
}

/** The masked form of `message`. Throws MASK_UNAPPLICABLE for bytes that are no message. */
export function copyMasked(message: Uint8Array, plan: MessagePlan): Uint8Array {
  const out: Output = { bytes: new Uint8Array(message.length), length: 0 };
  copyMessage(message, 0, message.length, plan, out, 1);
  return out.length === message.length ? out.bytes : out.bytes.slice(0, out.length);
}

function copyMessage(
  bytes: Uint8Array,
  from: number,
  to: number,
  plan: MessagePlan,
  out: Output,
  depth: number,
): void {
  assertDepth(depth);
  const occurrences: Occurrence[] = [];
  const taken = new Set<object>();
  let isContested = false;
  const cursor = createFieldCursor(bytes, from, to);
  while (nextField(cursor, depth)) {
    const field = plan.fields.get(cursor.number);
    if (field === undefined || !isValueOf(field, cursor)) continue;
    occurrences.push({ field, wire: cursor.wire, bytes, from: cursor.from, to: cursor.to });
    if (field.slot === undefined) continue;
    if (taken.has(field.slot)) isContested = true;
    taken.add(field.slot);
  }
  for (const occurrence of isContested ? settled(occurrences) : occurrences) {
    if (occurrence.field.passes) copyField(occurrence, out, depth);
  }
}

/** Whether a decoder takes this for a value of the field, and not for an unknown field. */
function isValueOf(
  field: FieldPlan,
  found: {
    readonly bytes: Uint8Array;
    readonly wire: number;
    readonly from: number;
    readonly to: number;
  },
): boolean {
  const { bytes, wire, from, to } = found;
  if (wire !== field.wire) return field.packable && wire === wireTypes.bytes;
  return field.known === undefined || field.known.has(enumNumber(bytes, from, to));
}

/**
 * Of each place for one value what is left of it: the last value, and of a submessage the parts since
 * another member of its oneof, as one.
 */
function settled(occurrences: readonly Occurrence[]): readonly Occurrence[] {
  interface Holder {
    readonly field: FieldPlan;
    readonly parts: Occurrence[];
    isClosed: boolean;
  }
  const holders = new Map<object, Holder>();
  const left: (Occurrence | Holder)[] = [];
  for (const occurrence of occurrences.toReversed()) {
    const { field } = occurrence;
    const holder = field.slot === undefined ? undefined : holders.get(field.slot);
    if (field.slot === undefined) left.push(occurrence);
    else if (holder === undefined) {
      const first: Holder = { field, parts: [occurrence], isClosed: field.message === undefined };
      holders.set(field.slot, first);
      left.push(first);
    } else if (holder.field !== field) holder.isClosed = true;
    else if (!holder.isClosed) holder.parts.push(occurrence);
  }
  return left.toReversed().map((one) => ("parts" in one ? joined(one.parts.toReversed()) : one));
}

/** Parts of one submessage, in their order, as one. */
function joined(parts: readonly Occurrence[]): Occurrence {
  const [first] = parts as readonly [Occurrence];
  if (parts.length === 1) return first;
  // Not as arguments of one call: an answer may hold more parts than those can be.
  const bytes = new Uint8Array(parts.reduce((sum, { from, to }) => sum + to - from, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part.bytes.subarray(part.from, part.to), at);
    at += part.to - part.from;
  }
  return { field: first.field, wire: first.wire, bytes, from: 0, to: bytes.length };
}

function copyField(found: Occurrence, out: Output, depth: number): void {
  const { field, wire, bytes, from, to } = found;
  const { number, message } = field;
  if (wire === wireTypes.group) {
    writeShort(out, (number << 3) | wireTypes.group);
    if (message !== undefined) copyMessage(bytes, from, to, message(), out, depth + 1);
    writeShort(out, (number << 3) | wireTypes.endGroup);
    return;
  }
  const mark = out.length;
  writeShort(out, (number << 3) | wire);
  if (wire === wireTypes.varint) copyVarint(found, out);
  else if (wire !== wireTypes.bytes) copySpan(bytes, from, to, out);
  else if (message !== undefined) {
    copyWithLength(out, to - from, () => copyMessage(bytes, from, to, message(), out, depth + 1));
  } else if (field.packable) {
    const before = out.length;
    copyWithLength(out, to - from, () => copyPacked(found, out));
    // A list of which nothing is left is none.
    if (out.length === before + 1 && to > from) out.length = mark;
  } else copyWithLength(out, to - from, () => copySpan(bytes, from, to, out));
}

/** Writes the length of what `copy` writes before it. */
function copyWithLength(out: Output, lengthMax: number, copy: () => void): void {
  const at = out.length;
  const reserved = shortBytes(lengthMax);
  out.length = at + reserved;
  copy();
  const start = at + reserved;
  const end = out.length;
  out.length = at;
  writeShort(out, end - start);
  if (out.length < start) out.bytes.copyWithin(out.length, start, end);
  out.length += end - start;
}

function copyPacked(found: Occurrence, out: Output): void {
  const { field, bytes, from, to } = found;
  if (field.wire !== wireTypes.varint) {
    const width = field.wire === wireTypes.fixed64 ? 8 : 4;
    if ((to - from) % width !== 0) throw unapplicable("a packed list is cut off");
    copySpan(bytes, from, to, out);
    return;
  }
  for (let at = from; at < to; ) {
    const end = varintEnd(bytes, at, to);
    if (field.known?.has(enumNumber(bytes, at, end)) !== false) {
      copyVarint({ field, bytes, from: at, to: end }, out);
    }
    at = end;
  }
}

/** Without bytes at its end that add nothing to the number, and without bits that no decoder takes. */
function copyVarint(
  { field: { range }, bytes, from, to }: Omit<Occurrence, "wire">,
  out: Output,
): void {
  if (range === "boolean") {
    const isTrue = bytes.subarray(from, to).some((byte) => byte % 128 !== 0);
    out.bytes[out.length++] = isTrue ? 1 : 0;
    return;
  }
  const isPlain = range === "whole" || (range === "signed32" && isNegative32(bytes, from, to));
  if (!isPlain && to - from >= 5) {
    writeShort(out, enumNumber(bytes, from, to));
    return;
  }
  let end = to;
  while (end > from + 1 && (bytes[end - 1] as number) % 128 === 0) end--;
  copySpan(bytes, from, end, out);
  if (end < to) out.bytes[out.length - 1] = (out.bytes[out.length - 1] as number) & 127;
}

function copySpan(bytes: Uint8Array, from: number, to: number, out: Output): void {
  if (to - from > 32) out.bytes.set(bytes.subarray(from, to), out.length);
  else for (let i = from; i < to; i++) out.bytes[out.length + i - from] = bytes[i] as number;
  out.length += to - from;
}

/** Whether a varint is a negative number of 32 bits as encoders write it, in ten bytes. */
function isNegative32(bytes: Uint8Array, from: number, to: number): boolean {
  return (
    to - from === 10 &&
    (bytes[from + 4] as number) >= 0xf8 &&
    bytes.subarray(from + 5, to - 1).every((byte) => byte === 0xff) &&
    bytes[to - 1] === 1
  );
}

/** A tag, length or other number of 32 bits in its shortest form. */
function writeShort(out: Output, value: number): void {
  let rest = value >>> 0;
  while (rest > 127) {
    out.bytes[out.length++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  out.bytes[out.length++] = rest;
}

function shortBytes(value: number): number {
  let count = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) count++;
  return count;
}
