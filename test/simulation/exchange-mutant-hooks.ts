/**
 * Hooks of the module loader: what is imported with `?mutant=<name>` comes with some of its text replaced, and
 * imports the rest of the exchange and its simulation in the same way.
 */
export interface MutantSource {
  /** Of src/exchange, compiled. */
  readonly file: string;
  /** Stands there exactly once. */
  readonly from: string;
  readonly to: string;
}

type Mutants = Readonly<Record<string, readonly MutantSource[]>>;

interface Resolved {
  readonly url: string;
}

interface Loaded {
  readonly source?: string | ArrayBuffer | Uint8Array;
}

let mutants: Mutants = {};

/** What they share with the schedules that are all well. */
const shared = /\/exchange-(universe|crypto|mutants|mutant-hooks)\.js$/;
const own = /\/src\/exchange\/|\/test\/simulation\/exchange-/;

export function initialize(given: Mutants): void {
  mutants = given;
}

export async function resolve(
  specifier: string,
  context: { readonly parentURL?: string },
  next: (specifier: string, context: object) => Promise<Resolved>,
): Promise<Resolved> {
  const resolved = await next(specifier, context);
  const parent = context.parentURL === undefined ? null : new URL(context.parentURL);
  const mutant = parent?.searchParams.get("mutant") ?? null;
  if (mutant === null || !own.test(resolved.url) || shared.test(resolved.url)) return resolved;
  return { ...resolved, url: `${resolved.url}?mutant=${mutant}` };
}

export async function load(
  url: string,
  context: object,
  next: (url: string, context: object) => Promise<Loaded>,
): Promise<Loaded> {
  const loaded = await next(url, context);
  if (!url.startsWith("file:")) return loaded;
  const { searchParams, pathname } = new URL(url);
  const edits = (mutants[searchParams.get("mutant") ?? ""] ?? []).filter(({ file }) =>
    pathname.endsWith(`/src/exchange/${file}`),
  );
  if (edits.length === 0 || loaded.source === undefined) return loaded;
  const { source } = loaded;
  let text = typeof source === "string" ? source : new TextDecoder().decode(source);
  for (const { file, from, to } of edits) {
    if (text.split(from).length !== 2) throw new Error(`${file} does not say once: ${from}`);
    text = text.replace(from, () => to);
  }
  return { ...loaded, source: text };
}
