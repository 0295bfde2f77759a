/** The attributes of source `provider` of one data service. */
import { CausewayError } from "../../src/base/errors.ts";
import type { ServiceAttribute, ServiceBody } from "../../src/credential/statements.ts";
import { type AttributeDatum, readAttributeValue } from "../../src/policy/attributes.ts";
import { gatherAttributes } from "../../src/policy/call-attributes.ts";
import type { DescriptorSets } from "../../src/policy/descriptors.ts";
import {
  type AskedCall,
  type AttributeQuery,
  assertColumns,
  attributesAsked,
  attributesOfRow,
  isProviders,
  parameterValues,
  parseAttributeQuery,
} from "./attribute-query.ts";
import type { ConfiguredValue, ServiceAttributesConfig } from "./config.ts";
import type { LookupDatabase } from "./lookup-database.ts";

export type Said = Readonly<Record<string, AttributeDatum>>;

/** Names in which configuration and publication differ without harm. */
export interface Unfit {
  /** Configured, and declared by no service in force. */
  readonly unused: readonly string[];
  /** Declared, and said by nothing that is configured. */
  readonly missing: readonly string[];
}

export interface ServiceAttributesPorts {
  readonly descriptors: DescriptorSets;
  /** Throws CONFIG_INVALID for a name that is none. */
  database(name: string): LookupDatabase;
  onFault(what: string): void;
}

interface Lookup {
  readonly query: AttributeQuery;
  readonly database: LookupDatabase;
  /** In errors, such as `queries[0]`. */
  readonly name: string;
}

export class ServiceAttributes {
  readonly #values: readonly (readonly [name: string, datum: AttributeDatum])[];
  readonly #lookups: readonly Lookup[];
  readonly #ports: ServiceAttributesPorts;

  /** Throws CONFIG_INVALID. */
  constructor({ values, queries }: ServiceAttributesConfig, ports: ServiceAttributesPorts) {
    this.#ports = ports;
    this.#values = Object.entries(values).map(([name, value]) => [name, datumOf(value)]);
    this.#lookups = queries.map(({ database: named, query }, i) => {
      const database = ports.database(named);
      return {
        query: parseAttributeQuery(query, database.dialect),
        database,
        name: `queries[${i}]`,
      };
    });
  }

  /**
   * Holds what is configured against what is published, and shows the queries to their databases. Rejects
   * with CONFIG_INVALID for what can never be, UPSTREAM_UNAVAILABLE or BUSY when a database cannot be asked.
   *
   * @param body absent while the service is not published
   */
  async check(body: ServiceBody | undefined): Promise<Unfit> {
    const names = this.#values.map(([name]) => name);
    for (const { query, database, name } of this.#lookups) {
      try {
        if (body !== undefined) attributesAsked(query, body.attributes);
        names.push(...(await database.describe(query.text, query.parameters.length)));
        assertColumns(names);
      } catch (error) {
        if (!(error instanceof CausewayError)) throw error;
        throw new CausewayError(error.code, `${name}: ${error.message}`, { cause: error });
      }
    }
    if (body === undefined) return { unused: [], missing: [] };
    this.#valuesFor(body);
    const declared = body.attributes.filter(({ source }) => source === "provider");
    return {
      unused: names.filter((name) => !declared.some((one) => one.name === name)),
      missing: declared.map(({ name }) => name).filter((name) => !names.includes(name)),
    };
  }

  /** Rejects with ATTRIBUTES_UNAVAILABLE, and as `gatherAttributes` does. */
  of(body: ServiceBody, call: AskedCall, signal: AbortSignal): Promise<Said> | Said {
    try {
      const values = this.#valuesFor(body);
      if (this.#lookups.length === 0) return Object.fromEntries(values);
      return this.#lookUp(body, call, { values, signal });
    } catch (error) {
      throw this.#unavailable(error);
    }
  }

  /** Throws CONFIG_INVALID for a value that is not of its attribute's type. */
  #valuesFor({ attributes }: ServiceBody): readonly (readonly [string, AttributeDatum])[] {
    return this.#values.filter(([name, datum]) => {
      const declared = attributes.find((one) => isProviders(one, name));
      if (declared === undefined) return false;
      if (typeOf(datum) === declared.type) return true;
      throw new CausewayError("CONFIG_INVALID", `values.${name} is no ${declared.type}`);
    });
  }

  async #lookUp(
    body: ServiceBody,
    call: AskedCall,
    {
      values,
      signal,
    }: {
      readonly values: readonly (readonly [string, AttributeDatum])[];
      readonly signal: AbortSignal;
    },
  ): Promise<Said> {
    try {
      const found = await Promise.all(
        this.#lookups.map((lookup) => this.#findRow(lookup, body, { call, signal })),
      );
      const all = [...values, ...found.flat()];
      assertColumns(all.map(([name]) => name));
      return Object.fromEntries(all);
    } catch (error) {
      throw this.#unavailable(error, signal);
    }
  }

  async #findRow(
    { query, database, name }: Lookup,
    body: ServiceBody,
    { call, signal }: { readonly call: AskedCall; readonly signal: AbortSignal },
  ): Promise<readonly (readonly [string, AttributeDatum])[]> {
    const asked = this.#askedOf(attributesAsked(query, body.attributes), body, call);
    try {
      const found = await database.find(query.text, parameterValues(query, call, asked), signal);
      if (found === undefined) return [];
      return attributesOfRow(found.columns, found.row, {
        declared: body.attributes,
        elementsOf: (text) => database.elementsOf(text),
      });
    } catch (error) {
      if (!(error instanceof CausewayError)) throw error;
      throw new CausewayError(error.code, `${name}: ${error.message}`, { cause: error });
    }
  }

  /** Values of attributes that the call brings. */
  #askedOf(
    wanted: readonly ServiceAttribute[],
    body: ServiceBody,
    { method, facts }: AskedCall,
  ): ReadonlyMap<string, AttributeDatum> {
    const { attributes } = gatherAttributes({
      // Nothing of this is recorded: no commitment is made.
      service: { ...body, attributes: wanted.map((one) => ({ ...one, personal: false })) },
      method,
      facts: { ...facts, provider: {} },
      descriptors: this.#ports.descriptors,
      random: () => new Uint8Array(0),
    });
    return new Map(attributes.map(({ name, value }) => [name, readAttributeValue(value)]));
  }

  /** What the caller's own bytes are to blame for, and what is missing for every call, stays what it is. */
  #unavailable(error: unknown, signal?: AbortSignal): unknown {
    if (!(error instanceof CausewayError)) return error;
    if (error.code === "MALFORMED" || error.code === "BLOB_MISSING") return error;
    // A caller that waits no longer is no fault of a database.
    if (signal?.aborted !== true) this.#ports.onFault(error.message);
    return new CausewayError("ATTRIBUTES_UNAVAILABLE", "attributes of the call cannot be found", {
      cause: error,
    });
  }
}

function datumOf(value: ConfiguredValue): AttributeDatum {
  return typeof value === "number" ? BigInt(value) : value;
}

function typeOf(datum: AttributeDatum): ServiceAttribute["type"] {
  if (typeof datum === "boolean") return "boolean";
  if (typeof datum === "bigint") return "integer";
  return typeof datum === "string" ? "text" : "text-set";
}
