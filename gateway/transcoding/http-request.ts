/** A request message as an HTTP request, and back, under one binding of its method. */
import {
  type DescField,
  type DescMessage,
  type DescMethod,
  fromJson,
  fromJsonString,
  type JsonValue,
  mergeFromJson,
  type Registry,
  toBinary,
} from "@bufbuild/protobuf";
import { CausewayError } from "../../src/base/errors.ts";
import {
  defaultText,
  isSimple,
  isTextual,
  type Json,
  type JsonObject,
  jsonOfText,
  resolveFieldPath,
  textOfJson,
} from "./field-path.ts";
import type { HttpBinding } from "./http-binding.ts";
import {
  type FieldNames,
  jsonOfField,
  type JsonStyle,
  jsonOfMessage,
  malformed,
  nameOf,
  wrapped,
} from "./message-json.ts";
import {
  anyContentType,
  hasRawRequest,
  isContentType,
  type RawBody,
  rawOfJson,
} from "./raw-body.ts";
import { escapeSegment, expandPath, percentDecoded } from "./path-template.ts";

const jsonType = "application/json";

export interface HttpRequestParts {
  /** The binding that carries it. */
  readonly binding: HttpBinding;
  /** HTTP method. */
  readonly verb: string;
  /** Path and query, escaped. */
  readonly target: string;
  /** `undefined` for a request without a body. */
  readonly body: RawBody | undefined;
}

/**
 * The HTTP request of an encoded message under the first binding that can carry it; `undefined` when
 * none can: a value does not fit its path, or what is left has no form in a query.
 * Throws MALFORMED for bytes that are no such message.
 */
export function httpRequestOf(
  method: DescMethod,
  bindings: readonly HttpBinding[],
  message: Uint8Array,
  style: JsonStyle,
): HttpRequestParts | undefined {
  const json = jsonOfMessage(method.input, message, style) as JsonObject;
  for (const binding of bindings) {
    const parts = requestUnder(binding, method, json, style.names);
    if (parts !== undefined) return parts;
  }
  return undefined;
}

function requestUnder(
  binding: HttpBinding,
  method: DescMethod,
  json: JsonObject,
  names: FieldNames,
): HttpRequestParts | undefined {
  const values = new Map<string, string>();
  let rest = json;
  for (const { field, path } of binding.variables) {
    const text = textAt(json, path, names);
    if (text === undefined) return undefined;
    values.set(field, text);
    rest = without(rest, path, names);
  }
  const path = expandPath(binding.template, values);
  if (path === undefined) return undefined;
  const verb = binding.verb === "*" ? "POST" : binding.verb;
  const { body } = binding;
  if (body === "whole") {
    return withBody({ binding, verb, target: path }, rest, hasRawRequest(method, binding), names);
  }
  const left = body === "none" ? rest : without(rest, [body], names);
  const query = queryOf(method.input, left, names);
  if (query === undefined) return undefined;
  const target = query === "" ? path : `${path}?${query}`;
  if (body === "none") return { binding, verb, target, body: undefined };
  const value = jsonOfField(body, rest, names);
  return withBody({ binding, verb, target }, value, hasRawRequest(method, binding), names);
}

/** `undefined` for raw bytes whose type cannot be said. */
function withBody(
  parts: Omit<HttpRequestParts, "body">,
  json: Json,
  isRaw: boolean,
  names: FieldNames,
): HttpRequestParts | undefined {
  if (!isRaw) {
    return { ...parts, body: { contentType: jsonType, data: Buffer.from(JSON.stringify(json)) } };
  }
  const { contentType, data } = rawOfJson(json, names);
  const type = contentType === "" ? anyContentType : contentType;
  return isContentType(type) ? { ...parts, body: { contentType: type, data } } : undefined;
}

function textAt(
  json: JsonObject,
  path: readonly DescField[],
  names: FieldNames,
): string | undefined {
  let inside: Json | undefined = json;
  for (const field of path) inside = (inside as JsonObject | undefined)?.[nameOf(field, names)];
  if (inside !== undefined) return textOfJson(inside);
  const target = path.at(-1) as DescField;
  return target.oneof === undefined ? defaultText(target) : undefined;
}

function without(json: JsonObject, path: readonly DescField[], names: FieldNames): JsonObject {
  const [first, ...deeper] = path;
  if (first === undefined) return json;
  const name = nameOf(first, names);
  const { [name]: value, ...others } = json;
  if (value === undefined) return json;
  if (deeper.length === 0) return others;
  return { ...others, [name]: without(value as JsonObject, deeper, names) };
}

