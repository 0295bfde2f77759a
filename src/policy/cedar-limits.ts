/**
 * Bounds on Cedar texts, checked before the engine reads them. Its parser and evaluator recurse without
 * a limit of their own: a deep text would exhaust the stack, at a depth that depends on the machine, and
 * a verdict must not depend on the machine.
 */
import { utf8 } from "../base/bytes.ts";
import {
  policyBracketsMax,
  policyLevelsMax,
  policySchemaNamesMax,
  policySchemaTypesMax,
  policyTextBytesMax,
  policyUnitsMax,
} from "../base/limits.ts";

/** What exceeds its bound in a text, and where in UTF-16 units. */
export interface Excess {
  readonly message: string;
  readonly start: number;
}

// A string, a comment, or one character that counts. A string without an end matches to the end of the text: to
// look for the end again from each quote inside it would take quadratic time.
const token = /"[^"\\]*(?:\\.[^"\\]*)*(")?|\/\/[^\n]*|[([{<)\]}>;]/gs;

/** What of a policy set or schema exceeds its bound, or `undefined`. */
export function excessOf(text: string, kind: "policy" | "schema"): Excess | undefined {
  if (utf8(text).length > policyTextBytesMax) {
    return { message: `the text exceeds ${policyTextBytesMax} bytes`, start: 0 };
  }
  // In a policy < and > compare; in a schema they enclose.
  const opening = kind === "policy" ? "([{" : "([{<";
  const closing = kind === "policy" ? ")]}" : ")]}>";
  let depth = 0;
  let units = 0;
  let end = 0;
  for (const { 0: found, 1: closed, index } of text.matchAll(token)) {
    if (found.startsWith('"') && closed === undefined) {
      return { message: "a string has no end", start: index };
    }
    units += index - end;
    end = index + found.length;
    if (opening.includes(found)) depth++;
    else if (closing.includes(found)) depth--;
    if (depth > policyBracketsMax) {
      return { message: `brackets are nested deeper than ${policyBracketsMax}`, start: index };
    }
    if (kind === "policy" && units > policyUnitsMax) return lengthExcess(index);
    if (found === ";") units = 0;
  }
  units += text.length - end;
  if (kind === "policy") return units > policyUnitsMax ? lengthExcess(text.length) : undefined;
  return namesOf(text) > policySchemaNamesMax
    ? { message: `the types hold more than ${policySchemaNamesMax} names`, start: 0 }
    : undefined;
}

/**
 * How many names a schema holds once its types are written out, counted generously: a name that is
 * also a type's counts as that type wherever it stands.
 */
function namesOf(schemaText: string): number {
  const bare = schemaText.replace(token, (found) => (/^["/]/.test(found) ? " " : found));
  const bodies = new Map<string, string>();
  for (const declaration of bare.split(";")) {
    const [, name, body] = /\btype\s+(\w+)\s*=(.*)$/s.exec(declaration) ?? [];
    if (name !== undefined) bodies.set(name, `${bodies.get(name) ?? ""} ${body}`);
  }
  const counts = new Map<string, number>();
  function count(text: string, typesLeft: number): number {
    let names = 0;
    for (const [name] of text.matchAll(/\w+/g)) names += 1 + countType(name, typesLeft);
    return names;
  }
  function countType(name: string, typesLeft: number): number {
    const body = bodies.get(name);
    if (body === undefined) return 0;
    if (typesLeft === 0) return Number.POSITIVE_INFINITY;
    const known = counts.get(name) ?? count(body, typesLeft - 1);
    counts.set(name, known);
    return known;
  }
  return count(bare, policySchemaTypesMax);
}

function lengthExcess(start: number): Excess {
  const message = `a policy exceeds ${policyUnitsMax} characters outside of strings and comments`;
  return { message, start };
}

/** Whether the expression tree of a policy, as the engine's JSON has it, is deeper than its bound. */
export function exceedsLevels(tree: unknown): boolean {
  // Each level of the tree is an operator's object around its operands' object.
  return depthOf(tree, 2 * policyLevelsMax) > 2 * policyLevelsMax;
}

function depthOf(value: unknown, stopAt: number): number {
  if (typeof value !== "object" || value === null) return 0;
  if (stopAt === 0) return 1;
  let deepest = 0;
  for (const member of Object.values(value)) {
    deepest = Math.max(deepest, depthOf(member, stopAt - 1));
  }
  return deepest + 1;
}
