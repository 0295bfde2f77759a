/** The query of a method as its operator writes it: one SELECT with named parameters such as `:person.code`. */
import { CausewayError } from "../../src/base/errors.ts";

export type SqlDialect = "sqlite" | "postgresql";

export interface SqlQuery {
  /** With the parameters in the form of the database: `$1`, or `:p1`. */
  readonly text: string;
  /** Dotted field paths in the order of their numbers; each once. */
  readonly parameters: readonly string[];
}

const tokens: Readonly<Record<SqlDialect, RegExp>> = {
  // Texts, quoted names, comments, dollar quotes, casts; then parameters and semicolons.
  postgresql:
    /(?:\b[eE]'(?:[^'\\]|\\[^]|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|(\$(?:[A-Za-z_]\w*)?\$)[^]*?\1|::)|(?<parameter>:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|(?<end>;)|(?<nested>\/\*)/g,
  sqlite:
    /(?:'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|--[^\n]*)|(?<parameter>:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|(?<end>;)|(?<nested>\/\*)/g,
};

/** Reads a query. Throws CONFIG_INVALID when it is not one statement that begins as a SELECT does. */
export function parseSqlQuery(source: string, dialect: SqlDialect): SqlQuery {
  const parameters: string[] = [];
  let text = "";
  let code = "";
  let at = 0;
  let ended = false;
  const token = new RegExp(tokens[dialect]);
  for (let match = token.exec(source); match !== null; match = token.exec(source)) {
    const between = source.slice(at, match.index);
    text += between;
    code += between;
    at = token.lastIndex;
    const { parameter, end, nested } = match.groups ?? {};
    if (parameter !== undefined) {
      text += placeholder(parameters, parameter.slice(1), dialect);
      code += "?";
    } else if (end !== undefined) {
      ended = true;
      if (hasCode(source.slice(at), dialect)) throw invalid("it is more than one statement");
      break;
    } else if (nested !== undefined) {
      at = commentEnd(source, match.index, dialect);
      token.lastIndex = at;
      text += " ";
    } else {
      const isComment = match[0].startsWith("--");
      text += isComment ? " " : match[0];
      code += isComment ? " " : "x";
    }
  }
  if (!ended) {
    text += source.slice(at);
    code += source.slice(at);
  }
  if (!/^\s*(?:select|with|values)\b/i.test(code)) throw invalid("it is no SELECT");
  return { text: text.trim(), parameters };
}

function placeholder(parameters: string[], path: string, dialect: SqlDialect): string {
  let at = parameters.indexOf(path);
  if (at < 0) at = parameters.push(path) - 1;
  return dialect === "sqlite" ? `:p${at + 1}` : `$${at + 1}`;
}

function hasCode(rest: string, dialect: SqlDialect): boolean {
  let at = 0;
  while (at < rest.length) {
    if (rest.startsWith("--", at))
      at = rest.indexOf("\n", at) < 0 ? rest.length : rest.indexOf("\n", at);
    else if (rest.startsWith("/*", at)) at = commentEnd(rest, at, dialect);
    else if (/[\s;]/.test(rest[at] as string)) at += 1;
    else return true;
  }
  return false;
}

/** Comments of PostgreSQL nest. */
function commentEnd(source: string, from: number, dialect: SqlDialect): number {
  const mark = /\/\*|\*\//g;
  mark.lastIndex = from;
  let depth = 0;
  for (let match = mark.exec(source); match !== null; match = mark.exec(source)) {
    if (match[0] === "/*") depth += dialect === "postgresql" || depth === 0 ? 1 : 0;
    else depth -= 1;
    if (depth === 0) return mark.lastIndex;
  }
  throw invalid("a comment is not closed");
}

function invalid(what: string): CausewayError {
  return new CausewayError("CONFIG_INVALID", `the query: ${what}`);
}