function queryOf(input: DescMessage, json: JsonObject, names: FieldNames): string | undefined {
  const pairs: string[] = [];
  const walk = (message: DescMessage, inside: JsonObject, prefix: string): boolean =>
    message.fields.every((field) => {
      const name = nameOf(field, names);
      const value = inside[name];
      if (value === undefined) return true;
      if (field.fieldKind === "message" && !isTextual(field.message)) {
        const plain = typeof value === "object" && value !== null && !Array.isArray(value);
        const own = !field.message.typeName.startsWith("google.protobuf.");
        return plain && own && walk(field.message, value as JsonObject, `${prefix}${name}.`);
      }
      if (!isSimple(field)) return false;
      const texts = (Array.isArray(value) ? value : [value]).map(textOfJson);
      if (texts.includes(undefined)) return false;
      for (const text of texts) pairs.push(`${prefix}${name}=${escapeSegment(text as string)}`);
      return true;
    });
  return walk(input, json, "") ? pairs.join("&") : undefined;
}

/** What an HTTP request holds of its message. */
export interface ReceivedParts {
  /** Variables of the path, decoded. */
  readonly variables: ReadonlyMap<string, string>;
  /** As sent, without the question mark. */
  readonly query: string;
  /** JSON text; of a raw body that of its message. */
  readonly body: string;
}

/**
 * The encoded message of an HTTP request under the binding that its path has found. What the path says
 * stands above the body. Throws MALFORMED: also for a parameter or member that the message does not
 * have, so that a caller's mistake is not carried as silence.
 */
export function messageOfHttpRequest(
  method: DescMethod,
  binding: HttpBinding,
  parts: ReceivedParts,
  registry: Registry,
): Uint8Array {
  const { input } = method;
  try {
    const message =
      binding.body === "none" || parts.body === ""
        ? fromJson(input, {}, { registry })
        : fromJsonString(input, bodyText(binding.body, parts.body), { registry });
    if (binding.body === "none" && parts.body !== "") throw malformed("the method takes no body");
    if (binding.body === "whole" && parts.query !== "") {
      throw malformed("the method takes no query");
    }
    const query = jsonOfQuery(input, binding, parts.query);
    if (query !== undefined) mergeFromJson(input, message, query as JsonValue, { registry });
    for (const { field, path } of binding.variables) {
      const text = parts.variables.get(field) as string;
      const json = nested(path, jsonOfText(path.at(-1) as DescField, text));
      mergeFromJson(input, message, json as JsonValue, { registry });
    }
    return toBinary(input, message);
  } catch (cause) {
    if (cause instanceof CausewayError) throw cause;
    throw malformed(`the request is no ${input.typeName}`, cause);
  }
}

function bodyText(body: "whole" | DescField, text: string): string {
  return body === "whole" ? text : wrapped(body, text);
}

function nested(path: readonly DescField[], value: Json): Json {
  return path.reduceRight<Json>((inside, field) => ({ [field.jsonName]: inside }), value);
}

/** Members by the fields of their path, so that both names of a field are one member. */
interface QueryNode {
  readonly field: DescField;
  readonly texts: string[];
  readonly members: Map<string, QueryNode>;
}

function jsonOfQuery(input: DescMessage, binding: HttpBinding, query: string): Json | undefined {
  if (query === "") return undefined;
  const root = new Map<string, QueryNode>();
  const bound = new Set(binding.variables.map(({ path }) => pathText(path)));
  for (const pair of query.split("&")) {
    if (pair === "") continue;
    const [name, value] = decodePair(pair);
    const path = resolveFieldPath(input, name);
    const target = path?.at(-1);
    if (path === undefined || target === undefined || !isSimple(target)) {
      throw malformed("a query parameter is no field that can stand there", undefined, name);
    }
    if (bound.has(pathText(path)) || path[0] === binding.body) {
      throw malformed("a query parameter names a field of the path or body", undefined, name);
    }
    add(root, path, value);
  }
  return jsonOfNodes(root);
}

const pathText = (path: readonly DescField[]): string => path.map((field) => field.name).join(".");

function add(root: Map<string, QueryNode>, path: readonly DescField[], text: string): void {
  let members = root;
  let node: QueryNode | undefined;
  for (const field of path) {
    node = members.get(field.name) ?? { field, texts: [], members: new Map() };
    members.set(field.name, node);
    members = node.members;
  }
  node?.texts.push(text);
}

function jsonOfNodes(nodes: ReadonlyMap<string, QueryNode>): Json {
  const members = [...nodes.values()].map(({ field, texts, members: inside }) => {
    if (texts.length === 0) return [field.jsonName, jsonOfNodes(inside)] as const;
    const values = texts.map((text) => jsonOfText(field, text));
    if (field.fieldKind === "list") return [field.jsonName, values] as const;
    if (values.length > 1) {
      throw malformed("a query parameter is given twice", undefined, field.name);
    }
    return [field.jsonName, values[0] as Json] as const;
  });
  return Object.fromEntries(members);
}

function decodePair(pair: string): readonly [name: string, value: string] {
  const equals = pair.indexOf("=");
  const [name, value] = equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
  const decoded = [name, value].map((text) => percentDecoded(text.replaceAll("+", " ")));
  if (decoded.includes(undefined)) throw malformed("a query parameter is escaped wrongly");
  return decoded as [string, string];
}
