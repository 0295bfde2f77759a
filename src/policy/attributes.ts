/** Typed attribute values: as they stand in a record, and as a policy reads them. */
import { compareBytes, compareText, equalBytes } from "../base/bytes.ts";
import { createMessage } from "../base/create-message.ts";
import { CausewayError } from "../base/errors.ts";
import { decodeMessage } from "../base/wire-reader.ts";
import { encodeMessage } from "../base/wire-writer.ts";
import type { ServiceAttribute } from "../credential/statements.ts";
import {
  AttributeSource,
  type AttributeValue,
  AttributeValueSchema,
  type PersonalAttribute,
  PersonalAttributeSchema,
  type PublicAttribute,
  PublicAttributeSchema,
} from "../gen/causeway/record/v1/parts_pb.ts";

/** An attribute's value as the code handles it: an integer is a bigint, a set is a list of texts. */
export type AttributeDatum = boolean | bigint | string | readonly string[];

/** An attribute's value in the context of a policy request. */
export type ContextValue = boolean | number | string | readonly string[];

/** One attribute of a call. Whether it is personal, its type and its source stand in the service statement. */
export interface GivenAttribute {
  readonly name: string;
  readonly value: AttributeValue;
  /** Commitment to `encodeAttributeValue(value)` under the label `attribute/<name>`; a personal attribute needs one. */
  readonly commitment?: Uint8Array;
}

/** An attribute whose value may be known only by its commitment. */
export interface AttributeInput extends Omit<GivenAttribute, "value"> {
  readonly value?: AttributeValue;
}

/** What the attributes of a call contribute to its record and to the policy's context. */
export interface AttributeFacts {
  readonly publicAttributes: readonly PublicAttribute[];
  readonly personalAttributes: readonly PersonalAttribute[];
  /** Ascending by name. `undefined` when a value cannot be shown to the policy engine without loss. */
  readonly context: Readonly<Record<string, ContextValue>> | undefined;
  /** Names of the attributes whose value is not at hand. */
  readonly sealed: readonly string[];
}

const integerPattern = /^(?:0|-?[1-9][0-9]*)$/;
const int64Min = -(1n << 63n);
const int64Max = (1n << 63n) - 1n;

const sources: Readonly<Record<ServiceAttribute["source"], AttributeSource>> = {
  token: AttributeSource.TOKEN,
  request: AttributeSource.REQUEST,
  provider: AttributeSource.PROVIDER,
};

const loneSurrogate = /\p{Surrogate}/u;

function assertWellFormed(text: string): string {
  if (loneSurrogate.test(text)) throw new RangeError("an attribute's text has a lone surrogate");
  return text;
}

/**
 * The recorded form of a value; a set is sorted by bytes and holds each text once.
 * Throws a RangeError for a text with a lone surrogate or an integer outside of 64 bits.
 */
export function createAttributeValue(datum: AttributeDatum): AttributeValue {
  if (typeof datum === "boolean") {
    return createMessage(AttributeValueSchema, {
      value: { case: "boolean", value: { value: datum } },
    });
  }
  if (typeof datum === "bigint") {
    if (datum < int64Min || datum > int64Max) throw new RangeError("not a 64-bit integer");
    const decimal = datum.toString();
    return createMessage(AttributeValueSchema, { value: { case: "integer", value: { decimal } } });
  }
  if (typeof datum === "string") {
    const text = assertWellFormed(datum);
    return createMessage(AttributeValueSchema, { value: { case: "text", value: { text } } });
  }
  const texts = [...new Set(datum.map(assertWellFormed))].sort(compareText);
  return createMessage(AttributeValueSchema, { value: { case: "textSet", value: { texts } } });
}

/** The value of a recorded attribute. Throws NOT_CANONICAL when the record holds none or a malformed one. */
export function readAttributeValue(recorded: AttributeValue): AttributeDatum {
  const { value } = recorded;
  switch (value.case) {
    case "boolean":
      return value.value.value;
    case "integer": {
      const { decimal } = value.value;
      if (!integerPattern.test(decimal) || decimal.length > 20) break;
      const integer = BigInt(decimal);
      if (integer >= int64Min && integer <= int64Max) return integer;
      break;
    }
    case "text":
      return value.value.text;
    case "textSet":
      return value.value.texts;
    case undefined:
      break;
  }
  throw new CausewayError("NOT_CANONICAL", "not an attribute value");
}

