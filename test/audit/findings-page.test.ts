import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { findingCodes, meaningOf, severityOf } from "../../src/audit/findings.ts";

test("docs/findings.md lists every finding with its weight and meaning, in the order of the table", () => {
  const rows = readFileSync("docs/findings.md", "utf8")
    .split("\n")
    .filter((line) => line.startsWith("| `"));
  assert.deepEqual(
    rows,
    findingCodes.map((code) => `| \`${code}\` | ${severityOf(code)} | ${meaningOf(code)} |`),
  );
});
