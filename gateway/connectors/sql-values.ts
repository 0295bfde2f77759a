/** Fields of a request as parameters of a query, and columns of a row as fields of an answer. */
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { FeatureSet_FieldPresence } from "@bufbuild/protobuf/wkt";
import { isTextual, type Json, type JsonObject } from "../transcoding/field-path.ts";
import type { SqlDatabase, SqlValue } from "./sql-database.ts";

const wrapper = /^google\.protobuf\.(?:Bool|Bytes|Double|Float|U?Int(?:32|64)|String)Value$/;

const wholeTypes: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT32,
  ScalarType.INT64,
  ScalarType.UINT32,
  ScalarType.UINT64,
  ScalarType.SINT32,
  ScalarType.SINT64,
  ScalarType.FIXED32,
  ScalarType.FIXED64,
  ScalarType.SFIXED32,
  ScalarType.SFIXED64,
]);

/** What one value of a field is, whether it stands alone or in a list. */
type Element =
  | { readonly kind: "scalar"; readonly scalar: ScalarType }
  | { readonly kind: "enum" }
  | { readonly kind: "time" }
  | { readonly kind: "text" }
  | { readonly kind: "json" };

function elementOf(field: DescField): Element {
  if (field.enum !== undefined) return { kind: "enum" };
  if (field.message !== undefined) return elementOfMessage(field.message);
  return { kind: "scalar", scalar: field.scalar as ScalarType };
}

function elementOfMessage(message: DescMessage): Element {
  const { typeName } = message;
  if (wrapper.test(typeName)) {
    const [value] = message.fields;
    return { kind: "scalar", scalar: value?.scalar as ScalarType };
  }
  if (typeName === "google.protobuf.Timestamp") return { kind: "time" };
  return isTextual(message) ? { kind: "text" } : { kind: "json" };
}

const defaults = (element: Element, field: DescField): Json => {
  if (element.kind === "enum") return field.enum?.values[0]?.name ?? "";
  if (element.kind !== "scalar") return null;
  if (element.scalar === ScalarType.BOOL) return false;
  return element.scalar === ScalarType.STRING || element.scalar === ScalarType.BYTES ? "" : 0;
};

/** The parameter that a field is, from the JSON of its request. What has presence and is absent is null. */
export function parameterOf(request: JsonObject, path: readonly DescField[]): SqlValue {
  let json: Json | undefined = request;
  for (const field of path) json = (json as JsonObject | undefined)?.[field.jsonName];
  const field = path.at(-1) as DescField;
  const element = elementOf(field);
  if (field.fieldKind === "list") {
    return ((json ?? []) as readonly Json[]).map((one) => parameterOfJson(element, one));
  }
  if (field.fieldKind === "map") return JSON.stringify(json ?? {});
  if (json !== undefined) return parameterOfJson(element, json);
  if (field.presence !== FeatureSet_FieldPresence.IMPLICIT) return null;
  return parameterOfJson(element, defaults(element, field));
}

function parameterOfJson(element: Element, json: Json): SqlValue {
  if (element.kind === "json") return JSON.stringify(json);
  if (element.kind !== "scalar") return json as string;
  if (wholeTypes.has(element.scalar)) return BigInt(json as string | number);
  if (element.scalar === ScalarType.BYTES)
    return new Uint8Array(Buffer.from(json as string, "base64"));
  if (element.scalar === ScalarType.BOOL || element.scalar === ScalarType.STRING) {
    return json as boolean | string;
  }
  return Number(json);
}

/**
 * The JSON of a field from a column; `undefined` for NULL. What is of another type comes out as JSON that
 * is not the field's, or as `mismatch`.
 */
export function jsonOfColumn(
  field: DescField,
  value: SqlValue,
  elementsOf: SqlDatabase["elementsOf"],
): Json | undefined | typeof mismatch {
  if (value === null) return undefined;
  const element = elementOf(field);
  if (field.fieldKind === "map") return jsonOfElement({ kind: "json" }, value);
  if (field.fieldKind !== "list") return jsonOfElement(element, value);
  const items = Array.isArray(value)
    ? (value as readonly SqlValue[])
    : typeof value === "string"
      ? elementsOf(value)
      : undefined;
  if (items === undefined) return mismatch;
  const converted = items.map((item) => (item === null ? mismatch : jsonOfElement(element, item)));
  return converted.includes(mismatch) ? mismatch : (converted as readonly Json[]);
}

/** The column does not hold what the field does. */
export const mismatch: unique symbol = Symbol("mismatch");

function jsonOfElement(element: Element, value: SqlValue): Json | typeof mismatch {
  switch (element.kind) {
    case "enum":
      return typeof value === "bigint"
        ? Number(value)
        : typeof value === "string"
          ? value
          : mismatch;
    case "time":
      return timestampOf(value);
    case "text":
      return typeof value === "string" ? value : mismatch;
    case "json":
      return typeof value === "string" ? parsed(value) : mismatch;
    case "scalar":
      return jsonOfScalar(element.scalar, value);
  }
}

function jsonOfScalar(scalar: ScalarType, value: SqlValue): Json | typeof mismatch {
  if (scalar === ScalarType.BYTES) {
    return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : mismatch;
  }
  if (scalar === ScalarType.BOOL) {
    if (typeof value === "boolean") return value;
    return value === 0n || value === 1n ? value === 1n : mismatch;
  }
  if (scalar === ScalarType.STRING) return typeof value === "string" ? value : mismatch;
  if (typeof value === "bigint" || typeof value === "string") return String(value);
  if (typeof value !== "number") return mismatch;
  return Number.isFinite(value) ? value : String(value);
}

function parsed(text: string): Json | typeof mismatch {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return mismatch;
  }
}

const timestamp =
  /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?) ?(Z|[+-]\d\d(?::?\d\d)?)?)?$/i;

/** ISO 8601 as the databases write it, UTC where it names no zone; or whole Unix seconds. */
function timestampOf(value: SqlValue): string | typeof mismatch {
  if (typeof value === "bigint") {
    const date = new Date(Number(value) * 1000);
    return Number.isNaN(date.getTime()) ? mismatch : date.toISOString();
  }
  const match = typeof value === "string" ? timestamp.exec(value) : null;
  if (match === null) return mismatch;
  const [, day = "", time = "00:00:00", zone = "Z"] = match;
  const seconds = time.length === 5 ? `${time}:00` : time;
  const [, sign = "+", hours = "00", minutes = "00"] = /^([+-])(\d\d):?(\d\d)?$/.exec(zone) ?? [];
  return `${day}T${seconds}${/^z$/i.test(zone) ? "Z" : `${sign}${hours}:${minutes}`}`;
}
