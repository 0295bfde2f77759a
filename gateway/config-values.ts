/** Values of a configuration by their path. */

/** What stands at a path; `undefined` where it leads nowhere. */
export function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, key)) return undefined;
    at = (at as Record<string | number, unknown>)[key];
  }
  return at;
}

/** The same value with another one at a path; sections on the way are made. */
export function withValue(value: unknown, path: readonly string[], inner: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return inner;
  const isSection = typeof value === "object" && value !== null && !Array.isArray(value);
  const before = isSection ? (value as Record<string, unknown>) : {};
  return { ...before, [key]: withValue(before[key], rest, inner) };
}
