import { CausewayError } from "../base/errors.ts";
import { parseUtf8 } from "../base/bytes.ts";
import { jsonDepthMax } from "../base/limits.ts";

/** JSON without null, whose numbers are integers from 0 to 2^53-1 and whose strings are well-formed Unicode. */
export type JsonValue = string | number | boolean | readonly JsonValue[] | JsonObject;

export interface JsonObject {
  readonly [member: string]: JsonValue;
}

// General category Cs never changes between Unicode versions; with the u flag a pair is no surrogate.
const loneSurrogate = /\p{Surrogate}/u;

function isPlainObject(value: object): value is Record<string, unknown> {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function isJsonValue(value: unknown, depthLeft: number): value is JsonValue {
  if (typeof value === "string") return !loneSurrogate.test(value);
  if (typeof value === "number") return Number.isSafeInteger(value) && value >= 0;
  if (typeof value === "boolean") return true;
  if (typeof value !== "object" || value === null || depthLeft === 0) return false;
  if (Array.isArray(value)) return value.every((element) => isJsonValue(element, depthLeft - 1));
  if (!isPlainObject(value)) return false;
  return Object.entries(value).every(
    ([member, inner]) => !loneSurrogate.test(member) && isJsonValue(inner, depthLeft - 1),
  );
}

/** Whether `value`, such as the result of `JSON.parse`, is a {@link JsonValue} of bounded depth. */
export function isJson(value: unknown): value is JsonValue {
  return isJsonValue(value, jsonDepthMax);
}

function print(value: JsonValue): string {
  if (typeof value !== "object") return JSON.stringify(value);
  if (isList(value)) return `[${value.map(print).join(",")}]`;
  // The default order is by UTF-16 code units, as RFC 8785 section 3.2.3 asks.
  const members = Object.keys(value).sort();
  return `{${members.map((member) => `${JSON.stringify(member)}:${print(value[member] as JsonValue)}`).join(",")}}`;
}

/** Whether a JSON value is an array. */
export function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** Whether a JSON value is an object. */
export function isObject(value: JsonValue): value is JsonObject {
  return typeof value === "object" && !isList(value);
}

/**
 * The one text of `value` under RFC 8785 (JCS).
 *
 * @throws TypeError when `value` holds anything that {@link JsonValue} excludes, also `undefined`.
 */
export function formatJcs(value: unknown): string {
  if (!isJson(value)) {
    throw new TypeError("not JSON of strings, booleans and integers from 0 to 2^53-1");
  }
  return print(value);
}

/**
 * The value of RFC 8785 text: parsed, printed and compared, so that white space, members twice or
 * unsorted, needless escapes and other spellings of numbers are refused.
 *
 * @throws CausewayError `MALFORMED` when the bytes are no JSON, `NOT_CANONICAL` when they are JSON in
 * another spelling or with values that {@link JsonValue} excludes. The caller bounds the size.
 */
export function parseJcs(bytes: Uint8Array): JsonValue {
  const text = parseUtf8(bytes);
  if (text === undefined) throw new CausewayError("MALFORMED", "not UTF-8");
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new CausewayError("MALFORMED", "not JSON", { cause });
  }
  if (!isJson(value) || print(value) !== text) {
    throw new CausewayError("NOT_CANONICAL", "not canonical JSON (RFC 8785)");
  }
  return value;
}
