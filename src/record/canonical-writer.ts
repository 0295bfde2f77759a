/** Writes canonical messages, and refuses those that have no canonical encoding. */
import { BackwardWriter } from "../base/backward-writer.ts";
import { compareBytes, utf8 } from "../base/bytes.ts";
import type { Properties } from "../base/create-message.ts";
import { isAbsent } from "../base/zero-value.ts";
import { CausewayError } from "../base/errors.ts";
import { canonicalDepthMax } from "../base/limits.ts";
import { checkCanonical } from "./canonical-check.ts";
import type { FieldPlan, MessagePlan } from "./canonical-plan.ts";
import { alphabetNames, isInteger64, isWellFormed } from "./canonical-text.ts";

const uint64Max = 2n ** 64n - 1n;

// One for every encoding: none waits.
const writer = new BackwardWriter();

/**
 * The canonical encoding of a message. Throws RangeError, naming the field, for a message that has none,
 * and TypeError for a property of the wrong type.
 */
export function writeCanonical(plan: MessagePlan, message: Properties): Uint8Array {
  writer.start();
  writeMessage(plan, message, 1);
  return writer.finish();
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
    else if (!isAbsent(field.kind, value)) writeField(field, value, depth);
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

function writeList(field: FieldPlan, values: readonly unknown[], depth: number): void {
  if (values.length > field.elementsMax) violated(field, "too many elements");
  // Of the element after, which is written before.
  let nextStart = 0;
  let nextEnd = 0;
  for (let i = values.length - 1; i >= 0; i--) {
    const end = writer.length;
    writeContent(field, values[i], depth);
    const start = writer.length;
    if (field.sorted && i < values.length - 1) {
      const next = writer.between(nextEnd, nextStart);
      if (compareBytes(writer.between(end, start), next) >= 0) violated(field, "not ascending");
    }
    nextEnd = end;
    nextStart = start;
    writer.number(start - end);
    writer.number(field.tag);
  }
}

function writeField(field: FieldPlan, value: unknown, depth: number): void {
  switch (field.kind) {
    case "bool":
      if (value !== true) throw new TypeError(`${field.name}: not a boolean`);
      writer.number(1);
      break;
    case "enum":
      if (!field.numbers.has(value as number)) violated(field, "not a number of its enum");
      writer.number(value as number);
      break;
    case "uint32":
      if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > 0xffffffff) {
        violated(field, "not an unsigned 32-bit integer");
      }
      writer.number(value as number);
      break;
    case "uint64":
      if (typeof value !== "bigint") throw new TypeError(`${field.name}: not a bigint`);
      if (value < 0n || value > uint64Max) violated(field, "not an unsigned 64-bit integer");
      writer.bigint(value);
      break;
    default: {
      const end = writer.length;
      writeContent(field, value, depth);
      writer.number(writer.length - end);
    }
  }
  writer.number(field.tag);
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
    writer.bytes(value);
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
    writer.bytes(bytes);
    return;
  }
  if (text.length > field.bytesMax) violated(field, "too long");
  if (field.alphabet === "integer" && !isInteger64(text)) violated(field, alphabetNames.integer);
  if (!writer.codes(text, 0x21, 0x7e)) violated(field, alphabetNames.printable);
}
