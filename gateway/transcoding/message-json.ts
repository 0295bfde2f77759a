/** Messages in the JSON mapping of protobuf, under a service's own types. */
import {
  type DescField,
  type DescMessage,
  fromBinary,
  fromJsonString,
  type Message,
  type Registry,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { CausewayError } from "../../src/base/errors.ts";
import type { Json, JsonObject } from "./field-path.ts";

/** Which of its two names a field has in the JSON that is written; both are read. */
export type FieldNames = "json" | "proto";

export interface JsonStyle {
  readonly registry: Registry;
  readonly names: FieldNames;
}

/** The JSON of an encoded message. Throws MALFORMED for bytes that are no such message. */
export function jsonOfMessage(
  desc: DescMessage,
  bytes: Uint8Array,
  { registry, names }: JsonStyle,
): Json {
  try {
    const message: Message = fromBinary(desc, bytes);
    return toJson(desc, message, { registry, useProtoFieldName: names === "proto" }) as Json;
  } catch (cause) {
    throw malformed(`the message is no ${desc.typeName}`, cause);
  }
}

/** The JSON of one field in that of its message; its empty form when it is not set. */
export function jsonOfField(field: DescField, message: Json, names: FieldNames): Json {
  const value = (message as JsonObject)[nameOf(field, names)];
  if (value !== undefined) return value;
  if (field.fieldKind === "list") return [];
  return field.fieldKind === "map" ? {} : null;
}

export function nameOf(field: DescField, names: FieldNames): string {
  return names === "proto" ? field.name : field.jsonName;
}

/**
 * An encoded message from the text of its JSON. What a text holds twice is refused.
 *
 * @param unknown what becomes of fields that the message does not have.
 * @throws CausewayError `MALFORMED`, which names no value of the text.
 */
export function messageOfJson(
  desc: DescMessage,
  text: string,
  options: { readonly registry: Registry; readonly unknown: "refused" | "ignored" },
): Uint8Array {
  try {
    const ignoreUnknownFields = options.unknown === "ignored";
    const { registry } = options;
    return toBinary(desc, fromJsonString(desc, text, { registry, ignoreUnknownFields }));
  } catch (cause) {
    throw malformed(`the JSON is no ${desc.typeName}`, cause);
  }
}

/** The text of a JSON object with one member, whose value is the whole of `text`. Throws MALFORMED. */
export function wrapped(field: DescField, text: string): string {
  // Only what is one JSON value by itself stays inside the member.
  try {
    JSON.parse(text);
  } catch (cause) {
    throw malformed("the text is no JSON", cause);
  }
  return `{${JSON.stringify(field.jsonName)}:${text}}`;
}

/** @param field of a caller's request, as the caller named it. */
export function malformed(what: string, cause?: unknown, field?: string): CausewayError {
  return new CausewayError("MALFORMED", what, {
    cause,
    ...(field === undefined ? {} : { fields: { field } }),
  });
}
