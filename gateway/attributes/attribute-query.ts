/** A query that gives attributes of a call: what its parameters are, and what its only row says. */
import { parseUtf8 } from "../../src/base/bytes.ts";
import { CausewayError } from "../../src/base/errors.ts";
import { agencyOf, cityOf } from "../../src/base/ids.ts";
import type { ServiceAttribute } from "../../src/credential/statements.ts";
import type { AttributeDatum } from "../../src/policy/attributes.ts";
import type { CallFacts } from "../../src/policy/call-attributes.ts";
import type { SqlDatabase, SqlRow, SqlValue } from "../connectors/sql-database.ts";
import { parseSqlQuery, type SqlDialect } from "../connectors/sql-query.ts";
import { isRecordable } from "./config.ts";

/** A call that is about to be decided, as far as a lookup may ask about it. */
export interface AskedCall {
  readonly method: string;
  readonly purpose: string;
  readonly facts: Omit<CallFacts, "provider">;
}

export interface AttributeQuery {
  /** With the placeholders of the dialect. */
  readonly text: string;
  readonly parameters: readonly QueryParameter[];
}

export type QueryParameter =
  | { readonly kind: "call"; readonly name: CallParameter }
  | { readonly kind: "attribute"; readonly name: string };

type CallParameter =
  | "consumer"
  | "consumer_city"
  | "consumer_gateway"
  | "method"
  | "purpose"
  | "case"
  | "official";

const callParameters: Readonly<Record<CallParameter, (call: AskedCall) => string | null>> = {
  consumer: ({ facts }) => agencyOf(facts.consumerGateway),
  consumer_city: ({ facts }) => cityOf(facts.consumerGateway),
  consumer_gateway: ({ facts }) => facts.consumerGateway,
  method: ({ method }) => method,
  purpose: ({ purpose }) => purpose,
  case: ({ facts }) => textOf(facts.case),
  official: ({ facts }) => textOf(facts.official),
};

function textOf(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : (parseUtf8(bytes) ?? null);
}

/** Reads a query. Throws CONFIG_INVALID when it is not one SELECT, or has a parameter that no call has. */
export function parseAttributeQuery(source: string, dialect: SqlDialect): AttributeQuery {
  const { text, parameters } = parseSqlQuery(source, dialect);
  return { text, parameters: parameters.map(parameterNamed) };
}

function parameterNamed(path: string): QueryParameter {
  const [scope, name = "", ...rest] = path.split(".");
  if (rest.length === 0 && scope === "attribute" && name !== "") return { kind: "attribute", name };
  if (rest.length === 0 && scope === "call" && Object.hasOwn(callParameters, name)) {
    return { kind: "call", name: name as CallParameter };
  }
  const known = Object.keys(callParameters).map((one) => `:call.${one}`);
  throw new CausewayError(
    "CONFIG_INVALID",
    `the query: :${path} is none of ${known.join(", ")} and :attribute.NAME`,
  );
}

/**
 * The attributes that the parameters are, of those that a service declares. Throws CONFIG_INVALID for one
 * that the call does not bring.
 */
export function attributesAsked(
  { parameters }: AttributeQuery,
  declared: readonly ServiceAttribute[],
): readonly ServiceAttribute[] {
  return parameters.flatMap((parameter) => {
    if (parameter.kind === "call") return [];
    const found = declared.find(({ name }) => name === parameter.name);
    if (found !== undefined && found.source !== "provider") return [found];
    const what = `:attribute.${parameter.name} is no attribute of source request or token`;
    throw new CausewayError("CONFIG_INVALID", what);
  });
}

/** The values of the parameters; of an attribute that the call does not have it is NULL. */
export function parameterValues(
  { parameters }: AttributeQuery,
  call: AskedCall,
  attributes: ReadonlyMap<string, AttributeDatum>,
): readonly SqlValue[] {
  return parameters.map(({ kind, name }) =>
    kind === "call" ? callParameters[name](call) : (attributes.get(name) ?? null),
  );
}

/** Names of columns are names of attributes, each once. Throws CONFIG_INVALID. */
export function assertColumns(columns: readonly string[]): void {
  const repeated = columns.find((name, i) => columns.indexOf(name) < i);
  if (repeated === undefined) return;
  throw new CausewayError("CONFIG_INVALID", `the column ${repeated} is given twice`);
}

/**
 * What a row says of the attributes that the service declares; a column that is NULL says nothing. Throws
 * CONFIG_INVALID, which names the column and no value, when one is not of its attribute's type.
 */
export function attributesOfRow(
  columns: readonly string[],
  row: SqlRow,
  options: {
    readonly declared: readonly ServiceAttribute[];
    readonly elementsOf: SqlDatabase["elementsOf"];
  },
): readonly (readonly [name: string, datum: AttributeDatum])[] {
  assertColumns(columns);
  return columns.flatMap((name, i) => {
    const value = row[i] ?? null;
    const attribute = options.declared.find((one) => isProviders(one, name));
    if (attribute === undefined || value === null) return [];
    const datum = datumOf(attribute.type, value, options.elementsOf);
    if (datum !== undefined && mayStand(datum)) return [[name, datum] as const];
    const what = `the column ${name} holds no ${attribute.type} that a record may hold`;
    throw new CausewayError("CONFIG_INVALID", what);
  });
}

/** Whether an attribute of this name is the provider's to say. */
export function isProviders({ name, source }: ServiceAttribute, wanted: string): boolean {
  return name === wanted && source === "provider";
}

function datumOf(
  type: ServiceAttribute["type"],
  value: SqlValue,
  elementsOf: SqlDatabase["elementsOf"],
): AttributeDatum | undefined {
  switch (type) {
    case "boolean":
      if (typeof value === "boolean") return value;
      return value === 0n || value === 1n ? value === 1n : undefined;
    case "integer":
      return typeof value === "bigint" && BigInt.asIntN(64, value) === value ? value : undefined;
    case "text":
      return typeof value === "string" ? value : undefined;
    case "text-set": {
      const items = typeof value === "string" ? elementsOf(value) : value;
      const isSet = Array.isArray(items) && items.every((one) => typeof one === "string");
      return isSet ? (items as readonly string[]) : undefined;
    }
  }
}

function mayStand(datum: AttributeDatum): boolean {
  if (typeof datum !== "string" && !Array.isArray(datum)) return true;
  return isRecordable(typeof datum === "string" ? datum : datum.join(""));
}
