/** Looks at the configuration's schema itself: which keys there are, and what stands at them. */
import type { z } from "zod";
import type { KeyMeta } from "./config-atoms.ts";

/** A key that holds a value and no section. `*` stands for a name, `[]` for an element of a list. */
export interface Leaf {
  readonly path: readonly string[];
  readonly meta: KeyMeta;
  readonly isRequired: boolean;
  readonly default: unknown;
  readonly schema: Bare;
}

/** What zod keeps of a schema, as far as it is looked at here. */
export interface Bare {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly innerType?: z.ZodType;
  readonly element?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly options?: readonly z.ZodType[];
  readonly defaultValue?: unknown;
}

interface Unwrapped {
  readonly bare: Bare;
  readonly meta: KeyMeta;
  readonly isRequired: boolean;
  readonly default: unknown;
}

const wrappers: ReadonlySet<string> = new Set(["optional", "default", "prefault", "nullable"]);

function bareOf(schema: z.ZodType): Bare {
  return schema.def as unknown as Bare;
}

/** A schema without what makes it optional; what an outer layer says counts. */
export function unwrap(schema: z.ZodType): Unwrapped {
  let bare = bareOf(schema);
  let meta: KeyMeta = { ...(schema.meta() as KeyMeta | undefined) };
  let isRequired = true;
  let value: unknown;
  while (wrappers.has(bare.type) && bare.innerType !== undefined) {
    isRequired = false;
    value ??= bare.defaultValue;
    meta = { ...(bare.innerType.meta() as KeyMeta | undefined), ...meta };
    bare = bareOf(bare.innerType);
  }
  return { bare, meta, isRequired, default: value };
}

/** Every key, in the order of the schema: sections are entered, lists and maps give their elements' keys too. */
export function leavesOf(schema: z.ZodType, path: readonly string[] = []): readonly Leaf[] {
  const { bare, meta, isRequired, default: value } = unwrap(schema);
  const own: Leaf = { path, meta, isRequired, default: value, schema: bare };
  switch (bare.type) {
    case "object": {
      const below = Object.entries(bare.shape ?? {}).flatMap(([name, key]) =>
        leavesOf(key, [...path, name]),
      );
      return meta.text === undefined ? below : [own, ...below];
    }
    case "array":
      return [own, ...deeper(bare.element, [...path, "[]"])];
    case "record":
      return [own, ...deeper(bare.valueType, [...path, "*"])];
    case "union":
      return [own, ...(bare.options ?? []).flatMap((option) => deeper(option, path))];
    default:
      return [own];
  }
}

/** Whether a key holds one value of the file: no section, and nothing of a list's or map's elements. */
export function isOneKey({ path, schema }: Leaf): boolean {
  return schema.type !== "object" && !path.some((part) => part === "*" || part === "[]");
}

/** The keys of an element, unless it is a plain value: the list or map itself speaks for that. */
function deeper(schema: z.ZodType | undefined, path: readonly string[]): readonly Leaf[] {
  if (schema === undefined) return [];
  const { bare } = unwrap(schema);
  const holdsKeys = ["object", "array", "record", "union"].includes(bare.type);
  return holdsKeys ? leavesOf(schema, path).filter((leaf) => leaf.path !== path) : [];
}

/** What a change of a value gives; the value itself for no change. */
export type Change = (value: string, meta: KeyMeta, path: readonly (string | number)[]) => string;

/** The same value with every text that the schema describes given to `change`. */
export function mapTexts(
  value: unknown,
  schema: z.ZodType,
  change: Change,
  path: readonly (string | number)[] = [],
): unknown {
  const { bare, meta } = unwrap(schema);
  if (bare.type === "union") {
    const option = (bare.options ?? []).find((each) => each.safeParse(value).success);
    return option === undefined ? value : mapTexts(value, option, change, path);
  }
  if (typeof value === "string") return change(value, meta, path);
  if (Array.isArray(value)) {
    const { element } = bare;
    if (element === undefined) return value;
    return value.map((each, i) => mapTexts(each, element, change, [...path, i]));
  }
  if (typeof value !== "object" || value === null) return value;
  const schemaOf = (name: string): z.ZodType | undefined =>
    bare.type === "record" ? bare.valueType : bare.shape?.[name];
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => {
      const inner = schemaOf(name);
      return [name, inner === undefined ? each : mapTexts(each, inner, change, [...path, name])];
    }),
  );
}
