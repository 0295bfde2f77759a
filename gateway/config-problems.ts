/** What is wrong with a configuration, in words: which key, what stands there, and what would be right. */
import type { z } from "zod";
import { valueAt } from "./config-values.ts";
import { unwrap } from "./config-walk.ts";
import type { KeyPath } from "./config-yaml.ts";
import { nearest } from "./nearest.ts";

export interface Problem {
  readonly path: KeyPath;
  readonly text: string;
}

type Issue = z.core.$ZodIssue;

/** The problems of a value that the schema does not take; one issue of zod can be several. */
export function problemsOf(
  issues: readonly Issue[],
  value: unknown,
  schema: z.ZodType,
): readonly Problem[] {
  return issues.flatMap((issue) => problemsOfIssue(issue, value, schema, []));
}

function problemsOfIssue(
  issue: Issue,
  value: unknown,
  schema: z.ZodType,
  above: KeyPath,
): readonly Problem[] {
  const path = [...above, ...issue.path.map((part) => (typeof part === "symbol" ? "" : part))];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => ({
        path: [...path, key],
        text: unknownKey(key, knownKeys(schemaAt(schema, path))),
      }));
    case "invalid_union":
      return fitting(issue.errors).flatMap((inner) => problemsOfIssue(inner, value, schema, path));
    case "invalid_key":
      return [{ path, text: issue.issues[0]?.message ?? issue.message }];
    case "custom":
    case "invalid_format":
      return [{ path, text: `${issue.message}${notThis(valueAt(value, path), schema, path)}` }];
    default: {
      const there = valueAt(value, path);
      if (path.length === 0 && (there === null || there === undefined)) {
        return [{ path, text: "it holds no key" }];
      }
      const type = typeAt(schema, path) ?? issue.message;
      if (there === undefined) return [{ path, text: `it is missing; expected ${type}` }];
      const hint = isUnquoted(issue, there) ? "; put it in quotes" : "";
      return [{ path, text: `expected ${type}${notThis(there, schema, path)}${hint}` }];
    }
  }
}

/** YAML takes `5` and `true` for what they look like, also where a text is meant. */
function isUnquoted(issue: Issue, there: unknown): boolean {
  const isText = issue.code === "invalid_type" && issue.expected === "string";
  return isText && (typeof there === "number" || typeof there === "boolean");
}

/** Of the forms that a value may have, the one that it comes nearest to. */
function fitting(errors: readonly (readonly Issue[])[]): readonly Issue[] {
  const [best = []] = errors.toSorted((a, b) => distance(a) - distance(b));
  return best;
}

function distance(issues: readonly Issue[]): number {
  const cost = (issue: Issue): number => {
    if (issue.code === "invalid_type" && issue.path.length === 0) return 100;
    return issue.code === "unrecognized_keys" ? 10 * issue.keys.length : 1;
  };
  return issues.reduce((sum, issue) => sum + cost(issue), 0);
}

const shownMax = 48;

function notThis(value: unknown, schema: z.ZodType, path: KeyPath): string {
  const at = schemaAt(schema, path);
  if (value === undefined || (at !== undefined && unwrap(at).meta.secret === true)) return "";
  const text = JSON.stringify(value);
  return `, not ${text.length > shownMax ? `${text.slice(0, shownMax)}…` : text}`;
}

function unknownKey(key: string, known: readonly string[]): string {
  const near = nearest(key, known);
  if (near !== undefined) return `there is no such key; did you mean ${near}?`;
  return `there is no such key; there are: ${known.join(", ")}`;
}

/** The schema of a key, as far as the path leads. */
export function schemaAt(schema: z.ZodType, path: KeyPath): z.ZodType | undefined {
  const [key, ...rest] = path;
  if (key === undefined) return schema;
  const { bare } = unwrap(schema);
  if (bare.type === "union") {
    for (const option of bare.options ?? []) {
      const found = schemaAt(option, path);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  const below = bare.element ?? bare.valueType ?? bare.shape?.[String(key)];
  return below === undefined ? undefined : schemaAt(below, rest);
}

function knownKeys(schema: z.ZodType | undefined): readonly string[] {
  if (schema === undefined) return [];
  const { bare } = unwrap(schema);
  if (bare.type === "union") return (bare.options ?? []).flatMap((option) => knownKeys(option));
  return Object.keys(bare.shape ?? {});
}

function typeAt(schema: z.ZodType, path: KeyPath): string | undefined {
  const at = schemaAt(schema, path);
  if (at === undefined) return undefined;
  const { bare, meta } = unwrap(at);
  if (meta.type !== undefined) return meta.type;
  if (bare.type === "object") {
    return `a section with ${Object.keys(bare.shape ?? {}).join(", ")}`;
  }
  return undefined;
}

/** As `agency_systems[0].id`. */
export function formatPath(path: KeyPath): string {
  return path.reduce<string>((above, key) => {
    if (typeof key === "number") return `${above}[${key}]`;
    return above === "" ? key : `${above}.${key}`;
  }, "");
}
