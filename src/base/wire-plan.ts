/** What the codec of protobuf's binary form must know of a message, worked out once from its descriptor. */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { type Creator, creatorOf, isPlain } from "./create-message.ts";

/** The kinds of value that are read and written here; an enum is an `int32`. */
export type WireKind = "int32" | "uint32" | "uint64" | "bool" | "string" | "bytes" | "message";

export interface WireField {
  /** Full name, for messages of errors. */
  readonly name: string;
  /** Property of the generated message; of a member of a oneof, its case. */
  readonly property: string;
  /** Property of the oneof that the field belongs to. */
  readonly oneof: string | undefined;
  /** Field number and wire type as they are written. */
  readonly tag: number;
  readonly kind: WireKind;
  readonly repeated: boolean;
  /** Written as one value of all elements. */
  readonly packed: boolean;
  /** Absent as `undefined`, and not as its zero value. */
  readonly optional: boolean;
  /** The type of a message. */
  readonly inner: WirePlan | undefined;
}

/** A field, or the fields of a oneof between which no other stands. */
export interface WireStep {
  /** Property of the message. */
  readonly property: string;
  readonly field: WireField | undefined;
  readonly cases: ReadonlyMap<string, WireField>;
}

export interface WirePlan {
  readonly typeName: string;
  /** Ascending by number. */
  readonly steps: readonly WireStep[];
  /** Each field at its number. */
  readonly fields: readonly (WireField | undefined)[];
  readonly create: Creator;
}

/** Field numbers are indexes up to here. */
const numberMax = 1000;
const varint = 0;
const delimited = 2;
const noCases: ReadonlyMap<string, WireField> = new Map();
const plans = new WeakMap<DescMessage, WirePlan | undefined>();

/**
 * The plan of a message type; `undefined` for one that has, at any depth, what is left to protobuf-es:
 * maps, groups, proto2, and the kinds of number that no hot message has.
 */
export function wirePlanOf(desc: DescMessage): WirePlan | undefined {
  const known = plans.get(desc);
  if (known !== undefined || plans.has(desc)) return known;
  if (isPlanned(desc, new Set())) return compile(desc);
  plans.set(desc, undefined);
  return undefined;
}

function isPlanned(desc: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(desc)) return true;
  seen.add(desc);
  return isPlain(desc) && desc.fields.every((field) => isPlannedField(field, seen));
}

function isPlannedField(field: DescField, seen: Set<DescMessage>): boolean {
  if (field.number > numberMax) return false;
  if (field.message !== undefined) {
    return !field.delimitedEncoding && isPlanned(field.message, seen);
  }
  if (field.enum !== undefined) return field.enum.open;
  return kindOf(field) !== undefined;
}

function compile(desc: DescMessage): WirePlan {
  const steps: WireStep[] = [];
  const fields: (WireField | undefined)[] = [];
  const plan: WirePlan = { typeName: desc.typeName, steps, fields, create: creatorOf(desc) };
  // Known before its fields are: a message may hold one of its own type.
  plans.set(desc, plan);
  for (const described of [...desc.fields].sort((a, b) => a.number - b.number)) {
    const field = compileField(described);
    while (fields.length < described.number) fields.push(undefined);
    fields.push(field);
    addStep(steps, field);
  }
  return plan;
}

function addStep(steps: WireStep[], field: WireField): void {
  const { oneof } = field;
  if (oneof === undefined) {
    steps.push({ property: field.property, field, cases: noCases });
    return;
  }
  const last = steps.at(-1);
  if (last === undefined || last.field !== undefined || last.property !== oneof) {
    steps.push({ property: oneof, field: undefined, cases: new Map([[field.property, field]]) });
  } else {
    (last.cases as Map<string, WireField>).set(field.property, field);
  }
}

function compileField(field: DescField): WireField {
  const kind = kindOf(field) as WireKind;
  const packed = field.fieldKind === "list" && field.packed;
  const isDelimited = packed || kind === "string" || kind === "bytes" || kind === "message";
  return {
    name: `${field.parent.typeName}.${field.name}`,
    property: field.localName,
    oneof: field.oneof?.localName,
    tag: field.number * 8 + (isDelimited ? delimited : varint),
    kind,
    repeated: field.fieldKind === "list",
    packed,
    optional: kind === "message" || field.proto.proto3Optional,
    inner:
      field.message === undefined
        ? undefined
        : (plans.get(field.message) ?? compile(field.message)),
  };
}

function kindOf(field: DescField): WireKind | undefined {
  if (field.message !== undefined) return "message";
  if (field.enum !== undefined) return "int32";
  switch (field.scalar) {
    case ScalarType.INT32:
      return "int32";
    case ScalarType.UINT32:
      return "uint32";
    case ScalarType.UINT64:
      return field.fieldKind !== "map" && field.longAsString ? undefined : "uint64";
    case ScalarType.BOOL:
      return "bool";
    case ScalarType.STRING:
      return field.utf8Validation ? "string" : undefined;
    case ScalarType.BYTES:
      return "bytes";
    default:
      return undefined;
  }
}
