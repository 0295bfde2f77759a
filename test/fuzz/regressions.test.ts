/** Inputs that once were not answered as they should be. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseConfig } from "../../gateway/config.ts";
import { policyTextBytesMax } from "../../src/base/limits.ts";
import { excessOf } from "../../src/policy/cedar-limits.ts";

describe("a configuration is CONFIG_INVALID", () => {
  const expected = { name: "CausewayError", code: "CONFIG_INVALID" };

  for (const [what, text] of [
    ["nested deeper than the parser's stack", "a: ".repeat(20_000)],
    ["in lists nested deeper than the parser's stack", "[".repeat(20_000)],
    ["with an alias that stands for more than the text", bomb(9)],
    ["with an alias of nothing", "gateway: *nothing\n"],
  ] as const) {
    test(what, () => {
      assert.throws(() => parseConfig(text, "gateway.yaml"), expected);
    });
  }
});

/** Lists of ten aliases of the list before: 10^levels elements in a few lines. */
function bomb(levels: number): string {
  const lines = ["a0: &a0 [x]"];
  for (let i = 1; i <= levels; i++) {
    const aliases = Array.from({ length: 10 }, () => `*a${i - 1}`).join(", ");
    lines.push(`a${i}: &a${i} [${aliases}]`);
  }
  return `${lines.join("\n")}\n`;
}

describe("a policy text of the greatest length", () => {
  test("that is one string without an end is refused after one look at each character", () => {
    // With a look for the end from each quote this would take minutes.
    const text = `"${'\\"'.repeat(policyTextBytesMax / 2 - 1)}`;
    assert.equal(excessOf(text, "policy")?.message, "a string has no end");
    assert.equal(excessOf(text, "schema")?.message, "a string has no end");
  });

  test("that is one string is not", () => {
    const text = `"${'\\"'.repeat(policyTextBytesMax / 2 - 1)}"`;
    assert.equal(excessOf(text, "policy"), undefined);
  });
});
