/** The YAML text of a configuration: its plain value, and the line on which each key stands. */
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from "yaml";
import { CausewayError } from "../src/base/errors.ts";
import { configBytesMax } from "../src/base/limits.ts";

export type KeyPath = readonly (string | number)[];

export interface YamlText {
  readonly value: unknown;
  /** The line of the key, or of the nearest one above it that stands there. */
  lineOf(path: KeyPath): number;
}

/** Throws CONFIG_INVALID with every place that is no YAML, or where a key is given twice. */
export function parseYaml(text: string, file: string): YamlText {
  if (Buffer.byteLength(text) > configBytesMax) {
    throw new CausewayError("CONFIG_INVALID", `${file}: it has more than ${configBytesMax} bytes`);
  }
  const lines = new LineCounter();
  const document = documentOf(text, lines, file);
  const lineAt = (offset: number): number => lines.linePos(offset).line;
  const placeAt = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file}:${line}:${col}`;
  };
  const problems = [
    ...[...document.errors, ...document.warnings].map(({ pos, code, message }) =>
      code === "DUPLICATE_KEY"
        ? `${file}:${lineAt(pos[0])}: ${duplicate(text, pos[0])}`
        : `${placeAt(pos[0])}: ${syntax(code, message)}`,
    ),
    ...aliasFaults(document).map(({ offset, text: what }) => `${file}:${lineAt(offset)}: ${what}`),
  ];
  if (problems.length > 0) throw new CausewayError("CONFIG_INVALID", problems.join("\n"));
  return {
    value: plainOf(document, file),
    lineOf: (path) => lines.linePos(offsetOf(document, path)).line,
  };
}

/** The parser's own words, but for those that are for whoever programs with it. */
function syntax(code: string, message: string): string {
  return code === "MULTIPLE_DOCS" ? "a second document begins: the file holds one" : message;
}

function duplicate(text: string, offset: number): string {
  const key = /^[^:\s]*/.exec(text.slice(offset, offset + 80))?.[0] ?? "";
  return `${key}: the key is given twice`;
}

/** Aliases that lead nowhere, or to what they stand in themselves: such a value has no end. */
export function aliasFaults(
  document: Document.Parsed,
): readonly { readonly offset: number; readonly text: string }[] {
  const faults: { offset: number; text: string }[] = [];
  // An alias that resolves itself looks through the whole document, each time.
  const named = new Map<string, Node>();
  visit(document, {
    Node: (_key, node, above) => {
      if (!isAlias(node)) {
        if (node.anchor !== undefined) named.set(node.anchor, node);
        return;
      }
      const what = `*${node.source}`;
      const of = named.get(node.source);
      const offset = node.range?.[0] ?? 0;
      if (of === undefined) faults.push({ offset, text: `${what}: no such anchor is before it` });
      else if (above.includes(of)) faults.push({ offset, text: `${what} stands in what it names` });
    },
  });
  return faults;
}

// The parser recurses, and throws what is no error of its own for a text that is nested too deep.
function documentOf(text: string, lines: LineCounter, file: string): Document.Parsed {
  try {
    return parseDocument(text, { lineCounter: lines, prettyErrors: false });
  } catch (cause) {
    throw new CausewayError("CONFIG_INVALID", `${file}: it is nested too deep`, { cause });
  }
}

// Aliases that stand for more than the text itself are not written out.
function plainOf(document: Document.Parsed, file: string): unknown {
  try {
    return document.toJS();
  } catch (cause) {
    throw new CausewayError("CONFIG_INVALID", `${file}: its aliases stand for too much`, { cause });
  }
}

function offsetOf(document: Document.Parsed, path: KeyPath): number {
  let node: unknown = document.contents;
  let offset = document.contents?.range?.[0] ?? 0;
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
      if (pair === undefined) break;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof key === "number") {
      node = node.items[key];
      offset = (node as Node | undefined)?.range?.[0] ?? offset;
    } else {
      break;
    }
  }
  return offset;
}
