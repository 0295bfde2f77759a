/** Dotted paths to the fields of a message, and the forms in which one value of a field is written as text. */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";

/** A JSON value; objects are those of messages. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [name: string]: Json;
}

/** The field of a message by its name in the `.proto` file or in JSON. */
export function fieldNamed(message: DescMessage, name: string): DescField | undefined {
  return message.fields.find((field) => field.name === name || field.jsonName === name);
}

/** The fields that a dotted path leads through, the last one its target; `undefined` for a path that leads nowhere. */
export function resolveFieldPath(
  message: DescMessage,
  path: string,
): readonly DescField[] | undefined {
  const fields: DescField[] = [];
  let inside: DescMessage | undefined = message;
  for (const name of path.split(".")) {
    const field: DescField | undefined = inside && fieldNamed(inside, name);
    if (field === undefined) return undefined;
    fields.push(field);
    inside = field.fieldKind === "message" && !isTextual(field.message) ? field.message : undefined;
  }
  return fields;
}

const textual: ReadonlySet<string> = new Set(
  [
    "Timestamp",
    "Duration",
    "FieldMask",
    "BoolValue",
    "BytesValue",
    "DoubleValue",
    "FloatValue",
    "Int32Value",
    "Int64Value",
    "StringValue",
    "UInt32Value",
    "UInt64Value",
  ].map((name) => `google.protobuf.${name}`),
);

/** Whether the JSON form of a message is one text, number or truth value. */
export function isTextual(message: DescMessage): boolean {
  return textual.has(message.typeName);
}

/** Whether one value of the field can stand in a path or query. */
export function isSimple(field: DescField): boolean {
  if (field.fieldKind === "scalar" || field.fieldKind === "enum") return true;
  if (field.fieldKind === "message") return isTextual(field.message);
  return field.fieldKind === "list" && isSimpleList(field);
}

function isSimpleList(field: DescField & { fieldKind: "list" }): boolean {
  return field.listKind !== "message" || isTextual(field.message);
}

function isBool(field: DescField): boolean {
  if (field.fieldKind === "scalar") return field.scalar === ScalarType.BOOL;
  if (field.fieldKind === "list" && field.listKind === "scalar")
    return field.scalar === ScalarType.BOOL;
  return (
    (field.fieldKind === "message" || field.fieldKind === "list") &&
    field.message?.typeName === "google.protobuf.BoolValue"
  );
}

function isEnum(field: DescField): boolean {
  return field.fieldKind === "enum" || (field.fieldKind === "list" && field.listKind === "enum");
}

/** The JSON of one value of a simple field that stands as text in a path or query. */
export function jsonOfText(field: DescField, text: string): Json {
  if (isBool(field)) return text === "true" ? true : text === "false" ? false : text;
  if (isEnum(field) && /^-?\d{1,10}$/.test(text)) return Number(text);
  return text;
}

/** The text of one simple JSON value; `undefined` for null, arrays and objects. */
export function textOfJson(json: Json | undefined): string | undefined {
  if (typeof json === "string") return json;
  return typeof json === "number" || typeof json === "boolean" ? String(json) : undefined;
}

/** The text of a simple field that is not in the JSON: its default where it has no presence. */
export function defaultText(field: DescField): string | undefined {
  if (field.fieldKind === "enum") return field.enum.values[0]?.name;
  if (field.fieldKind !== "scalar") return undefined;
  if (field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES) return "";
  return field.scalar === ScalarType.BOOL ? "false" : "0";
}
