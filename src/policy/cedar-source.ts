/** Cedar texts: the policies of a set by their ids, and places in a text. */
import { parseUtf8, utf8 } from "../base/bytes.ts";
import type { PolicyProblem } from "./ports.ts";

/** What Cedar says of an error; offsets are bytes of UTF-8. */
export interface CedarError {
  readonly message: string;
  readonly help: string | null;
  readonly sourceLocations?: readonly { readonly start: number }[];
}

/** One policy of a set. */
export interface PolicyPart {
  /** The text of its `@id`, if it has one. */
  readonly id: string | undefined;
  readonly text: string;
  /** Where it stands in the set's text, in UTF-16 units. */
  readonly start: number;
}

// Ids stand in records: printable, short, and chosen by the author instead of counted by the engine.
const policyIdPattern = /^[a-z][a-z0-9-]{0,63}$/;

/** The line and column of an offset in UTF-16 units. */
export function placeOf(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  const lineStart = before.lastIndexOf("\n") + 1;
  return {
    line: before.split("\n").length,
    column: Array.from(before.slice(lineStart)).length + 1,
  };
}

/** The problem that an error of Cedar's is, placed in `text`, of which the engine read the part from `start` on. */
export function problemOf(options: {
  readonly error: CedarError;
  readonly severity: PolicyProblem["severity"];
  readonly blob: PolicyProblem["blob"];
  readonly text: string;
  readonly start?: number;
  readonly policyId?: string | undefined;
}): PolicyProblem {
  const { error, severity, blob, text, start = 0, policyId } = options;
  const message = error.help === null ? error.message : `${error.message} (${error.help})`;
  const bytesBefore = error.sourceLocations?.[0]?.start;
  const named = policyId === undefined ? {} : { policyId };
  if (bytesBefore === undefined) return { severity, blob, ...named, message };
  const before = parseUtf8(utf8(text.slice(start)).subarray(0, bytesBefore)) ?? "";
  return { severity, blob, ...named, ...placeOf(text, start + before.length), message };
}

/** What is wrong with the ids of a set: each policy has one, of its own, that may stand in a record. */
export function idProblems(text: string, parts: readonly PolicyPart[]): readonly PolicyProblem[] {
  const seen = new Set<string>();
  const problems: PolicyProblem[] = [];
  for (const { id, start } of parts) {
    const message =
      id === undefined
        ? "the policy has no @id"
        : !policyIdPattern.test(id)
          ? `the @id does not match ${policyIdPattern.source}`
          : seen.has(id)
            ? `another policy has the @id ${id}`
            : undefined;
    if (id !== undefined) seen.add(id);
    if (message === undefined) continue;
    problems.push({ severity: "error", blob: "policy", ...placeOf(text, start), message });
  }
  return problems;
}
