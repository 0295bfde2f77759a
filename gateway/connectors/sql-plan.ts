/** A configured query bound to the messages of its method: which field each parameter and column is. */
import {
  type DescField,
  type DescMessage,
  type DescMethod,
  fromJson,
  type JsonValue,
  type Registry,
  toBinary,
} from "@bufbuild/protobuf";
import { CausewayError } from "../../src/base/errors.ts";
import {
  fieldNamed,
  type Json,
  type JsonObject,
  resolveFieldPath,
} from "../transcoding/field-path.ts";
import { jsonOfMessage } from "../transcoding/message-json.ts";
import type { ServiceDescriptors } from "../transcoding/service-descriptors.ts";
import type { SqlDatabase, SqlRow, SqlValue } from "./sql-database.ts";
import { parseSqlQuery } from "./sql-query.ts";
import { jsonOfColumn, mismatch, parameterOf } from "./sql-values.ts";

/** What a configuration says of one method. */
export interface SqlMethod {
  readonly query: string;
  /** `one` row at most, or `many`. A method that streams has many, each a message. */
  readonly rows: "one" | "many";
  /** The repeated field that many rows go to; of one row the field it is put into. */
  readonly field?: string | undefined;
  /** Whether no row is NOT_FOUND, or the empty message or stream. Absent: for one row it is, for many it is not. */
  readonly not_found?: boolean | undefined;
  readonly rows_max: number;
}

/** Whether a call that finds no row ends NOT_FOUND. */
export function isNoRowNotFound({ not_found: said, rows }: SqlMethod): boolean {
  return said ?? rows === "one";
}

export interface SqlPlan {
  readonly method: DescMethod;
  readonly settings: SqlMethod;
  readonly text: string;
  readonly parameters: readonly (readonly DescField[])[];
  /** The message that one row is. */
  readonly row: DescMessage;
  /** Where rows go in the answer; `undefined` when a row is the answer. */
  readonly into: DescField | undefined;
  readonly columns: readonly SqlColumn[];
  readonly registry: Registry;
}

interface SqlColumn {
  readonly name: string;
  readonly path: readonly DescField[];
}

/**
 * Binds a query. Rejects with CONFIG_INVALID, which names the method and the parameter or column, and as
 * `describe` does.
 */
export async function planQuery(
  path: string,
  settings: SqlMethod,
  descriptors: ServiceDescriptors,
  database: SqlDatabase,
): Promise<SqlPlan> {
  const fail = (what: string, cause?: unknown): CausewayError =>
    new CausewayError("CONFIG_INVALID", `${path}: ${what}`, { cause });
  const method = descriptors.method(path);
  if (method === undefined) throw fail("the service has no such method");
  const { clientStreaming, serverStreaming } = method.proto;
  if (clientStreaming) throw fail("a query takes one request message");
  const query = asOf(() => parseSqlQuery(settings.query, database.dialect), fail);
  const parameters = query.parameters.map((name) => {
    const fields = resolveFieldPath(method.input, name);
    if (fields === undefined) throw fail(`the parameter :${name} is no field of the request`);
    return fields;
  });
  const into = settings.field === undefined ? undefined : fieldNamed(method.output, settings.field);
  const row = rowMessage(method, settings, into);
  if (row === undefined) {
    throw fail(
      serverStreaming
        ? "rows is many and field is left out: each row is a message of the stream"
        : "field is a repeated message of the answer for many rows, and a single one or left out for one",
    );
  }
  let names: readonly string[];
  try {
    names = await database.describe(query.text, parameters.length);
  } catch (error) {
    if (!(error instanceof CausewayError) || error.code !== "CONFIG_INVALID") throw error;
    throw fail(error.message, error);
  }
  const columns = names.map((name, i): SqlColumn => {
    const fields = resolveFieldPath(row, name);
    if (fields === undefined) throw fail(`the column ${name} is no field of ${row.typeName}`);
    if (names.indexOf(name) < i) throw fail(`the column ${name} is given twice`);
    return { name, path: fields };
  });
  const { registry } = descriptors;
  return { method, settings, text: query.text, parameters, row, into, columns, registry };
}

function asOf<T>(work: () => T, fail: (what: string, cause: unknown) => CausewayError): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof CausewayError ? fail(error.message, error) : error;
  }
}

function rowMessage(
  { output, proto }: DescMethod,
  { rows, field }: SqlMethod,
  into: DescField | undefined,
): DescMessage | undefined {
  if (proto.serverStreaming) return rows === "many" && field === undefined ? output : undefined;
  if (rows === "many") {
    return into?.fieldKind === "list" && into.listKind === "message" ? into.message : undefined;
  }
  if (field === undefined) return output;
  return into?.fieldKind === "message" ? into.message : undefined;
}

/** The parameters of an encoded request. Throws MALFORMED. */
export function parametersOf(
  { method, parameters, registry }: SqlPlan,
  message: Uint8Array,
): SqlValue[] {
  const json = jsonOfMessage(method.input, message, { registry, names: "json" });
  return parameters.map((path) => parameterOf(json as JsonObject, path));
}

/**
 * The JSON of one row as its message. Throws PROTOCOL_ERROR, which names the column and no value, when a
 * column is not of the type of its field.
 */
export function jsonOfRow(
  { columns, row, registry }: SqlPlan,
  values: SqlRow,
  elementsOf: SqlDatabase["elementsOf"],
): Json {
  const members = columns.map(({ name, path }, i) => {
    const json = jsonOfColumn(path.at(-1) as DescField, values[i] ?? null, elementsOf);
    if (json === mismatch) throw wrongColumn(name);
    return { name, json: json === undefined ? undefined : nested(path, json) };
  });
  const whole = members.reduce<JsonObject>((before, { json }) => merged(before, json), {});
  if (isMessage(row, whole, registry)) return whole;
  const wrong = members.find(({ json }) => json !== undefined && !isMessage(row, json, registry));
  throw wrongColumn(wrong?.name ?? "of a oneof");
}

function nested(path: readonly DescField[], value: Json): JsonObject {
  return path.reduceRight<Json>(
    (inside, field) => ({ [field.jsonName]: inside }),
    value,
  ) as JsonObject;
}

function merged(before: JsonObject, added: JsonObject | undefined): JsonObject {
  if (added === undefined) return before;
  const result: Record<string, Json> = { ...before };
  for (const [name, value] of Object.entries(added)) {
    const held = result[name];
    const both = isObject(held) && isObject(value);
    result[name] = both ? merged(held, value) : value;
  }
  return result;
}

function isObject(json: Json | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function isMessage(desc: DescMessage, json: Json, registry: Registry): boolean {
  try {
    fromJson(desc, json as JsonValue, { registry });
    return true;
  } catch {
    return false;
  }
}

function wrongColumn(name: string): CausewayError {
  return new CausewayError("PROTOCOL_ERROR", "a column does not hold what its field does", {
    fields: { column: name },
  });
}

/** The encoded answer that rows are. */
export function answerOfRows(
  { method, into, registry }: SqlPlan,
  rows: readonly Json[],
): Uint8Array {
  const [first = {}] = rows;
  const json =
    into === undefined
      ? first
      : into.fieldKind === "list"
        ? { [into.jsonName]: rows }
        : rows.length === 0
          ? {}
          : { [into.jsonName]: first };
  return toBinary(method.output, fromJson(method.output, json as JsonValue, { registry }));
}