/** The bytes that the commitment to a personal attribute covers. */
export function encodeAttributeValue(value: AttributeValue): Uint8Array {
  return encodeMessage(AttributeValueSchema, value);
}

/** The value that `bytes` encode. Throws NOT_CANONICAL for any other encoding than `encodeAttributeValue` gives. */
export function decodeAttributeValue(bytes: Uint8Array): AttributeValue {
  let value: AttributeValue;
  try {
    value = createAttributeValue(readAttributeValue(decodeMessage(AttributeValueSchema, bytes)));
  } catch (cause) {
    throw new CausewayError("NOT_CANONICAL", "not an attribute value", { cause });
  }
  if (!equalBytes(encodeAttributeValue(value), bytes)) {
    throw new CausewayError("NOT_CANONICAL", "the attribute value is not canonical");
  }
  return value;
}

/**
 * What a policy reads. The engine takes JSON, in which an integer beyond 2^53-1 loses its low bits:
 * such a value is `undefined`, and its call is denied.
 */
function contextValue(value: AttributeValue): ContextValue | undefined {
  const datum = readAttributeValue(value);
  if (typeof datum !== "bigint") return datum;
  const integer = Number(datum);
  return Number.isSafeInteger(integer) ? integer : undefined;
}

function contextOf(
  attributes: readonly AttributeInput[],
): Readonly<Record<string, ContextValue>> | undefined {
  const entries: [string, ContextValue][] = [];
  for (const { name, value } of attributes) {
    if (value === undefined) continue;
    const shown = contextValue(value);
    if (shown === undefined) return undefined;
    entries.push([name, shown]);
  }
  return Object.fromEntries(entries);
}

/**
 * Splits the attributes of a call as the service statement marks them: public ones stand in the
 * record with their value, personal ones with their commitment.
 * Throws a TypeError when one is not declared, is given twice, or is personal and without commitment.
 */
export function sortAttributes(
  declared: readonly ServiceAttribute[],
  given: readonly AttributeInput[],
): AttributeFacts {
  const inputs = [...given].sort((a, b) => compareText(a.name, b.name));
  const publicAttributes: PublicAttribute[] = [];
  const personalAttributes: PersonalAttribute[] = [];
  for (const [i, { name, value, commitment }] of inputs.entries()) {
    const declaration = declared.find((attribute) => attribute.name === name);
    if (declaration === undefined) throw new TypeError("an attribute that the service lacks");
    if (inputs[i - 1]?.name === name) throw new TypeError("an attribute is given twice");
    const source = sources[declaration.source];
    if (declaration.personal) {
      if (commitment === undefined) throw new TypeError("a personal attribute has no commitment");
      personalAttributes.push(createMessage(PersonalAttributeSchema, { name, source, commitment }));
    } else {
      if (value === undefined) throw new TypeError("a public attribute has no value");
      publicAttributes.push(createMessage(PublicAttributeSchema, { name, source, value }));
    }
  }
  return {
    publicAttributes: sortEncoded(publicAttributes, (a) => encodeMessage(PublicAttributeSchema, a)),
    personalAttributes: sortEncoded(personalAttributes, (a) =>
      encodeMessage(PersonalAttributeSchema, a),
    ),
    context: contextOf(inputs),
    sealed: inputs.filter((input) => input.value === undefined).map((input) => input.name),
  };
}

/** `elements` ascending by their encoded bytes: the order of a sorted field. */
export function sortEncoded<T>(elements: readonly T[], encode: (element: T) => Uint8Array): T[] {
  if (elements.length < 2) return [...elements];
  return elements
    .map((element) => ({ element, bytes: encode(element) }))
    .sort((a, b) => compareBytes(a.bytes, b.bytes))
    .map(({ element }) => element);
}
