/**
 * Path templates of `google.api.http`: `/v1/{name=shelves/*}/books/{book}:verb`. A template is matched
 * against a path as it stands in the request line, and expanded into one.
 */
import { CausewayError } from "../../src/base/errors.ts";

/** One segment: a literal text, `*` for exactly one, `**` for any number at the end. */
export type TemplateSegment =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "one" }
  | { readonly kind: "rest" };

export interface TemplateVariable {
  /** Dotted path of the request's field. */
  readonly field: string;
  /** Segments from `from` to before `to` are its value. */
  readonly from: number;
  readonly to: number;
  /** Its pattern is other than `*`: then a slash is part of the value, and `%2F` is not decoded. */
  readonly multi: boolean;
}

export interface PathTemplate {
  readonly text: string;
  readonly segments: readonly TemplateSegment[];
  readonly variables: readonly TemplateVariable[];
  /** What stands behind the colon at the end. */
  readonly verb: string | undefined;
}

const identifier = /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*$/;
const literal = /^[A-Za-z0-9\-_.~!$&'()+,;=@:%]+$/;

/** Parses a template. Throws DESCRIPTOR_INVALID for what the standard's grammar does not have. */
export function parsePathTemplate(text: string): PathTemplate {
  const fail = (what: string): never => {
    throw new CausewayError("DESCRIPTOR_INVALID", `the path template ${text}: ${what}`);
  };
  if (!text.startsWith("/")) return fail("it does not begin with a slash");
  const { path, verb } = splitVerb(text);
  const segments: TemplateSegment[] = [];
  const variables: TemplateVariable[] = [];
  for (const part of splitOutsideBraces(path.slice(1)) ?? fail("a brace is not closed")) {
    const variable = /^\{([^{}=]+)(?:=([^{}]+))?\}$/.exec(part);
    if (variable === null) {
      segments.push(parseSegment(part) ?? fail(`${part} is no segment`));
      continue;
    }
    const [, field = "", pattern = "*"] = variable;
    if (!identifier.test(field)) fail(`${field} is no field path`);
    if (variables.some((other) => other.field === field)) fail(`${field} stands in it twice`);
    const from = segments.length;
    for (const inner of pattern.split("/")) {
      segments.push(parseSegment(inner) ?? fail(`${inner} is no segment`));
    }
    variables.push({ field, from, to: segments.length, multi: pattern !== "*" });
  }
  if (segments.slice(0, -1).some(({ kind }) => kind === "rest")) fail("** is not its last segment");
  if (verb !== undefined && !literal.test(verb)) fail(`${verb} is no verb`);
  return { text, segments, variables, verb };
}

/** The colon of a verb stands behind the last slash and outside of braces. */
function splitVerb(text: string): { readonly path: string; readonly verb: string | undefined } {
  const end = Math.max(text.lastIndexOf("/"), text.lastIndexOf("}"));
  const colon = text.indexOf(":", end + 1);
  if (colon < 0) return { path: text, verb: undefined };
  return { path: text.slice(0, colon), verb: text.slice(colon + 1) };
}

function splitOutsideBraces(text: string): string[] | undefined {
  const parts: string[] = [""];
  let inside = false;
  for (const char of text) {
    if (char === "{" || char === "}") {
      if ((char === "{") === inside) return undefined;
      inside = char === "{";
    }
    if (char === "/" && !inside) parts.push("");
    else parts[parts.length - 1] += char;
  }
  return inside ? undefined : parts;
}

function parseSegment(text: string): TemplateSegment | undefined {
  if (text === "*") return { kind: "one" };
  if (text === "**") return { kind: "rest" };
  if (!literal.test(text) || text.includes(":") || isDots(text)) return undefined;
  const decoded = percentDecoded(text);
  return decoded === undefined ? undefined : { kind: "literal", text: decoded };
}

const isDots = (text: string): boolean => text === "." || text === "..";

/**
 * The segments of a request's path as sent, without its query. `undefined` for a path that is no
 * sequence of segments: empty ones, dot segments in any spelling and broken percent escapes.
 */
export function pathSegments(path: string): readonly string[] | undefined {
  if (!path.startsWith("/")) return undefined;
  const segments = path.slice(1).split("/");
  const sound = segments.every((segment) => {
    const decoded = percentDecoded(segment);
    return decoded !== undefined && decoded !== "" && !isDots(decoded);
  });
  return sound ? segments : undefined;
}

/** Percent escapes decoded as UTF-8; `undefined` when they are broken. */
export function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Raw segments without the verb of a template, or `undefined` when they do not end with it. */
export function withoutVerb(
  segments: readonly string[],
  verb: string,
): readonly string[] | undefined {
  const last = segments.at(-1) ?? "";
  const ending = `:${verb}`;
  if (!last.endsWith(ending) || last.length === ending.length) return undefined;
  return [...segments.slice(0, -1), last.slice(0, -ending.length)];
}

/** Whether raw segments without a verb fit those of a template. */
export function fits(template: readonly TemplateSegment[], raw: readonly string[]): boolean {
  const rest = template.at(-1)?.kind === "rest";
  if (rest ? raw.length < template.length - 1 : raw.length !== template.length) return false;
  return template.every(
    (segment, i) => segment.kind !== "literal" || percentDecoded(raw[i] as string) === segment.text,
  );
}

/** The values of a template's variables in raw segments that fit it. */
export function variablesIn(
  template: PathTemplate,
  raw: readonly string[],
): ReadonlyMap<string, string> {
  const values = template.variables.map(({ field, from, to, multi }) => {
    const open = template.segments[to - 1]?.kind === "rest";
    const text = raw.slice(from, open ? undefined : to).join("/");
    return [field, multi ? decodeKeepingSlashes(text) : (percentDecoded(text) as string)] as const;
  });
  return new Map(values);
}

/** The values of a path's variables, or `undefined` when the path is another. */
export function matchPath(
  template: PathTemplate,
  path: string,
): ReadonlyMap<string, string> | undefined {
  const segments = pathSegments(path);
  if (segments === undefined) return undefined;
  const { verb } = template;
  const raw = verb === undefined ? segments : withoutVerb(segments, verb);
  if (raw === undefined || !fits(template.segments, raw)) return undefined;
  return variablesIn(template, raw);
}

// The standard leaves an encoded slash as it is where a slash may stand in the value.
function decodeKeepingSlashes(text: string): string {
  return text
    .split(/(%2[Ff])/)
    .map((part, i) => (i % 2 === 1 ? part : (percentDecoded(part) as string)))
    .join("");
}

/**
 * The path of a template under values of its variables; `undefined` when a value does not fit its
 * pattern. No value leaves its segments: what is not unreserved is escaped, and dot segments, also
 * behind a slash or backslash of either encoding, are refused.
 */
export function expandPath(
  template: PathTemplate,
  values: ReadonlyMap<string, string>,
): string | undefined {
  const parts: string[] = [];
  let at = 0;
  for (const { field, from, to, multi } of template.variables) {
    parts.push(...template.segments.slice(at, from).map(literalText));
    const value = values.get(field);
    if (value === undefined || value === "") return undefined;
    if (percentDecodedFully(value).split(/[/\\]/).some(isDots)) return undefined;
    const pieces = multi ? value.split("/") : [value];
    const escaped = pieces.map(escapeSegment);
    const pattern = template.segments.slice(from, to);
    if (pieces.includes("") || !fits(pattern, escaped)) return undefined;
    parts.push(...escaped);
    at = to;
  }
  parts.push(...template.segments.slice(at).map(literalText));
  const path = `/${parts.join("/")}${template.verb === undefined ? "" : `:${template.verb}`}`;
  return path;
}

// A wildcard outside of a variable carries nothing: any text may stand for it.
function literalText(segment: TemplateSegment): string {
  return segment.kind === "literal" ? escapeSegment(segment.text) : "-";
}

/** Everything but the unreserved characters of RFC 3986 escaped; the text is well-formed Unicode. */
export function escapeSegment(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

// As a careless server would: again and again until nothing is left to decode.
function percentDecodedFully(text: string): string {
  let before = text;
  for (;;) {
    const decoded = percentDecoded(before);
    if (decoded === undefined || decoded === before) return before;
    before = decoded;
  }
}
