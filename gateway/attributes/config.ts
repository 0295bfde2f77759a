/** What this gateway itself says of a call, as the configuration gives it: attributes of source `provider`. */
import { z } from "zod";
import { attributeBytesMax } from "../../src/base/limits.ts";
import { isWellFormed } from "../../src/record/canonical-text.ts";
import { described, serviceId } from "../config-atoms.ts";
import { type DatabaseConfig, databaseSchema } from "../connectors/config.ts";

/** A value as YAML has it: an integer is a number. */
export type ConfiguredValue = boolean | number | string | readonly string[];

export interface AttributeQueryConfig {
  /** One of `databases`. */
  readonly database: string;
  readonly query: string;
}

/** Of one data service. */
export interface ServiceAttributesConfig {
  /** By the attribute's name. */
  readonly values: Readonly<Record<string, ConfiguredValue>>;
  readonly queries: readonly AttributeQueryConfig[];
}

export type DatabasesConfig = Readonly<Record<string, DatabaseConfig>>;
export type AttributesConfig = Readonly<Record<string, ServiceAttributesConfig>>;

/** Of a database, in this configuration alone. */
const databaseName = described(
  z
    .string()
    .regex(
      /^[a-z][a-z0-9-]{0,31}$/,
      "a database's name is 1 to 32 of a-z, 0-9 and -, a letter first",
    ),
  { type: "`[a-z][a-z0-9-]{0,31}`" },
);

const attributeName = z
  .string()
  .regex(
    /^[A-Za-z][A-Za-z0-9_-]{0,63}$/,
    "an attribute's name is 1 to 64 letters, digits, _ and -, a letter first",
  );

const value = described(
  z.unknown().refine(isValue, "it is true, false, a whole number, a text or a list of texts"),
  { type: "`true`, `false`, a whole number, a text or a list of texts" },
);

function isValue(given: unknown): given is ConfiguredValue {
  if (Array.isArray(given)) {
    return given.every((one) => typeof one === "string") && isRecordable(given.join(""));
  }
  if (typeof given === "string") return isRecordable(given);
  return typeof given === "boolean" || Number.isSafeInteger(given);
}

/** It may stand in a record. */
export function isRecordable(text: string): boolean {
  return isWellFormed(text) && Buffer.byteLength(text) <= attributeBytesMax;
}

const query = z.strictObject({
  database: described(databaseName, { text: "One of `databases`.", reload: true }),
  query: described(
    z
      .string()
      .min(1)
      .max(64 * 1024),
    {
      type: "SQL",
      text: "One SELECT with at most one row; each column is an attribute. `:call.consumer`, `:call.consumer_city`, `:call.consumer_gateway`, `:call.method`, `:call.purpose`, `:call.case` and `:call.official` are facts of the call, `:attribute.NAME` is an attribute that the service declares of source `request` or `token`.",
      reload: true,
    },
  ),
});

export const databasesSchema: z.ZodType<DatabasesConfig> = described(
  z.record(databaseName, databaseSchema),
  {
    type: "map by name",
    text: "Databases that attributes are looked up in.",
    reload: true,
  },
);

export const attributesSchema: z.ZodType<AttributesConfig> = described(
  z.record(
    serviceId,
    z.strictObject({
      values: described(z.record(attributeName, value), {
        type: "map by attribute",
        text: "Attributes that are the same for every call.",
        reload: true,
      }).default({}),
      queries: described(z.array(query), {
        type: "list",
        text: "Attributes that are looked up anew for each call, before it is decided.",
        reload: true,
      }).default([]),
    }),
  ) as unknown as z.ZodType<AttributesConfig>,
  {
    type: "map by service id",
    text: "Attributes of source `provider`, for the policies of this agency's data services.",
    reload: true,
  },
);
