import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { type Reason, reason, type ReasonCode, reasonCodes } from "../../src/base/reasons.ts";
import { codeOf, isGenerated, productFiles } from "./source-text.ts";

// Stable codes of what this release refuses in another way or does not do yet: nobody else may take them.
const reserved: readonly ReasonCode[] = ["CASE_MISSING", "FIELD_NOT_GRANTED"];

function codesNamed(): ReadonlySet<string> {
  const code = productFiles
    .filter((file) => !isGenerated(file) && file !== "src/base/reasons.ts")
    .map((file) => codeOf(readFileSync(file, "utf8"), true))
    .join("\n");
  return new Set(
    [...code.matchAll(/"([A-Z][A-Z_]+)"|\b([A-Z][A-Z_]+):/g)].map((m) => m[1] ?? m[2] ?? ""),
  );
}

describe("the reason table", () => {
  for (const code of reasonCodes) {
    test(`${code} says what it means in two languages, and what to do`, () => {
      const { en, zh, next, grpcCode } = reason(code);
      assert.match(en, /^[A-Z].*\.$/);
      assert.match(zh, /\p{Script=Han}.*。$/u);
      assert.match(next, /^[A-Z].*\.$/);
      assert.ok(grpcCode >= 1 && grpcCode <= 16);
    });
  }

  test("holds no code that nothing states, but those that are reserved", () => {
    const named = codesNamed();
    assert.deepEqual(reasonCodes.filter((code) => !named.has(code)).toSorted(), reserved);
  });

  test("is what docs/reasons.md shows", async () => {
    const script: { formatReasonsPage(reasons: readonly Reason[]): string } = await import(
      pathToFileURL(resolve("scripts/reasons.mjs")).href
    );
    const page = script.formatReasonsPage(reasonCodes.map(reason));
    assert.equal(readFileSync("docs/reasons.md", "utf8"), page);
  });
});
