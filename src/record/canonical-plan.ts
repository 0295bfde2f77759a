/** What the canonical codec must know of a message, worked out once from its descriptor. */
import type {
  DescEnum,
  DescField,
  DescFile,
  DescMessage,
  DescOneof,
  Message,
} from "@bufbuild/protobuf";
import { getOption, ScalarType } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { creatorOf, type Properties } from "../base/create-message.ts";
import { one_required, type Rule, rule } from "../gen/causeway/canonical/v1/rule_pb.ts";

/** The kinds of value that canonical messages are made of. */
export type ValueKind = "uint32" | "uint64" | "bool" | "enum" | "string" | "bytes" | "message";

/** What a string may hold: 0x21 to 0x7E, any well-formed Unicode, or a signed 64-bit integer. */
export type Alphabet = "printable" | "unicode" | "integer";

export interface FieldPlan {
  /** Full name, for messages of errors. */
  readonly name: string;
  /** Property of the generated message; of a member of a oneof, its case. */
  readonly property: string;
  /** Property of the oneof that the field belongs to. */
  readonly oneof: string | undefined;
  /** The bit of that oneof in its message; 0 for a field of none. */
  readonly oneofBit: number;
  /** Field number and wire type as they stand on the wire. */
  readonly tag: number;
  readonly kind: ValueKind;
  readonly repeated: boolean;
  /** Elements ascend by their encoded bytes, without duplicates. */
  readonly sorted: boolean;
  /** Absence is refused: it would be a missing message, an enum 0, or bytes of a wrong form. */
  readonly required: boolean;
  /** Largest number of elements of a repeated field. */
  readonly elementsMax: number;
  /** Smallest and largest number of bytes of a string or bytes value that is present. */
  readonly bytesMin: number;
  readonly bytesMax: number;
  readonly alphabet: Alphabet;
  /** Known numbers of an enum, without 0. */
  readonly numbers: ReadonlySet<number>;
  /** Of a message field, its type; of a bytes field, the type that the bytes encode. */
  readonly inner: MessagePlan | undefined;
}

export interface OneofPlan {
  readonly name: string;
  readonly property: string;
  readonly cases: ReadonlySet<string>;
  readonly required: boolean;
  /** One bit of its own in each message type. */
  readonly bit: number;
}

export interface MessagePlan {
  readonly typeName: string;
  /** Ascending by number. */
  readonly fields: readonly FieldPlan[];
  /** The tag of each of `fields`. */
  readonly tags: readonly number[];
  readonly oneofs: readonly OneofPlan[];
  /** Bits of the oneofs that must have a member. */
  readonly requiredOneofBits: number;
  /**
   * At i, the index of the first required field that is not before i; the number of fields when there
   * is none.
   */
  readonly nextRequired: readonly number[];
  /** A message of this type without any field. */
  zero(): Message & Properties;
}

const implicit = FeatureSet_FieldPresence.IMPLICIT;
const varint = 0;
const delimited = 2;
/** What stands for no bound: no list or value comes near it, and it is a small integer like every bound. */
const unbounded = 0x7fff_ffff;
/** Oneofs of one message type: each has a bit of a small integer. */
const oneofsMax = 30;
const noNumbers: ReadonlySet<number> = new Set();
const plans = new WeakMap<DescMessage, MessagePlan>();

/**
 * The plan of a message type. Throws TypeError for a type that cannot be canonical: RECORDS names the
 * kinds of field that can.
 */
export function planOf(desc: DescMessage): MessagePlan {
  return plans.get(desc) ?? compile(desc);
}

function compile(desc: DescMessage): MessagePlan {
  if (desc.oneofs.length > oneofsMax) throw new TypeError(`${desc.typeName}: too many oneofs`);
  const fields: FieldPlan[] = [];
  const tags: number[] = [];
  const nextRequired: number[] = [];
  const zero = creatorOf(desc) as MessagePlan["zero"];
  const oneofs = desc.oneofs.map(compileOneof);
  const requiredOneofBits = oneofs.reduce((bits, it) => (it.required ? bits | it.bit : bits), 0);
  const { typeName } = desc;
  const plan = { typeName, fields, tags, oneofs, requiredOneofBits, nextRequired, zero };
  // Known before its fields are compiled: a record may hold the encoding of a record.
  plans.set(desc, plan);
  try {
    const ascending = [...desc.fields].sort((a, b) => a.number - b.number);
    for (const field of ascending) fields.push(compileField(field));
    for (const { tag } of fields) tags.push(tag);
  } catch (error) {
    plans.delete(desc);
    throw error;
  }
  let next = fields.length;
  for (let i = fields.length; i >= 0; i--) {
    if (fields[i]?.required === true) next = i;
    nextRequired[i] = next;
  }
  return plan;
}

