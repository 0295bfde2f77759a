import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import {
  blamedFindings,
  evidenceMeaning,
  findingCodes,
  meaningOf,
  settlingEvidence,
  severityOf,
} from "../../src/audit/findings.ts";

const page = readFileSync("docs/findings.md", "utf8");

/** Rows of the table whose head begins with `head`. */
function rowsUnder(head: string): readonly string[] {
  const lines = page.split("\n");
  const first = lines.findIndex((line) => line.startsWith(`| ${head} |`)) + 2;
  const end = lines.findIndex((line, at) => at > first && !line.startsWith("|"));
  return lines.slice(first, end < 0 ? lines.length : end);
}

test("docs/findings.md lists every finding with its weight and meaning, in the order of the table", () => {
  assert.deepEqual(
    rowsUnder("code"),
    findingCodes.map((code) => `| \`${code}\` | ${severityOf(code)} | ${meaningOf(code)} |`),
  );
});

test("docs/findings.md says of every finding between two sides whom it convicts", () => {
  const named = rowsUnder("finding").map((row) => /^\| `([A-Z_]+)`/.exec(row)?.[1]);
  assert.deepEqual(new Set(named), blamedFindings);
});

test("docs/findings.md lists all evidence that settles a finding", () => {
  assert.deepEqual(
    rowsUnder("`settled_by`"),
    settlingEvidence.map((code) => `| \`${code}\` | ${sentence(evidenceMeaning(code))} |`),
  );
});

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
