/** What a mask lets through of a message type, worked out from its descriptor. */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { wireTypes } from "./wire-fields.ts";

/** Of one message type, under one place of the mask. */
export interface MessagePlan {
  /** By field number: what passes, and what would clear it as a member of the same oneof. */
  readonly fields: ReadonlyMap<number, FieldPlan>;
}

/** What a decoder takes of a varint: whether it is 0, its low 32 bits, or all. */
export type VarintRange = "boolean" | "signed32" | "unsigned32" | "whole";

export interface FieldPlan {
  readonly number: number;
  /** Wire type of one value. */
  readonly wire: number;
  readonly range: VarintRange;
  /** A list of numbers, which may stand packed too. */
  readonly packable: boolean;
  /** The place for one value that the field has, its oneof's if it is in one. Absent for lists and maps. */
  readonly slot: object | undefined;
  readonly passes: boolean;
  /** The values of a closed enum: others are unknown fields. */
  readonly known: ReadonlySet<number> | undefined;
  /** Of a message, a group or the entry of a map; resolved late, for types that hold themselves. */
  readonly message: (() => MessagePlan) | undefined;
}

/** Paths as a tree of field names; a leaf passes whole. */
export type PathTree = ReadonlyMap<string, PathTree>;

/** The one type whose content no descriptor tells. */
export const anyTypeName: string = "google.protobuf.Any";

/** The tree of dotted paths. A path above another one takes its place. */
export function createPathTree(paths: readonly string[]): PathTree {
  type Tree = Map<string, Tree>;
  const root: Tree = new Map();
  for (const path of [...paths].sort((a, b) => b.length - a.length)) {
    let at = root;
    const names = path.split(".");
    for (const [i, name] of names.entries()) {
      const below: Tree = (i < names.length - 1 ? at.get(name) : undefined) ?? new Map();
      at.set(name, below);
      at = below;
    }
  }
  return root;
}

/** What `tree` lets through of `type`. A name that the type lacks lets nothing through. */
export function planMessage(type: DescMessage, tree: PathTree): MessagePlan {
  return new Planner().within(type, tree);
}

class Planner {
  readonly #whole: Map<string, MessagePlan> = new Map();

  within(type: DescMessage, tree: PathTree): MessagePlan {
    if (type.typeName === anyTypeName) return { fields: new Map() };
    return planOf(type, (field) => {
      const below = tree.get(field.name);
      if (below === undefined) return undefined;
      const { message } = field;
      if (below.size === 0) {
        // Its exact path is allowed: an Any passes with whatever it holds.
        return message?.typeName === anyTypeName
          ? once(() => this.#any(message))
          : this.#below(field);
      }
      if (message === undefined || message.typeName === anyTypeName) return undefined;
      return once(() => this.within(message, below));
    });
  }

  /** Every field that the descriptor has, at every depth, but no Any. */
  #all(type: DescMessage): MessagePlan {
    const known = this.#whole.get(type.typeName);
    if (known !== undefined) return known;
    const plan = planOf(type, (field) => this.#below(field));
    this.#whole.set(type.typeName, plan);
    return plan;
  }

  #below(field: DescField): FieldContent {
    const { message } = field;
    if (message === undefined) return "value";
    if (message.typeName === anyTypeName) return undefined;
    return once(() => this.#all(message));
  }

  #any(type: DescMessage): MessagePlan {
    return planOf(type, () => "value");
  }
}

/** What passes of a field: nothing, its values, or this of its messages. */
type FieldContent = undefined | "value" | (() => MessagePlan);

function planOf(type: DescMessage, contentOf: (field: DescField) => FieldContent): MessagePlan {
  const contents = new Map(type.fields.map((field) => [field, contentOf(field)]));
  const fields = new Map<number, FieldPlan>();
  for (const [field, content] of contents) {
    const clears = field.oneof?.fields.some((member) => contents.get(member) !== undefined);
    if (content !== undefined || clears === true)
      fields.set(field.number, planField(field, content));
  }
  return { fields };
}

function planField(field: DescField, content: FieldContent): FieldPlan {
  const { number } = field;
  const below = typeof content === "function" ? content : undefined;
  if (field.fieldKind === "map") {
    const message = once(() => planEntry(field, below));
    const wire = wireTypes.bytes;
    const passes = content !== undefined;
    const range = "whole";
    const entry = { number, wire, range, packable: false, slot: undefined } as const;
    return { ...entry, passes, known: undefined, message };
  }
  const wire = wireOf(field);
  const isList = field.fieldKind === "list";
  return {
    number,
    wire,
    range: rangeOf(field.scalar, field.enum !== undefined),
    packable: isList && field.message === undefined && wire !== wireTypes.bytes,
    slot: isList ? undefined : (field.oneof ?? field),
    passes: content !== undefined,
    known: closedValues(field),
    message: below,
  };
}

/** An entry of a map is a message of its own: the key is field 1, the value field 2. */
function planEntry(
  field: DescField & { readonly fieldKind: "map" },
  below: (() => MessagePlan) | undefined,
): MessagePlan {
  const entry = { packable: false, passes: true, known: undefined };
  const valueWire =
    field.mapKind === "scalar"
      ? wireOfScalar(field.scalar)
      : field.mapKind === "enum"
        ? wireTypes.varint
        : wireTypes.bytes;
  const key = {
    number: 1,
    wire: wireOfScalar(field.mapKey),
    range: rangeOf(field.mapKey, false),
    slot: {},
    message: undefined,
  };
  const range = rangeOf(field.scalar, field.mapKind === "enum");
  const value = { number: 2, wire: valueWire, range, slot: {}, message: below };
  return {
    fields: new Map([
      [1, { ...entry, ...key }],
      [2, { ...entry, ...value }],
    ]),
  };
}

function wireOf(field: DescField): number {
  if (field.message !== undefined) {
    const isGroup = "delimitedEncoding" in field && field.delimitedEncoding;
    return isGroup ? wireTypes.group : wireTypes.bytes;
  }
  return field.enum !== undefined ? wireTypes.varint : wireOfScalar(field.scalar as ScalarType);
}

function wireOfScalar(scalar: ScalarType): number {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return wireTypes.bytes;
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return wireTypes.fixed64;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      return wireTypes.fixed32;
    default:
      return wireTypes.varint;
  }
}

function rangeOf(scalar: ScalarType | undefined, isEnum: boolean): VarintRange {
  if (isEnum || scalar === ScalarType.INT32) return "signed32";
  if (scalar === ScalarType.UINT32 || scalar === ScalarType.SINT32) return "unsigned32";
  return scalar === ScalarType.BOOL ? "boolean" : "whole";
}

function closedValues(field: DescField): ReadonlySet<number> | undefined {
  if (field.enum === undefined || field.enum.open) return undefined;
  return new Set(field.enum.values.map(({ number }) => number));
}

function once<V>(compute: () => V): () => V {
  let value: V | undefined;
  return () => (value ??= compute());
}
