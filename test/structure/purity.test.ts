import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { bareCode, productFiles, writtenSources } from "./source-text.ts";

interface Rule {
  readonly what: string;
  readonly pattern: RegExp;
  /** Files that may, each with the reason. */
  readonly exceptions: Readonly<Record<string, string>>;
}

// Clocks, timers, randomness and the environment are parameters below the process.
const rules: readonly Rule[] = [
  { what: "console", pattern: /\bconsole\./, exceptions: {} },
  {
    what: "process",
    pattern: /\bprocess\b(?!\s*:)/,
    exceptions: {
      "src/base/sha256.ts": "asks the runtime for its own SHA-256; no environment, no state",
    },
  },
  {
    what: "clock",
    pattern: /\bDate\.now\b|\bnew Date\(\s*\)|\bperformance\b|\bhrtime\b/,
    exceptions: {},
  },
  {
    what: "timer",
    pattern: /\bset(Timeout|Interval|Immediate)\b|\bAbortSignal\.timeout\b|\bnextTick\b/,
    exceptions: {},
  },
  {
    what: "randomness",
    pattern: /\bMath\.random\b|\brandom(Bytes|UUID|Int|FillSync)\b|\bgetRandomValues\b/,
    exceptions: {
      "src/ledger/openings/openings-cipher.ts":
        "nonces of a cipher in its own thread: nothing that is decided or recorded follows from them",
    },
  },
];

describe("src has no surroundings of its own", () => {
  for (const { what, pattern, exceptions } of rules) {
    test(`no ${what}`, () => {
      const using = writtenSources.filter((file) => pattern.test(bareCode(file)));
      assert.deepEqual(using, Object.keys(exceptions).toSorted());
    });
  }

  test("the environment is read in one file", () => {
    const reading = productFiles.filter((file) => /\bprocess\s*\.\s*env\b/.test(bareCode(file)));
    assert.deepEqual(reading, ["gateway/env.ts"]);
  });
});
