/** `google.api.HttpBody`: where it stands for the body of a request or an answer, that is its bytes and no JSON. */
import type { DescField, DescMessage, DescMethod } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import type { Json, JsonObject } from "./field-path.ts";
import type { HttpBinding } from "./http-binding.ts";
import type { FieldNames } from "./message-json.ts";

export interface RawBody {
  /** Of the field `content-type`; empty where none is said. */
  readonly contentType: string;
  readonly data: Uint8Array;
}

/** What stands for a body without a type of its own. */
export const anyContentType: string = "application/octet-stream";

/** Whether the body of a method's requests is raw under a binding. */
export function hasRawRequest({ input }: DescMethod, { body }: HttpBinding): boolean {
  if (body === "none") return false;
  return isHttpBody(body === "whole" ? input : messageOf(body));
}

/** The same of its answers. */
export function hasRawAnswer({ output }: DescMethod, { responseBody }: HttpBinding): boolean {
  return isHttpBody(responseBody === undefined ? output : messageOf(responseBody));
}

function messageOf(field: DescField): DescMessage | undefined {
  return field.fieldKind === "message" ? field.message : undefined;
}

function isHttpBody(message: DescMessage | undefined): boolean {
  if (message?.typeName !== "google.api.HttpBody") return false;
  const isOf = (name: string, scalar: ScalarType): boolean =>
    message.fields.some((field) => field.name === name && field.scalar === scalar);
  return isOf("content_type", ScalarType.STRING) && isOf("data", ScalarType.BYTES);
}

/** The JSON text of the message that a raw body is. */
export function jsonTextOfRaw({ contentType, data }: RawBody): string {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.length);
  return JSON.stringify({ contentType, data: bytes.toString("base64") });
}

/** The raw body that the JSON of its message is; `null` is an empty one. */
export function rawOfJson(json: Json | undefined, names: FieldNames): RawBody {
  const members = (json ?? {}) as JsonObject;
  const contentType = members[names === "proto" ? "content_type" : "contentType"];
  return {
    contentType: typeof contentType === "string" ? contentType : "",
    data: Buffer.from(typeof members["data"] === "string" ? members["data"] : "", "base64"),
  };
}

/** Whether a text can stand in the field `content-type`. */
export function isContentType(text: string): boolean {
  return text.length <= 256 && /^[\x21-\x7e]+\/[\x20-\x7e]*[\x21-\x7e]$/.test(text);
}