function compileOneof(oneof: DescOneof, at: number): OneofPlan {
  return {
    name: `${oneof.parent.typeName}.${oneof.name}`,
    property: oneof.localName,
    cases: new Set(oneof.fields.map((field) => field.localName)),
    required: getOption(oneof, one_required),
    bit: 1 << at,
  };
}

function compileField(field: DescField): FieldPlan {
  const rules = getOption(field, rule);
  const kind = kindOf(field);
  const repeated = field.fieldKind === "list";
  if (repeated && wireTypeOf(kind) === varint) refuse(field, "a repeated number would be packed");
  if (field.oneof !== undefined && kind !== "message")
    refuse(field, "a oneof of other than messages");
  if (field.presence !== implicit && kind !== "message") refuse(field, "explicit presence");
  const inner = innerOf(field, rules);
  const fixed = rules.length > 0;
  const exact = fixed || rules.encodes !== "";
  return {
    name: `${field.parent.typeName}.${field.name}`,
    property: field.localName,
    oneof: field.oneof?.localName,
    oneofBit: field.oneof === undefined ? 0 : 1 << field.parent.oneofs.indexOf(field.oneof),
    tag: field.number * 8 + wireTypeOf(kind),
    kind,
    repeated,
    sorted: rules.sorted,
    required: !repeated && (rules.required || kind === "enum" || (exact && !rules.mayBeAbsent)),
    elementsMax: repeated && rules.max > 0 ? rules.max : unbounded,
    bytesMin: rules.length,
    bytesMax: fixed ? rules.length : !repeated && rules.max > 0 ? rules.max : unbounded,
    alphabet: rules.integer ? "integer" : rules.unicode ? "unicode" : "printable",
    numbers: field.enum === undefined ? noNumbers : numbersOf(field.enum),
    inner,
  };
}

function refuse(field: DescField, why: string): never {
  throw new TypeError(`${field.parent.typeName}.${field.name}: not a canonical field, ${why}`);
}

function kindOf(field: DescField): ValueKind {
  if (field.fieldKind === "map") refuse(field, "a map");
  if (field.message !== undefined) {
    return field.delimitedEncoding ? refuse(field, "a group") : "message";
  }
  if (field.enum !== undefined) return "enum";
  switch (field.scalar) {
    case ScalarType.UINT32:
      return "uint32";
    case ScalarType.UINT64:
      return field.longAsString ? refuse(field, "a 64-bit number as a string") : "uint64";
    case ScalarType.BOOL:
      return "bool";
    case ScalarType.STRING:
      return "string";
    case ScalarType.BYTES:
      return "bytes";
    default:
      return refuse(field, "a signed, fixed or floating number");
  }
}

function wireTypeOf(kind: ValueKind): number {
  return kind === "string" || kind === "bytes" || kind === "message" ? delimited : varint;
}

function numbersOf(desc: DescEnum): ReadonlySet<number> {
  return new Set(desc.values.map((value) => value.number).filter((number) => number !== 0));
}

function innerOf(field: DescField, rules: Rule): MessagePlan | undefined {
  if (field.message !== undefined) return planOf(field.message);
  if (rules.encodes === "") return undefined;
  const desc = findMessage(field.parent.file, rules.encodes);
  return desc === undefined ? refuse(field, `${rules.encodes} is unknown`) : planOf(desc);
}

function findMessage(file: DescFile, typeName: string): DescMessage | undefined {
  const own = file.messages.find((message) => message.typeName === typeName);
  if (own !== undefined) return own;
  for (const dependency of file.dependencies) {
    const found = findMessage(dependency, typeName);
    if (found !== undefined) return found;
  }
  return undefined;
}
