/** Keys of the configuration that the environment sets: `CAUSEWAY_` and the key's path in capitals. */
import { resolve } from "node:path";
import { parseDocument } from "yaml";
import type { z } from "zod";
import { CausewayError } from "../src/base/errors.ts";
import { withValue } from "./config-values.ts";
import { isOneKey, type Leaf, leavesOf } from "./config-walk.ts";
import { aliasFaults, type KeyPath } from "./config-yaml.ts";
import { nearest } from "./nearest.ts";

export interface Overridden {
  readonly value: unknown;
  /** The variable that set a key, or something below it. */
  readonly variableOf: (path: KeyPath) => string | undefined;
}

const prefix = "CAUSEWAY_";
/** Variables of the project's own tests, which the processes that they start inherit. */
const testPrefix = /^CAUSEWAY_(?:TEST|FAULT|DISK|SIM|MODEL|FUZZ)_/;

/** The variable of a key: lists and maps are set whole. */
export function variableName(path: readonly string[]): string {
  return prefix + path.join("_").toUpperCase();
}

/** The keys that a variable can set, by the variable's name. */
export function overridableKeys(schema: z.ZodType): ReadonlyMap<string, Leaf> {
  const keys = leavesOf(schema).filter(isOneKey);
  return new Map(keys.map((leaf) => [variableName(leaf.path), leaf]));
}

/**
 * `value` with what the variables say. A text is taken as it is, a path starts at the working directory,
 * everything else is read as YAML. Throws CONFIG_INVALID for a variable that names no key.
 */
export function override(
  value: unknown,
  variables: Readonly<Record<string, string>>,
  schema: z.ZodType,
): Overridden {
  const keys = overridableKeys(schema);
  const problems: string[] = [];
  const set: { readonly path: readonly string[]; readonly name: string }[] = [];
  let result = value;
  for (const [name, text] of Object.entries(variables)) {
    if (!name.startsWith(prefix) || testPrefix.test(name) || text === "") continue;
    const leaf = keys.get(name);
    if (leaf === undefined) {
      const near = nearestVariable(name, [...keys.keys()]);
      problems.push(
        `${name}: no key has this variable${near === undefined ? "" : `; did you mean ${near}?`}`,
      );
      continue;
    }
    result = withValue(result, leaf.path, valueOf(text, leaf));
    set.push({ path: leaf.path, name });
  }
  if (problems.length > 0) throw new CausewayError("CONFIG_INVALID", problems.join("\n"));
  return {
    value: result,
    variableOf: (path) => set.find(({ path: by }) => by.every((part, i) => part === path[i]))?.name,
  };
}

function nearestVariable(name: string, names: readonly string[]): string | undefined {
  const bare = (text: string): string => text.slice(prefix.length);
  const near = nearest(bare(name), names.map(bare));
  return near === undefined ? undefined : prefix + near;
}

function valueOf(text: string, { meta, schema }: Leaf): unknown {
  if (meta.path === true) return resolve(text);
  if (schema.type === "string" || schema.type === "enum") return text;
  const document = parseDocument(text, { prettyErrors: false });
  // What is no YAML is no value of the key either, and is told as such.
  if (document.errors.length > 0 || aliasFaults(document).length > 0) return text;
  try {
    return document.toJS();
  } catch {
    return text;
  }
}
