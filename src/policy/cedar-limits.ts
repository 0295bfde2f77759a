/**
 * Bounds on Cedar texts, checked before the engine reads them. Its parser and evaluator recurse without
 * a limit of their own: a deep text would exhaust the stack, at a depth that depends on the machine, and
 * a verdict must not depend on the machine.
 */
import { utf8 } from "../base/bytes.ts";
import {
  policyBracketsMax,
  policyLevelsMax,
  policyTextBytesMax,
  policyUnitsMax,
} from "../base/limits.ts";

/** What exceeds its bound in a text, and where in UTF-16 units. */
export interface Excess {
  readonly message: string;
  readonly start: number;
}

// A string, a comment, or one character that counts.
const token = /"[^"\\]*(?:\\.[^"\\]*)*"|\/\/[^\n]*|[([{<)\]}>;]/gs;

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
  for (const { 0: found, index } of text.matchAll(token)) {
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
  return kind === "policy" && units > policyUnitsMax ? lengthExcess(text.length) : undefined;
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
