/** The project's files as the structure tests read them: code without comments and texts, and what it imports. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";

/** Every file below a folder of the project, sorted, with `/` between the parts. */
export function filesBelow(folder: string, ending: string): string[] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => join(entry.parentPath, entry.name).replaceAll("\\", "/"))
    .toSorted();
}

export const isGenerated = (file: string): boolean => file.startsWith("src/gen/");

/** The TypeScript files of the product. */
export const productFiles: readonly string[] = [
  ...filesBelow("src", ".ts"),
  ...filesBelow("gateway", ".ts"),
];

/** Files of `src` that people write. */
export const writtenSources: readonly string[] = productFiles.filter(
  (file) => file.startsWith("src/") && !isGenerated(file),
);

// A slash begins a regular expression where no value can stand before it.
const valueEnds = /[\w$)\]}"'`]\s*$/;
const keywordEnds = /\b(return|typeof|case|in|of|void)\s*$/;

/**
 * The code of a source text with comments and regular expressions left out; texts too, where
 * `texts` is false. What stands in the `${}` of a template is code.
 */
export function codeOf(source: string, texts: boolean): string {
  let code = "";
  let at = 0;
  // Depth of braces at which each open template goes on.
  const templates: number[] = [];
  let depth = 0;
  const text = (quote: string): void => {
    const start = at;
    at += 1;
    while (at < source.length && source[at] !== quote) {
      if (quote === "`" && source.startsWith("${", at)) {
        if (texts) code += source.slice(start, at);
        code += "`${";
        at += 2;
        templates.push(depth);
        depth += 1;
        return;
      }
      at += source[at] === "\\" ? 2 : 1;
    }
    at += 1;
    code += texts ? source.slice(start, at) : '""';
  };
  const regularExpression = (): void => {
    let inClass = false;
    for (at += 1; source[at] !== "/" || inClass; at += 1) {
      if (source[at] === "\\") at += 1;
      else if (source[at] === "[") inClass = true;
      else if (source[at] === "]") inClass = false;
      if (at >= source.length || source[at] === "\n") throw new Error("not a regular expression");
    }
    at += 1;
    code += "/-/";
  };
  while (at < source.length) {
    const c = source[at] as string;
    if (source.startsWith("//", at)) {
      at = source.indexOf("\n", at);
      if (at < 0) return code;
    } else if (source.startsWith("/*", at)) {
      at = source.indexOf("*/", at) + 2;
    } else if (c === '"' || c === "'" || c === "`") {
      text(c);
    } else if (c === "}" && templates.at(-1) === depth - 1) {
      depth = templates.pop() as number;
      code += "}";
      text("`");
    } else if (
      c === "/" &&
      (!valueEnds.test(code.slice(-40)) || keywordEnds.test(code.slice(-40)))
    ) {
      regularExpression();
    } else {
      if (c === "{") depth += 1;
      if (c === "}") depth -= 1;
      code += c;
      at += 1;
    }
  }
  return code;
}

const read = (file: string): string => readFileSync(file, "utf8");

/** The code of a file without comments and texts. */
export const bareCode = (file: string): string => codeOf(read(file), false);

// Declarations stand at the start of a line; `import()` and the URL of a thread stand anywhere.
const specifiers =
  /^(?:import|export)\b[^"';]*?\bfrom\s*"([^"]+)"|^import\s*"([^"]+)"|\bimport\(\s*"([^"]+)"|\bnew URL\(\s*"(\.[^"]+)"/gm;

/** What a file imports, also for its types, and which threads it starts: project files by their path, packages by their name. */
export function importsOf(file: string): string[] {
  const code = codeOf(read(file), true);
  return [...code.matchAll(specifiers)].map((match) => {
    const specifier = match.slice(1).find((group) => group !== undefined) as string;
    return specifier.startsWith(".") ? posix.join(dirname(file), specifier) : specifier;
  });
}

/** `@scope/name` or `name` of a package, `node:name` of a builtin. */
export function packageOf(specifier: string): string {
  return specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");
}
